"""Files below a root, read only: a folder, or an archive. Paths are texts with `/` between names; the root is ""."""

import os
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from bakeoff.data.pixels import HEAD_BYTES, IMAGE_SUFFIXES, is_image
from bakeoff.errors import DataError

__all__ = ["Entry", "FolderTree", "Tree", "join", "stamp_file", "to_name", "to_text"]

# Frequent suffixes of files that are no images: they need not be opened to know it.
_OTHER_SUFFIXES = frozenset(
    """
    .txt .csv .tsv .json .jsonl .ndjson .xml .yaml .yml .toml .ini .cfg .md .rst .html .htm .css .js .py .ipynb .m .mat
    .npy .npz .pkl .h5 .hdf5 .pt .pth .keras .onnx .tflite .tfrecord .parquet .arrow .zip .tar .gz .tgz .bz2 .xz .7z
    .rar .pdf .doc .docx .xls .xlsx .ppt .pptx .log .db .sqlite .mp4 .mov .avi .mkv .webm .wav .mp3 .flac .exe .dll
    .so .lnk .url .tmp .bak .part .lock .sha256 .md5
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder in a tree."""

    path: str
    """From the root of the tree."""
    is_folder: bool
    is_special: bool = False
    """Whether it is a pipe, a socket or a device. A link that leads nowhere is a file that cannot be read."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The suffix of the name, in lower case and with its dot; empty if there is none."""
        stem, dot, suffix = self.name.rpartition(".")
        return f".{suffix.lower()}" if stem and dot else ""


class Tree(ABC):
    """A folder or an archive. Reading is safe in several threads."""

    is_archive: bool = False

    def __init__(self, path: Path) -> None:
        """Remember where the tree is; nothing is read."""
        self.path = path
        """The folder or archive on this machine."""
        self._is_image: dict[str, bool] = {}

    def is_image(self, entry: Entry) -> bool:
        """Whether a file is an image, by its suffix, or else by what it begins with."""
        if entry.is_folder or entry.is_special:
            return False
        suffix = entry.suffix
        if suffix in IMAGE_SUFFIXES:
            return True
        if suffix in _OTHER_SUFFIXES:
            return False
        if entry.path not in self._is_image:
            try:
                self._is_image[entry.path] = is_image(self.head(entry.path, HEAD_BYTES))
            except (OSError, DataError):
                # What cannot be read and does not look like an image is left out and counted like other such files.
                self._is_image[entry.path] = False
        return self._is_image[entry.path]

    @abstractmethod
    def entries(self, folder: str) -> list[Entry]:
        """The files and folders in a folder, sorted by name. Raises DataError if it cannot be listed."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The contents of a file. Raises OSError, KeyError or DataError if it cannot be read."""

    @abstractmethod
    def head(self, path: str, size: int) -> bytes:
        """The first `size` bytes of a file. Raises as `read` does."""

    @abstractmethod
    def stamp(self, path: str) -> tuple[int, ...]:
        """Numbers that change with the contents of a file; in an archive, with those of the archive."""

    def identity(self, folder: str) -> Hashable:
        """The same for two paths of one folder, as links make them."""
        return folder

    def parents(self) -> tuple[Hashable, ...]:
        """Identities of the folders above the root, into which links are not followed, and its own."""
        return ()

    @abstractmethod
    def has(self, path: str) -> bool:
        """Whether there is a regular file at a path."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the tree cannot be read."""
        return ()

    def shown(self, path: str = "") -> str:
        """A path in the tree as messages name it."""
        return to_text(str(self.path / path))


class FolderTree(Tree):
    """A folder on this machine, each of its folders listed once. Links are followed."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder; nothing is read."""
        super().__init__(folder)
        self._root = os.fspath(folder)
        self._entries: dict[str, list[Entry]] = {}

    def entries(self, folder: str) -> list[Entry]:
        """The files and folders in a folder, sorted by name."""
        if folder not in self._entries:
            try:
                with os.scandir(self._locate(folder)) as entries:
                    found = [_describe(folder, entry) for entry in entries]
            except OSError as error:
                raise DataError(f"cannot list {self.shown(folder)}: {error.strerror}; make it readable") from error
            self._entries[folder] = sorted(found, key=lambda entry: entry.name)
        return self._entries[folder]

    def read(self, path: str) -> bytes:
        """The contents of a file."""
        return Path(self._locate(path)).read_bytes()

    def head(self, path: str, size: int) -> bytes:
        """The first `size` bytes of a file."""
        with open(self._locate(path), "rb", buffering=0) as file:  # noqa: PTH123
            return file.read(size)

    def stamp(self, path: str) -> tuple[int, ...]:
        """As `stamp_file`; -1 for a broken link."""
        try:
            return stamp_file(self._locate(path))
        except OSError:
            return (-1,)

    def identity(self, folder: str) -> Path:
        """The resolved path."""
        return (self.path / folder).resolve()

    def parents(self) -> tuple[Path, ...]:
        """The resolved paths of the folder and of those above it."""
        real = self.path.resolve()
        return (real, *real.parents)

    def has(self, path: str) -> bool:
        """Whether there is a regular file, or a link to one."""
        return os.path.isfile(self._locate(path))  # noqa: PTH113 (pathlib raises PermissionError)

    def _locate(self, path: str) -> str:
        # pathlib takes ten times as long, which counts where there are a million files.
        return f"{self._root}/{path}" if path else self._root


def _describe(folder: str, entry: os.DirEntry[str]) -> Entry:
    is_folder = entry.is_dir()
    is_special = not is_folder and not entry.is_file() and not entry.is_symlink()
    return Entry(join(folder, entry.name), is_folder, is_special)


def stamp_file(path: str | Path) -> tuple[int, ...]:
    """Numbers that change when another file takes a path's place, or its contents change.

    Size, inode, and the times in ns of the last change of the contents and of the inode: two files that are swapped
    keep their size and their first time, but not their inode. Raises OSError.
    """
    status = os.stat(path)  # noqa: PTH116
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def join(folder: str, name: str) -> str:
    """The path of an entry of a folder."""
    return f"{folder}/{name}" if folder else name


def to_text(name: str) -> str:
    """A file name as text. Names are bytes; those that are not UTF-8 must still fit into JSON."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def to_name(folder: str) -> str:
    """The name of a folder as that of a class or group: the same in every Unicode form that systems write."""
    return unicodedata.normalize("NFC", to_text(folder))
