"""Software versions that a run's result depends on, as stored in its record. Found without importing TensorFlow."""

import importlib.metadata
import platform
from pathlib import Path

import bakeoff
from bakeoff.files import hash_file, hash_json

__all__ = ["find_library_versions", "find_versions"]

_TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "tf-nightly")


def find_versions() -> dict[str, str]:
    """Versions by name. `code` is 12 digits of a hash of the package's source: checkouts of one version may differ."""
    package = Path(bakeoff.__file__).parent
    code = {path.relative_to(package).as_posix(): hash_file(path) for path in package.rglob("*.py")}
    return {
        "bakeoff": bakeoff.__version__,
        "code": hash_json(code)[:12],
        **find_library_versions(),
    }


def find_library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries, by name, without reading every file of the package for a hash."""
    return {
        "python": platform.python_version(),
        "tensorflow": next(filter(None, map(_version, _TENSORFLOWS)), "none"),
        "keras": _version("keras") or "none",
        "numpy": _version("numpy") or "none",
    }


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
