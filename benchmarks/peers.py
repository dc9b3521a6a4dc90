"""Environments of their own for packages that bakeoff is compared with, in the cache."""

import platform
import subprocess
import venv
from collections.abc import Sequence

from bakeoff.files import cache_dir

__all__ = ["make_environment"]


def make_environment(packages: Sequence[str]) -> str:
    """Make an environment with these packages, unless it is there; returns its interpreter."""
    folder = cache_dir() / "benchmarks" / "-".join(packages)
    python = folder / ("Scripts/python.exe" if platform.system() == "Windows" else "bin/python")
    if not (folder / "complete").is_file():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        (folder / "complete").touch()
    return str(python)
