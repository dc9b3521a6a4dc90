"""The order of an epoch's training images with every class equally often."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["balanced_order"]


def balanced_order(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.intp]:
    """An epoch's order in which every class is equally likely.

    It is made of rounds: each has one image of every class, in random order. A class's images are all used before one
    is used again. An epoch is as long as without balance, so it has some images of large classes not at all.

    Args:
        labels: The class of each image, (n,); classes without images are left out.
        rng: Makes the order; the same state gives the same order.

    Returns:
        Positions of images, (n,).
    """
    _, counts = np.unique(labels, return_counts=True)
    of_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    rounds = -(-len(labels) // len(of_class))
    columns = [_shuffle_repeatedly(images, rounds, rng) for images in of_class]
    return rng.permuted(np.stack(columns, axis=1), axis=1).ravel()[: len(labels)]


def _shuffle_repeatedly(images: NDArray[np.intp], size: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """The first `size` of the images in random order, then again in another, and so on."""
    passes = -(-size // len(images))
    return rng.permuted(np.tile(images, (passes, 1)), axis=1).ravel()[:size]
