"""Folds of a cross-validation: how many, and which image is in which. Pure functions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bakeoff.runs.metrics import wilson_interval
from bakeoff.text import counted

__all__ = ["assign_folds", "choose_folds", "count_folds", "half_interval"]

# Validation decides alone if the 95 % interval of an accuracy on it is narrower than this to either side.
ENOUGH = 0.03
# Up to so many images in all, each is left out alone.
FEW_IMAGES = 100
# Below so many images there are ten folds, else five: a head that has not seen a fifth of so many is hardly worse.
MANY_IMAGES = 2000


def choose_folds(val: int, total: int) -> int:
    """The number of folds for ranking candidates; 0 where there are enough validation images to rank them on those.

    Args:
        val: Validation images.
        total: Images that would be divided into folds: those of validation, and training images.
    """
    return 0 if half_interval(val) < ENOUGH else count_folds(total)


def count_folds(images: int) -> int:
    """The number of folds for so many images: as many as images for the fewest, else 10 or 5."""
    if images <= FEW_IMAGES:
        return images
    return 10 if images < MANY_IMAGES else 5


def half_interval(images: int) -> float:
    """Half the width of the 95 % interval of an accuracy on so many images, as a fraction of 1, at its widest.

    That is at an accuracy of one half. What the accuracy will be is not known before anything is scored, and at any
    other the interval is narrower.
    """
    low, high = wilson_interval(images // 2, images)
    return (high - low) / 2


def assign_folds(
    labels: NDArray[np.int32], groups: Sequence[str | int] | None, count: int, seed: int
) -> NDArray[np.intp]:
    """Assign images to folds of about equal size, in each of which the classes have about their share.

    Args:
        labels: Classes of the images, (n,).
        groups: What each image is in; images of a group are in one fold. None: every image is a group of its own.
        count: Folds: at least 2. There are fewer if there are fewer groups. With as many as images, each image is left
            out alone.
        seed: Draws the folds.

    Returns:
        The fold of each image, (n,), from 0.

    Raises:
        ValueError: There is one group only, or fewer than two folds are asked for.
    """
    _, first, group_of = np.unique(
        np.arange(len(labels)) if groups is None else np.asarray(groups), return_index=True, return_inverse=True
    )
    count = min(count, len(first))
    if count < 2:
        raise ValueError(f"cannot make {count} folds of images in {counted(len(first), 'group')}")
    if len(first) < len(labels) and count <= np.bincount(labels).max():
        return _stratify_groups(labels, group_of, count, seed)
    # In the order of their classes, groups are dealt to the folds in turn. This is stratified k-fold; scikit-learn's
    # refuses to make more folds than the largest class has images.
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.argsort(labels[first[order]], kind="stable")]
    folds = np.empty(len(first), np.intp)
    folds[order] = np.arange(len(first)) % count
    return folds[group_of]


def _stratify_groups(labels: NDArray[np.int32], groups: NDArray[np.intp], count: int, seed: int) -> NDArray[np.intp]:
    # A second to import: only who needs it waits for it.
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    folds = np.empty(len(labels), np.intp)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # It warns of a class with fewer images than folds: such a class is in some of the folds only.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
            folds[held_out] = fold
    return folds
