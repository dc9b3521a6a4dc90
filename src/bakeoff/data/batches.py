"""Makes training batches and evaluation batches from shards.

A small split is held in memory as uint8. A large one is decoded once into a file in the cache and read from there by
position, so that shuffling is exact and training can resume at any batch.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bakeoff.cache import mark_used
from bakeoff.data.augment import augment_batch
from bakeoff.data.order import balanced_order
from bakeoff.data.shards import Dataset, read_blocks
from bakeoff.data.sources import SplitName
from bakeoff.files import cache_dir, hash_json, read_arrays, replacing
from bakeoff.runs.config import Augment
from bakeoff.variables import MEMORY_LIMIT_BYTES

__all__ = [
    "Batch",
    "ChangedImages",
    "ImagesOnDisk",
    "JoinedImages",
    "Split",
    "TrainBatch",
    "eval_batches",
    "is_large",
    "load_split",
    "sample_stratified",
    "train_batches",
]

# Images (n, side, side, 3) and labels (n,).
Batch = tuple[NDArray[np.uint8], NDArray[np.int32]]
# Images (n, side, side, 3) and targets (n, classes), each row a distribution over the classes.
TrainBatch = tuple[NDArray[np.uint8], NDArray[np.float32]]

# A split with more bytes of decoded images than this is read from disk instead of held in memory, unless
# $BAKEOFF_MEMORY_LIMIT_BYTES is set.
DEFAULT_LIMIT_BYTES = 2**30


class ImagesOnDisk:
    """Images (n, side, side, 3) in a `.npy` file, read by positions or by a slice like an array.

    The file is mapped anew for each access, because mapped pages count as resident memory of the process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.shape: tuple[int, ...] = self._map().shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice | NDArray[np.intp]) -> NDArray[np.uint8]:
        return np.array(self._map()[key])

    def _map(self) -> NDArray[np.uint8]:
        # A run may be longer than the time for which the cache keeps what is not used.
        mark_used(self._path)
        images: NDArray[np.uint8] = np.load(self._path, mmap_mode="r")
        return images


class JoinedImages:
    """The images of several splits, one after the other, read by positions or by a slice like an array."""

    def __init__(self, *parts: "Images") -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *map(len, parts)])
        self.shape: tuple[int, ...] = (int(self._starts[-1]), *parts[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice | NDArray[np.intp]) -> NDArray[np.uint8]:
        positions = np.arange(len(self))[key]
        images = np.empty((len(positions), *self.shape[1:]), np.uint8)
        for part, start, end in zip(self._parts, self._starts[:-1], self._starts[1:], strict=True):
            here = (start <= positions) & (positions < end)
            images[here] = part[positions[here] - start]
        return images


class ChangedImages:
    """Images (n, side, side, 3) that are changed when they are read, by positions or by a slice like an array."""

    def __init__(self, images: "Images", change: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]) -> None:
        """`change` gets images and the position of the first of them, and returns as many of the same shape."""
        self._images, self._change = images, change
        self.shape: tuple[int, ...] = images.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice | NDArray[np.intp]) -> NDArray[np.uint8]:
        positions = np.arange(len(self))[key]
        return self._change(self._images[positions], int(positions[0]) if len(positions) else 0)


Images = NDArray[np.uint8] | ImagesOnDisk | JoinedImages | ChangedImages


