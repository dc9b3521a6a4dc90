"""Files below a root, read only: a folder. Paths are texts with `/` between names; the root is ""."""

import os
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from bakeoff.errors import DataError

__all__ = ["Entry", "FolderTree", "Tree", "join"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder in a tree."""

    path: str
    """From the root of the tree."""
    is_folder: bool

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


class Tree(ABC):
    """A folder or an archive. Reading is safe in several threads."""

    path: Path
    """The folder or archive on this machine."""

    @abstractmethod
    def list(self, folder: str) -> "list[Entry]":
        """The files and folders in a folder, sorted by name. Raises DataError if it cannot be listed."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The contents of a file. Raises OSError or DataError if it cannot be read."""

    @abstractmethod
    def head(self, path: str, size: int) -> bytes:
        """The first `size` bytes of a file. Raises OSError or DataError if it cannot be read."""

    @abstractmethod
    def stamp(self, path: str) -> tuple[int, ...]:
        """Numbers that change with the contents of a file."""

    @abstractmethod
    def identity(self, folder: str) -> Hashable:
        """The same for two paths of one folder, as links make them."""


class FolderTree(Tree):
    """A folder on this machine. Links are followed."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder; nothing is read."""
        self.path = folder

    def list(self, folder: str) -> list[Entry]:
        """The files and folders in a folder, sorted by name; a broken link is a file."""
        try:
            with os.scandir(self.path / folder) as entries:
                found = [Entry(join(folder, entry.name), entry.is_dir()) for entry in entries]
        except OSError as error:
            raise DataError(f"cannot list {self.path / folder}: {error.strerror}; make it readable") from error
        return sorted(found, key=lambda entry: entry.name)

    def read(self, path: str) -> bytes:
        """The contents of a file."""
        return (self.path / path).read_bytes()

    def head(self, path: str, size: int) -> bytes:
        """The first `size` bytes of a file."""
        with (self.path / path).open("rb") as file:
            return file.read(size)

    def stamp(self, path: str) -> tuple[int, ...]:
        """Size, time of the last change of the contents and of the entry (ns), and inode; -1 for a broken link.

        Two files that are swapped keep size and time of contents, but each has the other's inode.
        """
        try:
            status = (self.path / path).stat()
        except OSError:
            return (-1,)
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino

    def identity(self, folder: str) -> Path:
        """The resolved path."""
        return (self.path / folder).resolve()


def join(folder: str, name: str) -> str:
    """The path of an entry of a folder."""
    return f"{folder}/{name}" if folder else name
