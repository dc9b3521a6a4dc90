"""The part of a file that has arrived, beside the file that it will be.

FILE.partial        what has arrived
FILE.partial.json   which version of which file that is, as the server named it
"""

import errno
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from bakeoff.download.remote import Remote
from bakeoff.errors import OutputError
from bakeoff.files import explained_errors, read_json, write_json

__all__ = ["Partial", "partial_path"]


def partial_path(target: Path) -> Path:
    """Where the part of a file is that has arrived."""
    return target.with_name(f"{target.name}.partial")


class Partial:
    """The part of a file that has arrived, and which version of which file it is."""

    def __init__(self, target: Path) -> None:
        self.path = partial_path(target)
        self._facts_path = self.path.with_name(f"{self.path.name}.json")
        self.facts: dict[str, Any] = {}
        self.joined = False
        """Whether it was put together from several pieces."""

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def total(self) -> int:
        """Bytes of the whole file; 0 if the server did not say."""
        return int(self.facts.get("total", 0))

    @property
    def version(self) -> str:
        """What the server called this version of the file; empty if it said nothing that can be relied on."""
        return str(self.facts.get("version", ""))

    def continue_with(self, remote: Remote) -> None:
        """Keep what is there if a download of this file can go on from it; delete it if not."""
        try:
            facts = read_json(self._facts_path)
            known = facts["url"] == remote.url and bool(facts["version"] or remote.digest)
            self.joined = known and 0 < self.size <= (int(facts["total"]) or remote.most_bytes)
        except (OSError, ValueError, TypeError, LookupError):
            self.joined = False
        if self.joined:
            self.facts = facts
        else:
            self.delete()

    def begin(self, remote: Remote, version: str, told: str, total: int) -> None:
        """Begin from nothing with the version that the server sends now, whose MD5 it may have told."""
        self.delete()
        self.facts = {"url": remote.url, "version": version, "total": total, "digest": remote.digest or told}
        write_json(self._facts_path, self.facts)

    def check_space(self, missing: int) -> None:
        """Raise OutputError at once if the disk has no space for so many more bytes."""
        free = shutil.disk_usage(self.path.parent).free
        if missing > free:
            raise OutputError(
                f"cannot write {self.path}: {os.strerror(errno.ENOSPC)}: it takes {missing:,} more bytes, and {free:,}"
                " are free; free some space or choose another folder"
            )

    def is_right(self, remote: Remote) -> bool:
        """Whether the hash is the published one; where none is published, the one that the server told."""
        digest = remote.digest or str(self.facts.get("digest", ""))
        if not digest:
            return True
        with self.path.open("rb") as file:
            if len(digest) == 64:
                return hashlib.file_digest(file, "sha256").hexdigest() == digest
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == digest

    def delete(self) -> None:
        """Begin from nothing."""
        with explained_errors(self.path):
            self._facts_path.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
        self.facts, self.joined = {}, False

    def finish(self, target: Path) -> None:
        """Give the file its name."""
        with explained_errors(target):
            with self.path.open("rb") as written:
                os.fsync(written.fileno())
            self.path.replace(target)
            self._facts_path.unlink(missing_ok=True)