@dataclass(frozen=True)
class Split:
    """The decoded images of one split."""

    images: Images
    """uint8 (n, side, side, 3)."""
    labels: NDArray[np.int32]
    """int32 (n,)."""
    ids: list[str]
    """The ids of the records: n strings."""
    groups: list[str] | None = None
    """The groups of the images, n strings: images of a group stay in one split or fold. None if there are none."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_on_disk(self) -> bool:
        """Whether the images are read from disk because they are too large for memory."""
        return isinstance(self.images, ImagesOnDisk)

    def take(self, positions: NDArray[np.intp]) -> "Split":
        """The images at these positions, in this order."""
        groups = self.groups and [self.groups[position] for position in positions]
        return Split(
            self.images[positions], self.labels[positions], [self.ids[position] for position in positions], groups
        )

    def joined(self, other: "Split") -> "Split":
        """The images of both splits, those of the other one last; no image is copied."""
        groups = None if self.groups is None or other.groups is None else [*self.groups, *other.groups]
        labels = np.concatenate([self.labels, other.labels])
        return Split(JoinedImages(self.images, other.images), labels, [*self.ids, *other.ids], groups)


class _Rows(NamedTuple):
    """What a Split has besides its images."""

    labels: NDArray[np.int32]
    ids: list[str]
    groups: list[str] | None


def is_large(dataset: Dataset, split: SplitName) -> bool:
    """Whether the decoded images of a split are read from disk because they are too large for memory."""
    return 3 * dataset.side**2 * dataset.counts[split] > MEMORY_LIMIT_BYTES.read_number(DEFAULT_LIMIT_BYTES)


def load_split(dataset: Dataset, split: SplitName, *, subset: int | None = None, unlock: bool = False) -> Split:
    """Decode a split.

    Args:
        dataset: The prepared data.
        split: The split's name.
        subset: Size of a stratified sample to take instead of the whole split; the same data give the same sample.
        unlock: Must be set to read the test split.

    Raises:
        DataError: A shard is damaged, or the test split is locked.
    """
    count = dataset.counts[split]
    shape = (count, dataset.side, dataset.side, 3)
    if is_large(dataset, split):
        whole = _load_on_disk(dataset, split, shape, unlock)
    else:
        images = np.empty(shape, np.uint8)
        whole = Split(images, *_read_into(images, dataset, split, unlock))
    if subset is None or subset >= count:
        return whole
    return whole.take(sample_stratified(whole.labels, subset))


def sample_stratified(labels: NDArray[np.int32], size: int) -> NDArray[np.intp]:
    """Positions (size,) of a stratified sample: the proportions of the classes are kept up to rounding.

    Each class has an image, the largest classes first if there are not so many. Takes the first records of each class
    (shards are shuffled), so a smaller sample is a subset of a larger one.
    """
    by_class, counts = np.argsort(labels, kind="stable"), np.bincount(labels)
    positions_in_class = np.empty(len(labels), np.intp)
    positions_in_class[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    quantiles = (positions_in_class + 0.5) / counts[labels]
    return np.sort(np.lexsort((quantiles, positions_in_class > 0))[:size])


def train_batches(
    split: Split, classes: int, batch: int, augment: Augment, *, seed: int, start: int = 0, balanced: bool = False
) -> Iterator[TrainBatch]:
    """Endless augmented batches, shuffled anew each epoch; a batch may span two epochs.

    All randomness comes from (seed, epoch) and (seed, batch number), so training can resume at any batch. A thread
    prepares the next batch while the current one is used.

    Args:
        split: The images.
        classes: Number of classes of the targets.
        batch: Images per batch.
        augment: The augmentation policy.
        seed: Seed of order and augmentation.
        start: Number of the first batch, counted from 0.
        balanced: Whether every class is drawn equally often, see `balanced_order`.
    """
    one_hot = np.eye(classes, dtype=np.float32)

    def make(number: int) -> TrainBatch:
        positions = np.arange(number * batch, (number + 1) * batch)
        epochs, offsets = np.divmod(positions, len(split))
        rows = np.concatenate([order(epoch)[offsets[epochs == epoch]] for epoch in np.unique(epochs)])
        rng = np.random.default_rng([seed, 1, number])
        return augment_batch(split.images[rows], one_hot[split.labels[rows]], rng, augment)

    orders: dict[int, NDArray[np.intp]] = {}

    def order(epoch: int) -> NDArray[np.intp]:
        if epoch not in orders:
            orders.clear()
            rng = np.random.default_rng([seed, 0, epoch])
            orders[epoch] = balanced_order(split.labels, rng) if balanced else rng.permutation(len(split))
        return orders[epoch]

    with ThreadPoolExecutor(max_workers=1) as thread:
        pending = thread.submit(make, start)
        while True:
            start += 1
            ready, pending = pending, thread.submit(make, start)
            yield ready.result()


def eval_batches(split: Split, batch: int) -> Iterator[Batch]:
    """All images once, in order, without augmentation. The last batch may be smaller."""
    for first in range(0, len(split), batch):
        yield split.images[first : first + batch], split.labels[first : first + batch]


def _read_into(images: NDArray[np.uint8], dataset: Dataset, split: SplitName, unlock: bool) -> _Rows:
    first = 0

    def write(block: NDArray[np.uint8]) -> None:
        nonlocal first
        images[first : first + len(block)] = block
        first += len(block)

    return _read(write, dataset, split, unlock)


def _is_complete(pixels: Path, rest: Path) -> bool:
    """Whether the cache holds both files of a split, undamaged."""
    try:
        return len(ImagesOnDisk(pixels)) == len(read_arrays(rest)["ids"])
    except (OSError, ValueError, KeyError):
        return False


def _decode_to(path: Path, shape: tuple[int, ...], dataset: Dataset, split: SplitName, unlock: bool) -> _Rows:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        return _read(lambda block: file.write(block.tobytes()), dataset, split, unlock)


def _read(write: Callable[[NDArray[np.uint8]], object], dataset: Dataset, split: SplitName, unlock: bool) -> _Rows:
    """Pass the images of a split to `write`, block by block; return the rest of all blocks."""
    labels: list[NDArray[np.int32]] = []
    ids: list[str] = []
    groups: list[str] = []
    for block in read_blocks(dataset, split, unlock=unlock):
        write(block.images)
        labels.append(block.labels)
        ids.extend(block.ids)
        groups.extend(block.groups or ())
    joined = np.concatenate(labels) if labels else np.empty(0, np.int32)
    return _Rows(joined, ids, groups if dataset.manifest.groups else None)


def _load_on_disk(dataset: Dataset, split: SplitName, shape: tuple[int, ...], unlock: bool) -> Split:
    folder = cache_dir() / "decoded"
    # The shards' hashes, because equal images under other names have the same key: the ids are of these shards.
    shards = [file.sha256 for file in dataset.manifest.splits[split].files]
    name = hash_json([dataset.decoded_key, split, list(shape), shards])[:24]
    pixels, rest = folder / f"{name}.npy", folder / f"{name}.npz"
    mark_used(pixels)
    if not _is_complete(pixels, rest):
        with replacing(pixels) as temporary:
            rows = _decode_to(temporary, shape, dataset, split, unlock)
        with replacing(rest) as temporary:
            columns = {name: np.array(column) for name, column in rows._asdict().items() if column is not None}
            np.savez(temporary, allow_pickle=False, **columns)
    facts = read_arrays(rest)
    names = facts["groups"].tolist() if "groups" in facts else None
    return Split(ImagesOnDisk(pixels), facts["labels"], facts["ids"].tolist(), names)
