"""Byte-identical images of a source: how many there are, and what is said about them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.shards.columns import ImageColumns, Numbers
from bakeoff.data.shards.splits import SPLITS

__all__ = ["count_copies", "note_copies"]


def count_copies(images: ImageColumns) -> dict[str, int]:
    """Images of validation and of test that are byte-identical to a training image."""
    contents = images.contents
    is_trained = np.zeros(len(images), bool)
    is_trained[contents[images.splits == 0]] = True
    return {
        split: int(is_trained[contents[images.splits == place]].sum()) for place, split in enumerate(SPLITS) if place
    }


def note_copies(images: ImageColumns) -> Iterator[str]:
    """Notes on byte-identical images, which are one after another."""
    starts = np.unique(images.contents, return_index=True)[1]
    if copies := len(images) - len(starts):
        yield f"byte-identical copies of other images: {copies}"
    if leaks := _count_mixed(images.splits, starts):
        yield f"images that occur in more than one split, as the source has them: {leaks}"
    if conflicts := _count_mixed(images.labels, starts):
        yield f"images that occur under more than one label: {conflicts}"


def _count_mixed(numbers: Numbers, starts: NDArray[np.intp]) -> int:
    """How many of the stretches of numbers that begin at these places have different numbers."""
    return int((np.minimum.reduceat(numbers, starts) != np.maximum.reduceat(numbers, starts)).sum())
