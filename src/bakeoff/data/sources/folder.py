"""A folder of images: `class/image`, or `train|val|test/class/image` under their usual names.

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
from bakeoff.data.sources.layout import files_below, read_layout, subfolders, to_text
from bakeoff.data.sources.records import BadImage, RawImage, Source, SplitName
from bakeoff.errors import DataError
from bakeoff.files import hash_json
from bakeoff.runs.config import FolderLayout

__all__ = ["ImageFolder"]

# A class needs at least one image in each of train, val and test.
_MIN_IMAGES = 3

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

    def __init__(self, folder: Path, layout: FolderLayout = FolderLayout.AUTO) -> None:
        """List the folder. Raises DataError if the layout is wrong or unclear, or a class has too few images."""
        self.name = re.sub(r"[^a-z0-9]+", "-", to_text(folder.resolve().name).lower()).strip("-") or "images"
        self._folder = folder
        self._layout = read_layout(folder, layout)
        roots = [(root.path, root.split) for root in self._layout.roots]
        classes = {root: subfolders(root) for root, _ in roots}
        self._class_names = tuple(sorted({to_text(name) for names in classes.values() for name in names}))
        labels = {name: label for label, name in enumerate(self._class_names)}
        self._ignored: list[Path] = []
        self._files: dict[str, _File] = {}
        real = folder.resolve()
        for root, split in roots:
            for name in classes[root]:
                for path in self._images(root / name, (root.resolve(), real, *real.parents)):
                    self._files[to_text(path.relative_to(folder).as_posix())] = _File(
                        path, split, labels[to_text(name)]
                    )
        self._check_classes(roots)
        self.signature = hash_json(
            [
                to_text(str(real)),
                [[key, file.split, file.label, *_size_and_mtime(file.path)] for key, file in self._files.items()],
            ]
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
        """How the layout was understood, and how many files were ignored because of their suffix."""
        if not self._ignored:
            return self._layout.notes
        example = to_text(self._ignored[0].relative_to(self._folder).as_posix())
        return (*self._layout.notes, f"files ignored for their suffix: {len(self._ignored)}, such as {example}")

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
        for entry in files_below(folder, parents):
            path = Path(entry.path)
            if path.suffix.lower() not in IMAGE_SUFFIXES:
                self._ignored.append(path)
            elif entry.is_file() or entry.is_symlink():
                # A broken link is an image that cannot be read. A pipe or a socket is not an image.
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


def _size_and_mtime(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _chunks(keys: list[str]) -> Iterator[list[str]]:
    return (keys[start : start + _CHUNK_FILES] for start in range(0, len(keys), _CHUNK_FILES))
