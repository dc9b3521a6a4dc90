"""A bundle's folder under its name whole or not at all, however the process that writes it ends."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bakeoff.errors import OutputError
from bakeoff.files import PARTIAL, hold, make_dir, release

__all__ = ["check_place", "clear_left", "replacing_folder"]

_LOCK = ".lock"


def check_place(folder: Path) -> None:
    """Raise OutputError if a bundle would take the place of something else."""
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not (folder / "bundle.json").is_file():
        raise OutputError(f"{folder} holds something else than a bundle; choose another --out")


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill; on success it takes the place of `folder`, on failure nothing of it is left.

    What killed processes have left beside is deleted. Raises OutputError if `folder` is no bundle, or if another
    process is writing it.
    """
    folder = folder.absolute()
    check_place(folder)
    clear_left(make_dir(folder.parent))
    scratch = folder.parent / f"{PARTIAL}{folder.name}"
    hold(scratch)
    try:
        staged = make_dir(scratch / "new")
        yield staged
        if folder.exists():
            folder.rename(scratch / "old")
        staged.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        release(scratch)


def clear_left(parent: Path) -> None:
    """Delete the half-written bundles in a folder that nobody is writing any more."""
    for lock in parent.glob(f"{PARTIAL}*/{_LOCK}"):
        with suppress(OutputError):  # another process is writing it
            hold(lock.parent)
            shutil.rmtree(lock.parent, ignore_errors=True)
            release(lock.parent)
