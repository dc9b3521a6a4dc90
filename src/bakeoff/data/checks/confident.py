"""Confident learning: which labels are probably wrong (Northcutt et al. 2021, arXiv 1911.00068). Pure functions.

A model that has not seen an image gives it a probability for each class. An image counts confidently to a class if its
probability is at least the mean one that images of this class get for it. The confident joint counts images by label
and by that class: off its diagonal are probably wrong labels. It says how many labels are wrong. These are the images
with the smallest probability of their label, compared with the mean one of the class.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NO_CLASS",
    "class_thresholds",
    "confident_classes",
    "confident_joint",
    "count_wrong",
    "rank_suspicious",
    "suggest_classes",
]

Floats = NDArray[np.float32]
Labels = NDArray[np.int32] | NDArray[np.intp]

NO_CLASS = -1


def class_thresholds(probabilities: Floats, labels: Labels) -> NDArray[np.float64]:
    """The probability from which an image counts confidently to a class: the mean one of its own images.

    Args:
        probabilities: (n, classes), of a model that has not seen the images.
        labels: (n,).

    Returns:
        (classes,); infinite for a class without images, to which no image counts.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, own, minlength=classes)
    thresholds = np.full(classes, np.inf)
    np.divide(sums, counts, out=thresholds, where=counts > 0)
    return thresholds


def confident_classes(probabilities: Floats, thresholds: NDArray[np.float64]) -> NDArray[np.intp]:
    """The class that each image confidently counts to: of those that reach their threshold the most probable one.

    Args:
        probabilities: (n, classes).
        thresholds: (classes,).

    Returns:
        (n,); NO_CLASS where no class reaches its threshold.
    """
    reached = np.where(probabilities >= thresholds, probabilities, -1.0)
    return np.where(reached.max(axis=1) >= 0, reached.argmax(axis=1), NO_CLASS)


def confident_joint(labels: Labels, confident: NDArray[np.intp], classes: int) -> NDArray[np.int64]:
    """Images by label (row) and by the class that they confidently count to (column): (classes, classes).

    Args:
        labels: (n,).
        confident: (n,), from `confident_classes`.
        classes: Number of classes.
    """
    joint = np.zeros((classes, classes), np.int64)
    counted = confident != NO_CLASS
    np.add.at(joint, (labels[counted], confident[counted]), 1)
    return joint


def count_wrong(joint: NDArray[np.int64], counts: NDArray[np.intp]) -> int:
    """Estimate how many labels are wrong. Images that count to no class are wrong as often as others of their label.

    Args:
        joint: (classes, classes), from `confident_joint`.
        counts: Images with each label, (classes,).
    """
    rows = joint.sum(axis=1)
    shares = (rows - np.diag(joint)) / np.maximum(rows, 1)
    return round(float(shares @ counts))


def suggest_classes(probabilities: Floats, labels: Labels) -> NDArray[np.intp]:
    """The most probable class of each image besides its label, (n,).

    Args:
        probabilities: (n, classes).
        labels: (n,).
    """
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -1.0
    suggested: NDArray[np.intp] = others.argmax(axis=1)
    return suggested


def rank_suspicious(
    probabilities: Floats, labels: Labels, thresholds: NDArray[np.float64], wrong: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Find the images with a suspicious label. None of them has the label that is its most probable class.

    Args:
        probabilities: (n, classes).
        labels: (n,).
        thresholds: (classes,), from `class_thresholds`.
        wrong: How many labels are wrong, from `count_wrong`.

    Returns:
        At most so many positions, the most suspicious first; and for each the probability of its label, as a part of
        the mean one of the class: what is a small probability in one class is a usual one in another.
    """
    own = probabilities[np.arange(len(labels)), labels]
    shares = own / np.maximum(thresholds[labels], 1e-12)
    order = np.argsort(shares, kind="stable")
    ranked = order[own[order] < probabilities.max(axis=1)[order]][:wrong]
    return ranked, shares[ranked]
