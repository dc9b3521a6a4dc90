"""CIFAR-10 and CIFAR-100, read from their binary archives (Krizhevsky 2009).

A record is one or two label bytes and 3,072 bytes of pixels in the order (channel, row, column). Only members of known
names are read, directly from the archive: nothing is extracted, and nothing is unpickled.
"""

import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from bakeoff.data.sources.download import find_archive, hash_md5
from bakeoff.data.sources.records import BadImage, OnCount, RawImage, Source, SplitName
from bakeoff.data.sources.trees import stamp_file
from bakeoff.errors import DataError
from bakeoff.files import hash_json
from bakeoff.text import counted

__all__ = ["CIFARS", "Archive", "Cifar"]

_SIDE = 32
_PIXEL_BYTES = 3 * _SIDE * _SIDE
# Largest size of a member in bytes. In the published archives, records have up to 154 MB and texts under 1 kB.
_MEMBER_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True)
class Archive:
    """One published archive: its file, its origin, and the names of the members that are read."""

    name: str
    file: str
    md5: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    class_names: str
    coarse_names: str | None
    url: str

    @property
    def label_bytes(self) -> int:
        """Number of bytes before the pixels of a record; the last one is the label of the (fine) class."""
        return 2 if self.coarse_names else 1


CIFARS = {
    archive.name: archive
    for archive in (
        Archive(
            name="cifar100",
            file="cifar-100-binary.tar.gz",
            md5="03b5dce01913d631647c71ecec9e9cb8",
            train=("train.bin",),
            test=("test.bin",),
            class_names="fine_label_names.txt",
            coarse_names="coarse_label_names.txt",
            url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        ),
        Archive(
            name="cifar10",
            file="cifar-10-binary.tar.gz",
            md5="c32a1d4ab5d03f1284b67883e8d87530",
            train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
            test=("test_batch.bin",),
            class_names="batches.meta.txt",
            coarse_names=None,
            url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        ),
    )
}


@dataclass(frozen=True)
class _Contents:
    images: dict[str, np.ndarray]
    """By split, uint8 (n, 32, 32, 3)."""
    labels: dict[str, np.ndarray]
    """By split, uint8 (n, label bytes)."""
    class_names: tuple[str, ...]
    coarse_names: tuple[str, ...] | None
    coarse_of: tuple[int, ...] | None
    notes: tuple[str, ...]


