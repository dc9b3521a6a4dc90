"""Cross-validation of a linear probe: every image is scored by a head that has not seen it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bakeoff.runs.config import Balance
from bakeoff.training.probe import fit_head

__all__ = ["cross_fit"]

Floats = NDArray[np.float32]


def cross_fit(
    features: Floats,
    labels: NDArray[np.int32],
    classes: int,
    folds: NDArray[np.intp],
    on_fold: Callable[[int, int], None] | None = None,
    balance: Balance = Balance.NONE,
) -> Floats:
    """Score the images of each fold by a head that is fitted on the images of all other folds.

    Args:
        features: (n, d).
        labels: (n,).
        classes: Number of classes of the dataset.
        folds: The fold of each image, (n,), as `assign_folds` returns it; at least two folds.
        on_fold: Called with (folds done, folds in all).
        balance: What each head does about uneven classes.

    Returns:
        Logits (n, classes), in the order of the images.
    """
    logits = np.empty((len(labels), classes), np.float32)
    every = np.unique(folds)
    for done, fold in enumerate(every, start=1):
        held_out = folds == fold
        seen = np.unique(labels[~held_out])
        if len(seen) > 1:
            head = fit_head(features[~held_out], labels[~held_out], classes, balance)
            logits[held_out] = head.logits(features[held_out])
        else:  # the other folds are all of one class, so that one is predicted
            logits[held_out] = np.isin(np.arange(classes), seen)
        if on_fold:
            on_fold(done, len(every))
    return logits
