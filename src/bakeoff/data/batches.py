"""From shards to batches: one function feeds training, another feeds evaluation.

A split small enough is held in memory as uint8; a larger one is decoded once into a file in the cache and read from
there, so that shuffling stays exact and the order can be taken up again at any step.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.cache import mark_used
from bakeoff.data.augment import augment_batch
from bakeoff.data.shards import Dataset, read_blocks
from bakeoff.data.sources import SplitName
from bakeoff.files import cache_dir, hash_json, read_arrays, replacing
from bakeoff.runs.config import Augment

__all__ = [
    "Batch",
    "ImagesOnDisk",
    "Split",
    "TrainBatch",
    "eval_batches",
    "load_split",
    "sample_stratified",
    "train_batches",
]

# Images (n, side, side, 3), and labels (n,); in training, targets (n, classes), which are shares of 1.
Batch = tuple[NDArray[np.uint8], NDArray[np.int32]]
TrainBatch = tuple[NDArray[np.uint8], NDArray[np.float32]]

# Decoded images above this many bytes are mapped from disk instead of held in memory.
MEMORY_LIMIT_BYTES = int(os.environ.get("BAKEOFF_MEMORY_LIMIT_BYTES", 2**30))


class ImagesOnDisk:
    """Images in a `.npy` file, read by position or slice as from an array.

    The file is mapped for each reading alone: what stays mapped counts as the process's resident memory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.shape: tuple[int, ...] = self._map().shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice | NDArray[np.intp]) -> NDArray[np.uint8]:
        return np.array(self._map()[key])

    def _map(self) -> NDArray[np.uint8]:
        images: NDArray[np.uint8] = np.load(self._path, mmap_mode="r")
        return images


@dataclass(frozen=True)
class Split:
    """Decoded images of one split: uint8 (n, side, side, 3), int32 labels (n,), and the ids of the records."""

    images: "NDArray[np.uint8] | ImagesOnDisk"
    labels: NDArray[np.int32]
    ids: list[str]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_on_disk(self) -> bool:
        """Whether the images are more than memory should hold."""
        return isinstance(self.images, ImagesOnDisk)

    def take(self, positions: NDArray[np.intp]) -> "Split":
        """The images at these positions, in this order."""
        return Split(self.images[positions], self.labels[positions], [self.ids[position] for position in positions])


def load_split(dataset: Dataset, split: SplitName, *, subset: int | None = None, unlock: bool = False) -> Split:
    """All images of a split, or a stratified subset of it that depends on nothing but the data.

    Raises DataError for damaged shards, and for the test split unless `unlock` is given.
    """
    count = dataset.counts[split]
    shape = (count, dataset.side, dataset.side, 3)
    if int(np.prod(shape)) > MEMORY_LIMIT_BYTES:
        whole = _split_on_disk(dataset, split, shape, unlock)
    else:
        images = np.empty(shape, np.uint8)
        whole = Split(images, *_fill(images, dataset, split, unlock))
    if subset is None or subset >= count:
        return whole
    return whole.take(sample_stratified(whole.labels, subset))


def sample_stratified(labels: NDArray[np.int32], size: int) -> NDArray[np.intp]:
    """Positions of `size` records that keep the classes' shares as nearly as whole images can.

    The first records of each class are taken (shards are shuffled), so a smaller sample lies inside a larger one.
    """
    counts = np.bincount(labels)
    turn = np.empty(len(labels), np.float64)
    for label, count in enumerate(counts):
        turn[labels == label] = (np.arange(count) + 0.5) / max(count, 1)
    return np.sort(np.argsort(turn, kind="stable")[:size])


def train_batches(
    split: Split, classes: int, batch: int, augment: Augment, *, seed: int, start: int = 0
) -> Iterator[TrainBatch]:
    """Endless full batches, shuffled anew each epoch and augmented; batch number `start` is the first.

    Everything is drawn from (seed, epoch) and (seed, batch number), so any batch can be produced by itself. The
    next batch is prepared in a thread while the current one is used.
    """

    one_hot = np.eye(classes, dtype=np.float32)

    def make(number: int) -> TrainBatch:
        positions = np.arange(number * batch, (number + 1) * batch)
        epochs, places = np.divmod(positions, len(split))
        rows = np.concatenate([order(epoch)[places[epochs == epoch]] for epoch in np.unique(epochs)])
        rng = np.random.default_rng([seed, 1, number])
        return augment_batch(split.images[rows], one_hot[split.labels[rows]], rng, augment)

    orders: dict[int, NDArray[np.intp]] = {}

    def order(epoch: int) -> NDArray[np.intp]:
        if epoch not in orders:
            orders.clear()
            orders[epoch] = np.random.default_rng([seed, 0, epoch]).permutation(len(split))
        return orders[epoch]

    with ThreadPoolExecutor(max_workers=1) as ahead:
        pending = ahead.submit(make, start)
        while True:
            start += 1
            ready, pending = pending, ahead.submit(make, start)
            yield ready.result()


def eval_batches(split: Split, batch: int) -> Iterator[Batch]:
    """Every image exactly once, in order, unaugmented; the last batch may be short."""
    for first in range(0, len(split), batch):
        yield split.images[first : first + batch], split.labels[first : first + batch]


def _fill(
    images: NDArray[np.uint8], dataset: Dataset, split: SplitName, unlock: bool
) -> tuple[NDArray[np.int32], list[str]]:
    first = 0

    def put(block: NDArray[np.uint8]) -> None:
        nonlocal first
        images[first : first + len(block)] = block
        first += len(block)

    return _read(put, dataset, split, unlock)


def _is_whole(pixels: Path, rest: Path) -> bool:
    """Whether the cache has a split, undamaged."""
    try:
        return len(ImagesOnDisk(pixels)) == len(read_arrays(rest)["ids"])
    except (OSError, ValueError, KeyError):
        return False


def _decode_to(
    path: Path, shape: tuple[int, ...], dataset: Dataset, split: SplitName, unlock: bool
) -> tuple[NDArray[np.int32], list[str]]:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        return _read(lambda block: file.write(block.tobytes()), dataset, split, unlock)


def _read(
    put: Callable[[NDArray[np.uint8]], object], dataset: Dataset, split: SplitName, unlock: bool
) -> tuple[NDArray[np.int32], list[str]]:
    """Hand the images of a split on, block by block; labels and ids come back whole."""
    labels: list[NDArray[np.int32]] = []
    ids: list[str] = []
    for block in read_blocks(dataset, split, unlock=unlock):
        put(block.images)
        labels.append(block.labels)
        ids.extend(block.ids)
    return np.concatenate(labels) if labels else np.empty(0, np.int32), ids


def _split_on_disk(dataset: Dataset, split: SplitName, shape: tuple[int, ...], unlock: bool) -> Split:
    folder = cache_dir() / "decoded"
    name = hash_json([dataset.fingerprint, split, list(shape)])[:24]
    pixels, rest = folder / f"{name}.npy", folder / f"{name}.npz"
    if not _is_whole(pixels, rest):
        with replacing(pixels) as temporary:
            labels, ids = _decode_to(temporary, shape, dataset, split, unlock)
        with replacing(rest) as temporary:
            np.savez(temporary, labels=labels, ids=np.array(ids))
    mark_used(pixels)
    facts = read_arrays(rest)
    return Split(ImagesOnDisk(pixels), facts["labels"], facts["ids"].tolist())
