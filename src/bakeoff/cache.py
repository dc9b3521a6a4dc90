"""The cache folder: files that can be made again. Its entries, their sizes, and deletion of the least recently used.

data/        prepared shards
decoded/     decoded images of splits that do not fit into memory
features/    features of frozen backbones, heads fitted on them, scores of starting weights
downloads/   archives as published
weights/     starting weights that the driver of a cluster sent to this node, or that were joined from parts
given/       tables and arrays that were given in Python
profiles/    what this machine was measured to take
searches/    what earlier searches of recipes found
networks/    facts and weights of plug-in networks
presets/     presets of hubs, packed for other machines, and which of them were loaded once
"""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bakeoff.errors import ConfigError
from bakeoff.files import PARTIAL, cache_dir
from bakeoff.variables import CACHE_BYTES

__all__ = ["KINDS", "CacheEntry", "clear", "list_entries", "mark_used", "prune"]

KINDS = ("data", "decoded", "features", "weights", "given", "profiles", "searches", "networks", "presets", "downloads")
# The cache's largest size in bytes, unless $BAKEOFF_CACHE_BYTES is set.
DEFAULT_LIMIT_BYTES = 20e9
# An entry that was used in the last so many seconds is not pruned, because a study may be using it.
RECENT_SECONDS = 86_400.0


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
        folder = cache_dir() / kind
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            groups.setdefault(path.name if path.is_dir() else path.stem, []).append(path)
        entries += [_describe(kind, name, paths) for name, paths in groups.items()]
    return sorted(entries, key=lambda entry: entry.used)


def mark_used(path: Path) -> None:
    """Set the time of an entry's last use to now, so that `prune` keeps it. Does nothing in a read-only cache.

    `path` is one of the entry's paths.
    """
    if os.access(path, os.W_OK):
        os.utime(path)


def clear(kinds: Sequence[str] = ()) -> list[CacheEntry]:
    """Delete all entries of these kinds and return them. Without kinds, delete all but the downloads.

    Raises ConfigError for an unknown kind.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(f"the cache has no {kind!r}; give one of {', '.join(KINDS)}")
    wanted = kinds or [kind for kind in KINDS if kind != "downloads"]
    return _delete([entry for entry in list_entries() if entry.kind in wanted])


def prune() -> list[CacheEntry]:
    """Delete unfinished files, and the least recently used entries until the cache is within its size limit.

    Entries that were used in the last day stay, also if the cache then exceeds the limit. The limit is
    $BAKEOFF_CACHE_BYTES, by default 20 GB.

    Returns the deleted entries. Raises ConfigError if $BAKEOFF_CACHE_BYTES is not a number.
    """
    limit = CACHE_BYTES.read_number(DEFAULT_LIMIT_BYTES)
    entries = list_entries()
    total, deleted = sum(entry.bytes for entry in entries), []
    for entry in entries:
        if time.time() - entry.used > RECENT_SECONDS and (total > limit or entry.name.startswith(PARTIAL)):
            deleted.append(entry)
            total -= entry.bytes
    return _delete(deleted)


def _describe(kind: str, name: str, paths: Sequence[Path]) -> CacheEntry:
    files = [file for path in paths for file in (path, *path.rglob("*"))]
    return CacheEntry(
        kind=kind,
        name=name,
        bytes=sum(file.stat().st_size for file in files if file.is_file()),
        used=max((file.stat().st_mtime for file in files if file.exists()), default=0.0),
        paths=tuple(paths),
    )


def _delete(entries: list[CacheEntry]) -> list[CacheEntry]:
    for entry in entries:
        for path in entry.paths:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return entries
