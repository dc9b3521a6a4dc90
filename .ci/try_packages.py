"""Install each package into an empty environment, and use it there: `python .ci/try_packages.py dist/*`."""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path


def main() -> None:
    """Try a wheel and a source archive as those who install them do."""
    for name in sys.argv[1:]:
        sys.stderr.write(f"trying {name}\n")
        use(Path(name).resolve())


def use(package: Path) -> None:
    """Create the environment, and run a study and check it from another folder."""
    with tempfile.TemporaryDirectory(prefix="package-") as name:
        home = Path(name)
        venv.create(home / "env", with_pip=True)
        binaries = home / "env" / "bin"
        install = [binaries / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, f"{package}[cpu]"], check=True)
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("BAKEOFF_", "PYTHON"))}
        environment = clean | {"BAKEOFF_CACHE_DIR": str(home / "cache")}
        for command in (
            ["info"],
            ["run", "digits", "--candidates", "lenet", "--budget", "60s", "--out", "study"],
            ["verify", "study"],
        ):
            subprocess.run([binaries / "bakeoff", *command], cwd=home, env=environment, check=True)


if __name__ == "__main__":
    main()
