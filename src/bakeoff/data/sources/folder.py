"""A folder of images: `class/image`, or `train|val|test/class/image`.

Files are read in sorted order. Hidden files are skipped; links are followed, except into a parent folder. Nothing is
written into the folder or removed from it.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bakeoff.data.pixels import IMAGE_SUFFIXES, read_rgb
from bakeoff.data.sources.records import BadImage, RawImage, Source, SplitName
from bakeoff.errors import DataError
from bakeoff.files import hash_json

__all__ = ["ImageFolder"]

# A class needs at least one image in each of train, val and test.
_MIN_IMAGES = 3

_SPLITS: dict[str, SplitName] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# Files that are decoded in parallel: enough to use every core, few enough to hold in memory.
_CHUNK_FILES = 64


@dataclass(frozen=True)
class _File:
    path: Path
    split: SplitName | None
    label: int


class ImageFolder(Source):
    """Images in class folders, of at least two classes."""

    licence = "not stated"

    def __init__(self, folder: Path) -> None:
        """List the folder. Raises DataError if the layout is wrong, or a class has too few images."""
        self.name = re.sub(r"[^a-z0-9]+", "-", _to_text(folder.resolve().name).lower()).strip("-") or "images"
        self._folder = folder
        roots = _find_roots(folder)
        classes = {root: _subfolders(root) for root, _ in roots}
        self._class_names = tuple(sorted({_to_text(name) for names in classes.values() for name in names}))
        labels = {name: label for label, name in enumerate(self._class_names)}
        self._ignored: list[Path] = []
        self._files: dict[str, _File] = {}
        real = folder.resolve()
        for root, split in roots:
            for name in classes[root]:
                for path in self._images(root / name, (root.resolve(), real, *real.parents)):
                    self._files[_to_text(path.relative_to(folder).as_posix())] = _File(
                        path, split, labels[_to_text(name)]
                    )
        self._check_classes(roots)
        self.signature = hash_json(
            [_to_text(str(real)), [[key, *_size_and_mtime(file.path)] for key, file in self._files.items()]]
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the class folders, sorted."""
        return self._class_names

    @property
    def count(self) -> int:
        """Number of files with the suffix of an image."""
        return len(self._files)

    @property
    def notes(self) -> tuple[str, ...]:
        """A note with the number of files that were ignored because of their suffix."""
        if not self._ignored:
            return ()
        example = _to_text(self._ignored[0].relative_to(self._folder).as_posix())
        return (f"files ignored for their suffix: {len(self._ignored)}, such as {example}",)

    def records(self) -> Iterator[RawImage | BadImage]:
        """All images. Keys are paths relative to the folder; images that cannot be decoded are BadImages."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for keys in _chunks(list(self._files)):
                yield from pool.map(self._read, keys)

    def fetch(self, keys: Sequence[str]) -> Iterator[RawImage]:
        """The files with these keys, in this order, not decoded: their `shape` is (0, 0)."""
        for key in keys:
            try:
                yield self._record(key, self._files[key].path.read_bytes(), (0, 0))
            except (OSError, KeyError) as error:
                raise DataError(f"{self._folder / key} was removed in the meantime; start again") from error

    def _read(self, key: str) -> RawImage | BadImage:
        try:
            data = self._files[key].path.read_bytes()
            height, width, _ = read_rgb(data).shape
        except OSError as error:
            return BadImage(key, f"the file cannot be read: {error.strerror}")
        except DataError as error:
            return BadImage(key, str(error))
        return self._record(key, data, (height, width))

    def _record(self, key: str, data: bytes, shape: tuple[int, int]) -> RawImage:
        file = self._files[key]
        return RawImage(key, file.split, file.label, None, data, shape, encoded=True)

    def _images(self, folder: Path, parents: tuple[Path, ...]) -> Iterator[Path]:
        real = folder.resolve()
        if real in parents:
            return
        for entry in _list_visible(folder):
            path = folder / entry.name
            if entry.is_dir():
                yield from self._images(path, (*parents, real))
            elif path.suffix.lower() not in IMAGE_SUFFIXES:
                self._ignored.append(path)
            elif entry.is_file() or entry.is_symlink():
                # A broken link counts as an unreadable image. Pipes and sockets are skipped.
                yield path

    def _check_classes(self, roots: Sequence[tuple[Path, SplitName | None]]) -> None:
        if not self._files:
            if any(path.suffix.lower() in IMAGE_SUFFIXES for path in self._folder.iterdir()):
                raise DataError(f"{self._folder} holds images but no class folders; give each class its own folder")
            raise DataError(f"{self._folder} holds no images ({', '.join(IMAGE_SUFFIXES)}) in class folders; add some")
        if len(self._class_names) < 2:
            raise DataError(f"{self._folder} has one class only, {self._class_names[0]}; add another class folder")
        counts = Counter(file.label for file in self._files.values())
        for label, name in enumerate(self._class_names):
            if counts[label] < _MIN_IMAGES:
                found = f"has fewer than {_MIN_IMAGES} images ({counts[label]})"
                raise DataError(f"class {name} in {self._folder} {found}; add some or remove the class")
        trained = {file.label for file in self._files.values() if file.split in (None, "train")}
        for label, name in enumerate(self._class_names):
            if label not in trained:
                raise DataError(f"class {name} has no images in {roots[0][0]}; add some or remove the class")


def _find_roots(folder: Path) -> list[tuple[Path, SplitName | None]]:
    names = _subfolders(folder)
    # `train` may be a class of vehicles: folders are splits only if all of them have names of splits.
    if "train" in names and set(names) <= set(_SPLITS) and _subfolders(folder / "train"):
        return sorted(((folder / name, _SPLITS[name]) for name in names), key=lambda root: root[1] != "train")
    return [(folder, None)]


def _subfolders(folder: Path) -> list[str]:
    return [entry.name for entry in _list_visible(folder) if entry.is_dir()]


def _list_visible(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror}; make it readable") from error


def _size_and_mtime(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _to_text(name: str) -> str:
    # File names are bytes. Names that are not UTF-8 are escaped, so that JSON can hold them.
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _chunks(keys: list[str]) -> Iterator[list[str]]:
    return (keys[start : start + _CHUNK_FILES] for start in range(0, len(keys), _CHUNK_FILES))