class Cifar(Source):
    """A CIFAR archive. Its contents are read into memory at first use."""

    licence = "no licence stated; cite Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009)"

    def __init__(self, archive: Archive, data_dir: Path | None = None, on_count: OnCount | None = None) -> None:
        """Find or download the archive. Raises DataError if that fails."""
        self.name = archive.name
        self._archive = archive
        self._path = find_archive(archive.file, archive.url, archive.md5, data_dir, on_count)
        self.signature = hash_json([archive.name, str(self._path.resolve()), *stamp_file(self._path)])

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the (fine) classes, from the list in the archive."""
        return self._contents.class_names

    @property
    def coarse_names(self) -> tuple[str, ...] | None:
        """Names of CIFAR-100's superclasses; None for CIFAR-10."""
        return self._contents.coarse_names

    @property
    def coarse_of(self) -> tuple[int, ...] | None:
        """The superclass of each class, from the labels of the records; None for CIFAR-10."""
        return self._contents.coarse_of

    @property
    def notes(self) -> tuple[str, ...]:
        """A note if the archive's MD5 is not the published one."""
        return self._contents.notes

    @property
    def count(self) -> int:
        """Number of images in both splits."""
        return sum(len(labels) for labels in self._contents.labels.values())

    def records(self) -> Iterator[RawImage | BadImage]:
        """All images. Keys are split and position, as in `train/00042`."""
        sizes = [(split, len(labels)) for split, labels in self._contents.labels.items()]
        return self.fetch([f"{split}/{index:05d}" for split, size in sizes for index in range(size)])

    def fetch(self, keys: Sequence[str]) -> Iterator[RawImage]:
        """The images with these keys, in this order."""
        for key in keys:
            split: SplitName = "train" if key.startswith("train/") else "test"
            index = int(key.partition("/")[2])
            labels = self._contents.labels[split][index]
            coarse = int(labels[0]) if len(labels) == 2 else None
            data = self._contents.images[split][index].tobytes()
            yield RawImage(key, split, int(labels[-1]), coarse, data, (_SIDE, _SIDE))

    @cached_property
    def _contents(self) -> _Contents:
        archive = self._archive
        try:
            members = _read_members(self._path, archive)
            class_names = _parse_names(members[archive.class_names])
            coarse_names = _parse_names(members[archive.coarse_names]) if archive.coarse_names else None
            counts = [len(coarse_names), len(class_names)] if coarse_names else [len(class_names)]
            blocks = {
                "train": np.concatenate([_parse_records(members, name, counts) for name in archive.train]),
                "test": np.concatenate([_parse_records(members, name, counts) for name in archive.test]),
            }
            labels = {split: block[:, : len(counts)] for split, block in blocks.items()}
            coarse_of = _map_coarse(np.concatenate(list(labels.values())), class_names) if coarse_names else None
        except (DataError, tarfile.TarError, zlib.error, EOFError, OSError) as error:
            raise DataError(
                f"{self._path} is not a usable {archive.file}: {error}; fetch it again from {archive.url}"
            ) from error
        images = {
            # From (channel, row, column) to (row, column, channel).
            split: np.ascontiguousarray(
                block[:, len(counts) :].reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1),
            )
            for split, block in blocks.items()
        }
        md5 = hash_md5(self._path)
        note = f"{archive.file} has MD5 {md5}, not the published {archive.md5}; its structure is right, so it was used"
        return _Contents(images, labels, class_names, coarse_names, coarse_of, () if md5 == archive.md5 else (note,))


def _read_members(path: Path, archive: Archive) -> dict[str, bytes]:
    wanted = {*archive.train, *archive.test, archive.class_names, archive.coarse_names} - {None}
    found: dict[str, bytes] = {}
    with tarfile.open(path, "r:gz") as tar:
        for member in tar:
            name = PurePosixPath(member.name).name
            if name not in wanted or name in found or not member.isreg():
                continue
            if member.size > _MEMBER_LIMIT_BYTES:
                raise DataError(f"its member {name} claims {member.size:,} bytes")
            reader = tar.extractfile(member)
            found[name] = reader.read() if reader else b""
            if len(found) == len(wanted):
                break
    if missing := sorted(str(name) for name in wanted - found.keys()):
        raise DataError(f"it holds no {' and no '.join(missing)} (the binary version is needed, not the Python one)")
    return found


def _parse_names(text: bytes) -> tuple[str, ...]:
    names = tuple(line.strip() for line in text.decode("utf-8", "replace").splitlines() if line.strip())
    if not 2 <= len(set(names)) == len(names) <= 256:
        raise DataError(
            f"its list of class names has {counted(len(set(names)), 'different name')} in {counted(len(names), 'line')}"
        )
    return names


def _parse_records(members: dict[str, bytes], name: str, counts: Sequence[int]) -> np.ndarray:
    size = len(counts) + _PIXEL_BYTES
    data = members[name]
    if not data or len(data) % size:
        raise DataError(f"{name} has {counted(len(data), 'byte')}, which is not a multiple of {size}")
    block = np.frombuffer(data, np.uint8).reshape(-1, size)
    for column, count in enumerate(counts):
        if (highest := int(block[:, column].max())) >= count:
            raise DataError(f"{name} has label {highest}, but there are {counted(count, 'name')}")
    return block


def _map_coarse(labels: np.ndarray, class_names: Sequence[str]) -> tuple[int, ...]:
    pairs = np.unique(labels, axis=0)
    coarse_of = {int(fine): int(coarse) for coarse, fine in pairs}
    if len(pairs) != len(coarse_of):
        raise DataError("it has a class whose images belong to several superclasses")
    if missing := [name for label, name in enumerate(class_names) if label not in coarse_of]:
        raise DataError(f"it has no image of class {missing[0]}")
    return tuple(coarse_of[label] for label in range(len(class_names)))
