"""Files that are either whole or absent, content hashes, and where the cache lives.

Every file under a final name was first written beside it and renamed, so that a killed process or a full
disk leaves the old file or none.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

from bakeoff.errors import OutputError

__all__ = ["cache_dir", "hash_file", "hash_json", "make_dir", "replacing", "write_json", "write_text"]


def cache_dir() -> Path:
    """The folder for shards, features and measurements; `$BAKEOFF_CACHE_DIR` overrides the platform's own."""
    return Path(os.environ.get("BAKEOFF_CACHE_DIR") or platformdirs.user_cache_dir("bakeoff"))


def make_dir(path: Path) -> Path:
    """Create a folder and its parents. Raises OutputError if that cannot be done."""
    with _explained(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it replaces `path`, on failure it is removed.

    The temporary name keeps the suffix, because Keras chooses a format by it. Raises OutputError on a full
    or read-only disk.
    """
    make_dir(path.parent)
    with _explained(path):
        handle, name = tempfile.mkstemp(prefix=".partial-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            # mkstemp makes files private; a result is as readable as any other new file.
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


def hash_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; free some space or choose another folder") from error
