"""The cache: what can be made again, each entry under a name made of its content, and how large it may grow.

data/        prepared shards             decoded/     images of large files, decoded once
features/    frozen features             downloads/   archives as they came
weights/     starting weights that the driver of a cluster sent
"""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bakeoff.errors import ConfigError
from bakeoff.files import PARTIAL, cache_dir

__all__ = ["KINDS", "CacheEntry", "clear", "list_entries", "mark_used", "prune"]

KINDS = ("data", "decoded", "features", "weights", "downloads")
# Bytes that the cache may have, if $BAKEOFF_CACHE_BYTES does not say so.
LIMIT = 20e9
# Seconds for which an entry is left alone, since a study may be using it.
RECENT = 86_400.0


class CacheEntry(NamedTuple):
    """One thing in the cache: a folder, or files that differ in their suffix alone."""

    kind: str
    name: str
    bytes: int
    used: float
    """When it was last used, in seconds since 1970."""
    paths: tuple[Path, ...]


def list_entries() -> list[CacheEntry]:
    """What is in the cache, the longest unused first; whatever a killed process left unfinished is an entry too."""
    entries = []
    for kind in KINDS:
        groups: dict[str, list[Path]] = {}
        folder = cache_dir() / kind
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            groups.setdefault(path.name if path.is_dir() else path.stem, []).append(path)
        entries += [_describe(kind, name, paths) for name, paths in groups.items()]
    return sorted(entries, key=lambda entry: entry.used)


def mark_used(path: Path) -> None:
    """Note that an entry is in use now. A cache that cannot be written is used all the same."""
    if os.access(path, os.W_OK):
        os.utime(path)


def clear(kinds: Sequence[str] = ()) -> list[CacheEntry]:
    """Delete entries of these kinds and return them; without any kind all but downloads.

    Raises ConfigError for an unknown kind.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(f"the cache has no {kind!r}; it has {', '.join(KINDS)}")
    wanted = kinds or [kind for kind in KINDS if kind != "downloads"]
    return _delete([entry for entry in list_entries() if entry.kind in wanted])


def prune() -> list[CacheEntry]:
    """Delete what has been unused longest until the cache keeps to its size, and what was left unfinished.

    What was used in the last day stays. Returns what was deleted. Raises ConfigError for a size that is no number.
    """
    text = os.environ.get("BAKEOFF_CACHE_BYTES", str(LIMIT))
    try:
        limit = float(text)
    except ValueError as error:
        raise ConfigError(f"BAKEOFF_CACHE_BYTES is {text!r}, not a number of bytes") from error
    entries = list_entries()
    total, old = sum(entry.bytes for entry in entries), []
    for entry in entries:
        if time.time() - entry.used > RECENT and (total > limit or entry.name.startswith(PARTIAL)):
            old.append(entry)
            total -= entry.bytes
    return _delete(old)


def _describe(kind: str, name: str, paths: Sequence[Path]) -> CacheEntry:
    inside = [each for path in paths for each in (path, *path.rglob("*"))]
    return CacheEntry(
        kind=kind,
        name=name,
        bytes=sum(each.stat().st_size for each in inside if each.is_file()),
        used=max((each.stat().st_mtime for each in inside if each.exists()), default=0.0),
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
