"""Install a wheel into an empty environment, and use it there: `python .ci/try_wheel.py dist/bakeoff-….whl`."""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path


def main() -> None:
    """Create the environment, and run a study and a prediction from another folder."""
    wheel = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="wheel-") as name:
        home = Path(name)
        venv.create(home / "env", with_pip=True)
        binaries = home / "env" / "bin"
        install = [binaries / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, f"{wheel}[cpu]"], check=True)
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
