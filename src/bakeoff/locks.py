"""Who may write a folder or a file: locks that end with the process that holds them, however it ends."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bakeoff.errors import OutputError
from bakeoff.files import PARTIAL, explained_errors, make_dir

__all__ = ["clear_left", "hold", "release", "replacing_folder", "waiting_for"]

# Folders that this process holds, by their lock files, which stay open.
_held: dict[Path, IO[str]] = {}


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill; on success it takes the place of `folder`, on failure nothing of it is left.

    What killed processes have left beside is cleared. Raises OutputError if another process is writing it.
    """
    folder = folder.absolute()
    clear_left(make_dir(folder.parent))
    scratch = folder.parent / f"{PARTIAL}{folder.name}"
    hold(scratch)
    try:
        staged = make_dir(scratch / "new")
        yield staged
        with explained_errors(folder):
            if folder.exists():
                folder.rename(scratch / "old")
            staged.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        release(scratch)


def clear_left(parent: Path) -> None:
    """Delete the half-written folders in a folder that nobody is writing any more."""
    for lock in parent.glob(f"{PARTIAL}*/.lock"):
        scratch = lock.parent
        with contextlib.suppress(OutputError):  # another process is writing it
            hold(scratch)
            folder = parent / scratch.name.removeprefix(PARTIAL)
            # It was killed between giving up the old one and putting the new one, which is whole, in its place.
            if (scratch / "old").exists() and not folder.exists():
                (scratch / "new").rename(folder)
            shutil.rmtree(scratch, ignore_errors=True)
            release(scratch)


def hold(folder: Path) -> None:
    """Keep a folder for this process until it ends, however it ends; what a killed one left half-written is deleted.

    A folder that it has already stays its own. Raises OutputError if another process has it.
    """
    path = (make_dir(folder) / ".lock").resolve()
    if path in _held:
        return
    with explained_errors(path):
        file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise OutputError(
            f"{folder} is in use by another bakeoff (process {owner}); wait for it, or choose another --out"
        ) from error
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    _held[path] = file
    for left in folder.rglob(f"{PARTIAL}*"):
        # A half-written folder has an owner of its own.
        if left.is_file() and not left.parent.relative_to(folder).as_posix().startswith(PARTIAL):
            left.unlink()
    clear_left(folder)


@contextlib.contextmanager
def waiting_for(path: Path) -> Iterator[None]:
    """Have a lock file to oneself inside the block, after whoever has it now, be it a thread or another process."""
    make_dir(path.parent)
    with explained_errors(path), path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def release(folder: Path) -> None:
    """Let another process have a folder that this one holds."""
    _held.pop((folder / ".lock").resolve()).close()
