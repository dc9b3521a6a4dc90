"""From shards to batches: one function feeds training, another feeds evaluation.

A split small enough is held in memory as uint8; a larger one is decoded once into a memory-mapped file in the
cache, so that shuffling stays exact and the order can be taken up again at any step.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.augment import augment_batch
from bakeoff.config import Augment
from bakeoff.files import cache_dir, hash_json, replacing
from bakeoff.shards import Dataset, read_blocks
from bakeoff.sources import Split as SplitName

__all__ = ["Batch", "Split", "eval_batches", "load_split", "sample_stratified", "train_batches"]

Batch = tuple[NDArray[np.uint8], NDArray[np.int32]]

# Decoded images above this many bytes are mapped from disk instead of held in memory.
MEMORY_LIMIT_BYTES = int(os.environ.get("BAKEOFF_MEMORY_LIMIT_BYTES", 2**30))


@dataclass(frozen=True)
class Split:
    """Decoded images of one split: uint8 (n, side, side, 3), int32 labels (n,), and the ids of the records."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    ids: list[str]

    def __len__(self) -> int:
        return len(self.labels)

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
        whole = _mapped_split(dataset, split, shape, unlock)
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


def train_batches(split: Split, batch: int, augment: Augment, *, seed: int, start: int = 0) -> Iterator[Batch]:
    """Endless full batches, shuffled anew each epoch and augmented; batch number `start` is the first.

    Everything is drawn from (seed, epoch) and (seed, batch number), so any batch can be produced by itself. The
    next batch is prepared in a thread while the current one is used.
    """

    def make(number: int) -> Batch:
        positions = np.arange(number * batch, (number + 1) * batch)
        epochs, places = np.divmod(positions, len(split))
        rows = np.concatenate([order(epoch)[places[epochs == epoch]] for epoch in np.unique(epochs)])
        rng = np.random.default_rng([seed, 1, number])
        return augment_batch(split.images[rows], split.labels[rows], rng, augment)

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
    labels: list[NDArray[np.int32]] = []
    ids: list[str] = []
    first = 0
    for block in read_blocks(dataset, split, unlock=unlock):
        images[first : first + len(block.labels)] = block.images
        first += len(block.labels)
        labels.append(block.labels)
        ids.extend(block.ids)
    return np.concatenate(labels) if labels else np.empty(0, np.int32), ids


def _mapped_split(dataset: Dataset, split: SplitName, shape: tuple[int, ...], unlock: bool) -> Split:
    folder = cache_dir() / "decoded"
    name = hash_json([dataset.fingerprint, split, list(shape)])[:24]
    pixels, rest = folder / f"{name}.npy", folder / f"{name}.npz"
    if not (pixels.is_file() and rest.is_file()):
        with replacing(pixels) as temporary:
            images = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            labels, ids = _fill(images, dataset, split, unlock)
            images.flush()
            del images
        with replacing(rest) as temporary:
            np.savez(temporary, labels=labels, ids=np.array(ids))
    facts = np.load(rest)
    return Split(_open_map(pixels), facts["labels"], facts["ids"].tolist())


def _open_map(path: Path) -> NDArray[np.uint8]:
    images: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return images
