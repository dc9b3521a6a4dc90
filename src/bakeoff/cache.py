"""The cache folder: files that can be made again. Its entries, their sizes, and deletion of the least recently used.

data/        prepared shards
decoded/     decoded images of splits that do not fit into memory
features/    features of frozen backbones, heads fitted on them, scores of starting weights
downloads/   archives as published
weights/     starting weights that the driver of a cluster sent to this node, or that were joined from parts
given/       tables and arrays that were given in Python
profiles/    what this machine was measured to take
networks/    facts and weights of plug-in networks
presets/     presets of hubs, packed for other machines; which of them were loaded once, and whose download has begun

`$BAKEOFF_CACHE_DIR` may name a folder in which the user keeps other files. What has another name than bakeoff gives
is no entry: it is neither counted nor deleted.
"""

import contextlib
import errno
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bakeoff.errors import ConfigError
from bakeoff.files import PARTIAL, cache_dir, find_others, is_system_file, list_inside
from bakeoff.text import counted
from bakeoff.variables import CACHE_BYTES

__all__ = ["KINDS", "SHARD_FILES", "CacheEntry", "clear", "list_entries", "list_others", "mark_used", "prune"]

# The files of a folder of shards, and of what was found out about its images.
SHARD_FILES = r"manifest\.json|(train|val|test)-[0-9]+-of-[0-9]+\.tfrecord|(alike|near-duplicates)-[0-9a-f]{12}\.json"
# What bakeoff writes into the folder of each kind: paths in that folder, those inside an entry included.
_WRITTEN = {
    "data": rf"[^/]+-[0-9a-f]{{12}}(/({SHARD_FILES}))?",
    "decoded": r"[0-9a-f]{24}\.np[yz]",
    "features": r"[0-9a-f]{32}(\.npy|\.json|-head\.npz|-start\.json)",
    "weights": r"(joined-)?[0-9a-f]{64}(/[^/]+)?",
    "given": r"[0-9a-f]{12}\.(json|npy|npz)",
    "profiles": r"[0-9a-f]{16}\.json",
    "networks": r"(sent-)?[0-9a-f]{32}(/.+)?",
    "presets": r"[0-9a-f]{32}-[^/]+\.json|[^/]+-[0-9a-f]{8}-[0-9a-f]{12}\.tar",
    "downloads": r"cifar-100?-binary\.tar\.gz(\.partial(\.json)?)?",
}
KINDS = tuple(_WRITTEN)
# The cache's largest size in bytes, unless $BAKEOFF_CACHE_BYTES is set.
DEFAULT_LIMIT_BYTES = 20e9
# An entry that was used in the last so many seconds is not pruned, because a study may be using it.
RECENT_SECONDS = 86_400.0

OnKept = Callable[[str], object]


class CacheEntry(NamedTuple):
    """One entry of the cache: a folder, or all files of one name with different suffixes."""

    kind: str
    """One of KINDS: the folder inside the cache."""
    name: str
    """Name of the folder, or of the files without their suffix."""
    bytes: int
    """Size of all files."""
    used: float
    """Time of the last use, in seconds since 1970: the latest modification time in the entry."""
    paths: tuple[Path, ...]
    """The folder, or the files."""


def list_entries() -> list[CacheEntry]:
    """All entries of the cache, the least recently used first. Unfinished files of killed processes are entries too."""
    entries = []
    for kind in KINDS:
        groups: dict[str, list[Path]] = {}
        for path in _list_paths(kind):
            if _is_written(kind, path):
                groups.setdefault(path.name if path.is_dir() else path.stem, []).append(path)
        entries += [_describe(kind, name, paths) for name, paths in groups.items()]
    return sorted(entries, key=lambda entry: entry.used)


def list_others() -> list[Path]:
    """Files and folders among the entries that bakeoff has not written, or that hold such a file. They stay."""
    return [path for kind in KINDS for path in _list_paths(kind) if not _is_written(kind, path)]


def mark_used(path: Path) -> None:
    """Set the time of an entry's last use to now, so that `prune` keeps it.

    Call it before you look whether the entry is there, if you need it for longer: another process may be pruning.
    Does nothing in a read-only cache, nor for a path outside the cache. `path` is one of the entry's paths.
    """
    if path.absolute().is_relative_to(cache_dir().absolute()) and os.access(path, os.W_OK):
        with contextlib.suppress(FileNotFoundError):  # another process has just deleted it
            os.utime(path)


