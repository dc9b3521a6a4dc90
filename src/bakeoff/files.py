"""Files that are either whole or absent, content hashes, and where the cache lives.

Every file, and every folder that is one thing, was first written beside its final name and renamed, so that a killed
process or a full disk leaves the old one or none.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from bakeoff.errors import OutputError
from bakeoff.variables import CACHE_DIR, WEIGHTS_DIR

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "OWN_JSON",
    "PARTIAL",
    "cache_dir",
    "expand_home",
    "explained_errors",
    "find_others",
    "hash_file",
    "hash_json",
    "imported_weights_dir",
    "is_left",
    "is_system_file",
    "list_inside",
    "make_dir",
    "read_arrays",
    "read_json",
    "read_toml",
    "replacing",
    "without_wildcards",
    "write_json",
    "write_text",
]


# How the name of a file begins that is not whole yet.
PARTIAL = ".partial-"
# How a JSON file begins that has a schema of bakeoff's, as `write_json` writes it.
OWN_JSON = b'{\n  "schema": '
# Files that systems leave in folders of others, in small letters, and how the names of further ones begin.
_SYSTEM_FILES = {"thumbs.db", "desktop.ini", ".ds_store", "ehthumbs.db", "icon\r"}
_SYSTEM_PREFIXES = ("._", ".nfs")
# The process's mask of permissions can only be read by setting it.
_umask_lock = threading.Lock()


def expand_home(path: str | os.PathLike[str]) -> Path:
    """A path with the user's home folder for `~`. Where that is not known, as of `~nobody`, `~` stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - that of Path raises RuntimeError where it is not known


def cache_dir() -> Path:
    """The folder for shards, features and measurements; `$BAKEOFF_CACHE_DIR` overrides the platform's own."""
    return expand_home(CACHE_DIR.read() or platformdirs.user_cache_dir("bakeoff"))


def imported_weights_dir() -> Path:
    """The folder of imported weights: `$BAKEOFF_WEIGHTS_DIR`, else `weights` in the platform's user data folder."""
    return expand_home(WEIGHTS_DIR.read() or Path(platformdirs.user_data_dir("bakeoff")) / "weights")


def make_dir(path: Path) -> Path:
    """Create a folder and its parents. Raises OutputError if that cannot be done."""
    with explained_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def is_system_file(name: str) -> bool:
    """Whether a file of this name is one that systems leave in folders of others."""
    return name.lower() in _SYSTEM_FILES or name.startswith(_SYSTEM_PREFIXES)


def is_left(name: str) -> bool:
    """Whether a file of this name counts for nothing: a system left it there, or a process that was killed."""
    return is_system_file(name) or name.startswith(PARTIAL)


def list_inside(folder: Path) -> list[Path]:
    """The files and folders inside a folder, at any depth. Another process may delete some of them meanwhile."""
    # `Path.rglob` fails where a folder is deleted while it is read.
    return sorted(Path(place, name) for place, folders, files in os.walk(folder) for name in (*folders, *files))


def find_others(folder: Path, is_ours: Callable[[str], object]) -> Iterator[Path]:
    """Files and folders inside a folder, at any depth, that bakeoff has not written.

    Files of systems and half-written ones do not count. `is_ours` gets a path inside the folder, with `/` in it.
    """
    for path in list_inside(folder):
        if not is_left(path.name) and not is_ours(path.relative_to(folder).as_posix()):
            yield path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it replaces `path`, on failure it is removed.

    The temporary name keeps the suffix, because Keras chooses a format by it. Raises OutputError on a full
    or read-only disk.
    """
    make_dir(path.parent)
    with explained_errors(path):
        handle, name = tempfile.mkstemp(prefix=PARTIAL, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            # mkstemp makes files private; a result is as readable as any other new file.
            with _umask_lock:
                umask = os.umask(0)
                os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all. NaN and infinity are refused: they are not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file. Raises OSError, or ValueError for whatever is wrong with its text."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises OSError, or ValueError for whatever is wrong with its text."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_arrays(path: Path) -> "dict[str, NDArray[Any]]":
    """The arrays of an `.npz` file, their sums checked, no pickles. Raises OSError, or ValueError for any damage."""
    import numpy as np

    try:
        # Given the path alone, NumPy leaves a damaged file open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError):
        raise
    except Exception as error:  # zipfile, zlib and numpy raise whatever the damage leads them to
        raise ValueError(str(error) or type(error).__name__) from error


@contextlib.contextmanager
def without_wildcards(folder: Path) -> Iterator[Path]:
    """Yield a folder's path, or a link to it where TensorFlow would take the path of a SavedModel for a pattern."""
    if not set("*?[]\\") & set(str(folder.absolute())):
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        link = Path(temporary) / "link"
        link.symlink_to(folder.absolute(), target_is_directory=True)
        yield link


def hash_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def explained_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into an OutputError that names `path` and says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; free some space or choose another folder") from error
