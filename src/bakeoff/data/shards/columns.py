"""The images of a source as columns: under 0.1 kB each, so that a million of them hardly count in memory."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.shards.splits import SPLITS, Numbers
from bakeoff.data.sources import RawImage, SplitName

__all__ = ["NONE", "ColumnsBuilder", "ImageColumns", "Numbers", "ShardEntry"]

# What stands in a column of numbers for None.
NONE = -1
_HASH_BYTES = 32
# Rows that are made of columns at once.
_CHUNK_ROWS = 4096


class ShardEntry(NamedTuple):
    """One readable image: all that is stored of it, except its bytes."""

    key: str
    split: SplitName | None
    """None as long as the image has no split."""
    label: int
    coarse_label: int | None
    sha256: str
    size: int
    """Number of bytes that are stored."""
    shape: tuple[int, int]
    """(height, width) in pixels."""
    group: str | None
    """The group that it is in, if the source has groups; an image without one is a group with its own key."""


class Texts:
    """Many texts, as one piece of UTF-8."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])

    def append(self, text: str) -> None:
        """Add a text at the end."""
        self._bytes += text.encode()
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, place: int) -> str:
        return self._bytes[self._ends[place] : self._ends[place + 1]].decode()

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The bytes of each text, (n,)."""
        ends = np.frombuffer(self._ends, np.int64)
        return ends[1:] - ends[:-1]


@dataclass(frozen=True)
class ImageColumns:
    """The readable images of a source, n in all, in an order that depends only on their content and labels."""

    hashes: NDArray[np.uint8]
    """SHA-256 of the stored bytes, (n, 32)."""
    splits: Numbers
    """Places in SPLITS, (n,); -1 where there is none."""
    labels: Numbers
    """(n,)."""
    coarse_labels: Numbers
    """(n,); -1 where there is none."""
    sizes: Numbers
    """Bytes that are stored, (n,)."""
    shapes: Numbers
    """Heights and widths in pixels, (n, 2)."""
    is_raw: NDArray[np.bool_]
    """Whether raw pixels are stored, (n,)."""
    groups: Sequence[str | None] | None
    """The group of each image, n texts; None if the source has no groups."""
    texts: Texts
    """The keys, in the order in which they were read."""
    read: Numbers
    """The place of each image's key among them, (n,)."""

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def contents(self) -> NDArray[np.intp]:
        """A number for each image, (n,), ascending from 0: byte-identical images have the same."""
        differs = np.empty(len(self), bool)
        differs[:1] = False
        differs[1:] = (self.hashes[1:] != self.hashes[:-1]).any(axis=1)
        return differs.cumsum()

    @property
    def key_sizes(self) -> NDArray[np.int64]:
        """The bytes of each image's key, (n,)."""
        return self.texts.sizes[self.read]

    def key(self, place: int) -> str:
        """The key of the image at a place."""
        return self.texts[int(self.read[place])]

    def keys(self) -> Iterator[str]:
        """All keys."""
        return map(self.key, range(len(self)))

    def names_of_splits(self) -> list[SplitName | None]:
        """The split of each image; None where there is none."""
        names = (*SPLITS, None)
        return [names[split] for split in self.splits]

    def keep(self, is_kept: NDArray[np.bool_]) -> "ImageColumns":
        """The images at which `is_kept`, (n,), is true, in the same order."""
        if is_kept.all():
            return self
        return replace(
            self,
            hashes=self.hashes[is_kept],
            splits=self.splits[is_kept],
            labels=self.labels[is_kept],
            coarse_labels=self.coarse_labels[is_kept],
            sizes=self.sizes[is_kept],
            shapes=self.shapes[is_kept],
            is_raw=self.is_raw[is_kept],
            groups=self.groups and list(compress(self.groups, is_kept)),
            read=self.read[is_kept],
        )

    def rows(self) -> Iterator[ShardEntry]:
        """All images."""
        for start in range(0, len(self), _CHUNK_ROWS):
            yield from self.take(np.arange(start, min(start + _CHUNK_ROWS, len(self))))

    def take(self, places: NDArray[np.intp]) -> list[ShardEntry]:
        """The images at these places, in this order."""
        digits = self.hashes[places].tobytes().hex()
        names = (*SPLITS, None)
        columns = (self.splits, self.labels, self.coarse_labels, self.sizes, self.shapes, self.read)
        numbers = zip(*(column[places].tolist() for column in columns), strict=True)
        groups = [self.groups[place] for place in places] if self.groups else [None] * len(places)
        return [
            ShardEntry(
                self.texts[read],
                names[split],
                label,
                None if coarse == NONE else coarse,
                digits[2 * _HASH_BYTES * number : 2 * _HASH_BYTES * (number + 1)],
                size,
                (shape[0], shape[1]),
                group,
            )
            for number, ((split, label, coarse, size, shape, read), group) in enumerate(
                zip(numbers, groups, strict=True)
            )
        ]