def clear(kinds: Sequence[str] = (), on_kept: OnKept = lambda _: None) -> list[CacheEntry]:
    """Delete all entries of these kinds and return them. Without kinds, delete all but the downloads.

    Args:
        kinds: Some of KINDS.
        on_kept: Called with a sentence on the entries that cannot be deleted, if there are any.

    Raises:
        ConfigError: There is no such kind.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(f"the cache has no {kind!r}; give one of {', '.join(KINDS)}")
    wanted = kinds or [kind for kind in KINDS if kind != "downloads"]
    deleted, kept = list[CacheEntry](), list[str]()
    for entry in (entry for entry in list_entries() if entry.kind in wanted):
        with _noting(kept):
            if _delete(entry):
                deleted.append(entry)
    _tell(kept, on_kept)
    return deleted


def prune(on_kept: OnKept = lambda _: None) -> list[CacheEntry]:
    """Delete unfinished files, and the least recently used entries until the cache is within its size limit.

    Entries that were used in the last day stay, also if the cache then exceeds the limit, and so do those that cannot
    be deleted, as in a cache that several users share. The limit is $BAKEOFF_CACHE_BYTES, by default 20 GB.

    Args:
        on_kept: Called with a sentence on the entries that cannot be deleted, if there are any.

    Returns:
        The deleted entries.

    Raises:
        ConfigError: $BAKEOFF_CACHE_BYTES is not a number.
    """
    limit = CACHE_BYTES.read_number(DEFAULT_LIMIT_BYTES)
    entries = list_entries()
    total, deleted, kept = sum(entry.bytes for entry in entries), list[CacheEntry](), list[str]()
    for entry in entries:
        if total <= limit and not entry.name.startswith(PARTIAL):
            continue
        # Looked at again: while others were deleted, another process may have begun to use it, or deleted it.
        if _is_recent(entry) or _is_recent(_describe(entry.kind, entry.name, entry.paths)):
            continue
        with _noting(kept):
            if _delete(entry):
                deleted.append(entry)
            total -= entry.bytes
    _tell(kept, on_kept)
    return deleted


def _is_recent(entry: CacheEntry) -> bool:
    return time.time() - entry.used <= RECENT_SECONDS


def _list_paths(kind: str) -> Iterator[Path]:
    folder = cache_dir() / kind
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not is_system_file(path.name):
            yield path


def _is_written(kind: str, path: Path) -> bool:
    """Whether bakeoff wrote what is at a path in the folder of a kind, and all that is inside."""
    if path.name.startswith(PARTIAL):
        return True

    def is_ours(inner: str) -> bool:
        return re.fullmatch(_WRITTEN[kind], f"{path.name}{inner}", re.DOTALL) is not None

    return is_ours("") and not any(find_others(path, lambda inner: is_ours(f"/{inner}")))


def _describe(kind: str, name: str, paths: Sequence[Path]) -> CacheEntry:
    found = []
    for each in (each for path in paths for each in (path, *list_inside(path))):
        with contextlib.suppress(FileNotFoundError):  # another process has just deleted it
            found.append(each.stat())
    return CacheEntry(
        kind=kind,
        name=name,
        bytes=sum(status.st_size for status in found if stat.S_ISREG(status.st_mode)),
        used=max((status.st_mtime for status in found), default=0.0),
        paths=tuple(paths),
    )


def _delete(entry: CacheEntry) -> bool:
    """Delete an entry. False if another process has done so. Raises OSError if it may not be deleted; then it stays."""
    for path in entry.paths:
        _check_deletable(path)
    deleted = False
    for path in entry.paths:
        # Under another name first, so that no other process takes what is left of a folder for the whole.
        unnamed = path.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
        with contextlib.suppress(FileNotFoundError):  # another process has deleted it, or does so now
            path.rename(unnamed)
            deleted = True
            if unnamed.is_dir() and not unnamed.is_symlink():
                shutil.rmtree(unnamed)
            else:
                unnamed.unlink()
    return deleted


def _check_deletable(path: Path) -> None:
    """Raise PermissionError if a folder may not be emptied: renamed, it would still be lost to its owner."""
    for folder in (each for each in (path, *list_inside(path)) if each.is_dir() and not each.is_symlink()):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


@contextlib.contextmanager
def _noting(kept: list[str]) -> Iterator[None]:
    """Add to `kept` what could not be deleted inside the block, and why."""
    try:
        yield
    except OSError as error:
        kept.append(f"{error.filename}: {error.strerror or error}")


def _tell(kept: Sequence[str], on_kept: OnKept) -> None:
    if kept:
        on_kept(f"the cache keeps {counted(len(kept), 'entry')} that cannot be deleted, such as {kept[0]}")
