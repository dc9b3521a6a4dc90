"""Locks of folders and files. A lock ends with the process that has it, also when that process is killed."""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bakeoff.errors import OutputError
from bakeoff.files import OWN_JSON, PARTIAL, cache_dir, explained_errors, find_others, hash_json, make_dir
from bakeoff.text import encodable

__all__ = ["LOCK", "check_replaceable", "clear_left", "hold", "is_free", "release", "replacing_folder", "waiting_for"]

# The file in a folder by which it is held. It stays.
LOCK = ".lock"
# Where half-written files of a held folder are: in itself, and in the folders of its runs.
_HALF_WRITTEN = (f"{PARTIAL}*", f"runs/*/{PARTIAL}*")
# Who looks whether a folder is free has it for a moment, which must refuse nobody.
_LOOK_SECONDS = 0.1
# The lock files of the folders that this process holds.
_held: dict[Path, FileLock] = {}


def hold(folder: Path) -> None:
    """Lock a folder for this process until it ends or calls `release`, and delete what killed processes left in it.

    These are half-written files in the folder itself and in those of its runs; what is elsewhere below it may be of
    other processes.

    Raises OutputError if another process has it, or another thread of this one.
    """
    path = _lock_path(make_dir(folder))
    lock = _make_lock(path)
    with explained_errors(path):
        try:
            lock.acquire(timeout=_LOOK_SECONDS)
        except Timeout as error:
            raise OutputError(
                f"{folder} is in use by another bakeoff (process {_read_holder(path)});"
                " wait for it, or choose another --out"
            ) from error
        path.write_text(f"{os.getpid()}\n", encoding="utf-8")
    _held[path] = lock
    try:
        for left in (path for pattern in _HALF_WRITTEN for path in folder.glob(pattern)):
            # A folder with a lock of its own is another study's.
            if left.is_file() and (left.parent == folder or not _lock_path(left.parent).exists()):
                left.unlink(missing_ok=True)
        clear_left(folder)
    except BaseException:
        release(folder)
        raise


def release(folder: Path) -> None:
    """Unlock a folder that this process holds."""
    _held.pop(_lock_path(folder)).release()


def is_free(folder: Path) -> bool:
    """Whether no process holds a folder that one has held; False as well where that cannot be found out."""
    path = _lock_path(folder)
    if not path.is_file():
        return False
    lock = _make_lock(path)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):  # somebody has it, or this user may not lock it
        return False
    lock.release()
    return True


@contextlib.contextmanager
def waiting_for(folder: Path, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Inside the block no other thread or process is in such a block for the same folder, which need not exist.

    `on_wait` is called once if the block has to wait. The lock's file is in the cache, so nothing is left beside the
    folder.
    """
    path = make_dir(cache_dir() / "locks") / f"{hash_json(str(folder.absolute()))[:16]}.lock"
    lock = _make_lock(path)
    with explained_errors(path):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            on_wait()
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def check_replaceable(folder: Path, what: str, main: str, names: str) -> None:
    """Check that `replacing_folder` would delete nothing but what bakeoff has written. A folder need not exist.

    Args:
        folder: The folder.
        what: What it may hold, for the message.
        main: Name of the JSON file, with its schema first, by which such a folder is known.
        names: A regular expression of the paths inside such a folder.

    Raises:
        OutputError: It is a file, or holds something else.
    """
    if folder.is_file():
        raise OutputError(f"{folder} is a file; choose another --out")
    begins = b""
    if (folder / main).is_file():
        with explained_errors(folder / main), (folder / main).open("rb") as file:
            begins = file.read(len(OWN_JSON))
    # Without that file, nothing in the folder is bakeoff's.
    known = begins == OWN_JSON
    if other := next(find_others(folder, lambda path: known and re.fullmatch(names, path, re.DOTALL)), None):
        name = encodable(other.relative_to(folder).as_posix())
        raise OutputError(f"{folder} holds something other than {what}: {name}; move it away, or choose another --out")


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill. On success it replaces `folder`; on failure it is deleted, and `folder` is as it was.

    What killed processes left half-written beside it is deleted. Check with `check_replaceable` before that `folder`
    may be deleted. Raises OutputError if another process or thread is writing it.
    """
    folder = folder.absolute()
    clear_left(make_dir(folder.parent))
    temporary = folder.parent / f"{PARTIAL}{folder.name}"
    hold(temporary)
    try:
        staged, old = make_dir(temporary / "new"), temporary / "old"
        try:
            yield staged
            with explained_errors(folder):
                if folder.exists():
                    folder.rename(old)
                staged.rename(folder)
        finally:
            # The new folder could not be moved, or the process was interrupted before that.
            if old.exists() and not folder.exists():
                old.rename(folder)
            shutil.rmtree(temporary, ignore_errors=True)
    finally:
        release(temporary)


def clear_left(parent: Path) -> None:
    """Delete the half-written folders in `parent` that killed processes left."""
    for lock in parent.glob(f"{PARTIAL}*/{LOCK}"):
        temporary = lock.parent
        with contextlib.suppress(OutputError):  # another process or thread is writing it
            hold(temporary)
            folder = parent / temporary.name.removeprefix(PARTIAL)
            # The process was killed after it had moved the old folder away and before it had put the new one in place.
            staged = temporary / "new"
            if staged.exists() and (temporary / "old").exists() and not folder.exists():
                staged.rename(folder)
            shutil.rmtree(temporary, ignore_errors=True)
            release(temporary)


def _lock_path(folder: Path) -> Path:
    return (folder / LOCK).resolve()


def _make_lock(path: Path) -> FileLock:
    # A soft lock, which file systems without locks would get, survives a process that is killed.
    return FileLock(path, thread_local=False, fallback_to_soft=False)


def _read_holder(path: Path) -> str:
    """The id of the process that holds a lock."""
    with contextlib.suppress(OSError):  # Windows lets nobody else read a locked file
        return path.read_text(encoding="utf-8").strip() or "unknown"
    return "unknown"