class ColumnsBuilder:
    """Makes columns of images as they are read."""

    def __init__(self, *, has_groups: bool) -> None:
        self._keys = Texts()
        self._hashes = bytearray()
        self._splits, self._is_raw = array("b"), array("b")
        self._labels, self._coarse, self._shapes = array("i"), array("i"), array("i")
        self._sizes = array("q")
        self._groups: list[str | None] | None = [] if has_groups else None
        self._known: dict[str | None, str | None] = {}

    def add(self, record: RawImage, digest: bytes, size: int, is_raw: bool) -> None:
        """Add an image, of whose data only the SHA-256 and the size are kept."""
        self._keys.append(record.key)
        self._hashes += digest
        self._splits.append(NONE if record.split is None else SPLITS.index(record.split))
        self._labels.append(record.label)
        self._coarse.append(NONE if record.coarse_label is None else record.coarse_label)
        self._sizes.append(size)
        self._shapes.extend(record.shape)
        self._is_raw.append(is_raw)
        if self._groups is not None:
            # Of equal texts only one stays in memory.
            self._groups.append(self._known.setdefault(record.group, record.group))

    def finish(self) -> ImageColumns:
        """The columns, sorted by content first, so that nothing depends on file names. Call it once."""
        hashes = np.frombuffer(self._hashes, np.uint8).reshape(-1, _HASH_BYTES)
        order = self._sort(hashes)
        groups = self._groups
        return ImageColumns(
            hashes=hashes[order],
            splits=np.frombuffer(self._splits, np.int8)[order],
            labels=_narrow(self._labels)[order],
            coarse_labels=_narrow(self._coarse)[order],
            sizes=_narrow(self._sizes)[order],
            shapes=_narrow(self._shapes).reshape(-1, 2)[order],
            is_raw=np.frombuffer(self._is_raw, np.bool_)[order],
            groups=groups and [groups[place] for place in order],
            texts=self._keys,
            read=_narrow(order),
        )

    def _sort(self, hashes: NDArray[np.uint8]) -> NDArray[np.intp]:
        """The order by hash, label, split and key."""
        # The first eight bytes decide, except among copies.
        starts = hashes[:, :8].copy().view(">u8").ravel().astype(np.uint64)
        order = np.argsort(starts, kind="stable")
        changes = np.flatnonzero(np.diff(starts[order])) + 1
        edges = np.concatenate([[0], changes, [len(order)]])
        for run in np.flatnonzero(np.diff(edges) > 1):
            alike = slice(edges[run], edges[run + 1])
            order[alike] = sorted(order[alike].tolist(), key=self._rank)
        return order

    def _rank(self, place: int) -> tuple[bytes, int, str, str]:
        hash_ = bytes(self._hashes[_HASH_BYTES * place : _HASH_BYTES * (place + 1)])
        split = self._splits[place]
        return hash_, self._labels[place], "" if split == NONE else SPLITS[split], self._keys[place]


def _narrow(numbers: Sequence[int] | Numbers) -> Numbers:
    """The numbers as an array of the smallest type that holds them."""
    found = np.asarray(numbers)
    if not len(found):
        return found.astype(np.int8)
    return found.astype(np.result_type(np.min_scalar_type(found.min()), np.min_scalar_type(found.max())))
