"""Calibration: how far a model's confidence is from its accuracy, and the temperature that corrects it.

temperature = fit_temperature(val_logits, val_labels)
softmax(test_logits / temperature)
"""

import math
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BINS",
    "Reliability",
    "calibration_error",
    "choose_temperature",
    "cross_fit",
    "fit_temperature",
    "reliability",
    "softmax",
]

BINS = 15
# The temperature is searched between 1 / _LIMIT and _LIMIT; useful networks need values near 1.
_LIMIT = 20.0
_BISECTIONS = 40
# If nearly every image is classified correctly, the fitted temperature approaches 0, and every confidence approaches 1.
# This limit for models in use prevents that.
_LEAST_IN_USE = 0.2

Floats = NDArray[np.float32]
Float = TypeVar("Float", np.float32, np.float64)


class Reliability(NamedTuple):
    """Images, mean confidence and accuracy of each confidence bin, each of shape (bins,); NaN in empty bins."""

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def softmax(logits: NDArray[Float]) -> NDArray[Float]:
    """Probabilities along the last axis, in the precision of the logits, without overflow."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[Float] = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities


def reliability(confidence: Floats, correct: NDArray[np.bool_]) -> Reliability:
    """Group predictions into equal-width bins of confidence (the data of a reliability diagram).

    Args:
        confidence: Probability of the predicted class, (n,), in [0, 1].
        correct: Whether the predicted class is the true one, (n,).
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    divisors = np.where(counts > 0, counts, np.nan)
    means = [np.bincount(bins, weights=values, minlength=BINS) / divisors for values in (confidence, correct)]
    return Reliability(counts, *means)


def calibration_error(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Expected calibration error, in [0, 1] (Guo et al. 2017, arXiv 1706.04599).

    It is the mean over images of the gap between confidence and accuracy in their bin. Arguments as in `reliability`.
    """
    bins = reliability(confidence, correct)
    gaps = np.nan_to_num(np.abs(bins.confidence - bins.accuracy))
    return float((gaps * bins.counts).sum() / bins.counts.sum())


def fit_temperature(logits: Floats, labels: NDArray[np.int32]) -> float:
    """Fit the temperature T in [1/20, 20] that minimises the log loss of softmax(logits / T).

    Temperature scaling (Guo et al. 2017, arXiv 1706.04599) changes the confidence and never the predicted class. The
    log loss is convex in 1 / T, so bisection on log(1 / T) finds the only zero of its derivative.

    Args:
        logits: Logits of held-out images, (n, classes).
        labels: Their true classes, (n,).
    """
    raw = logits.astype(np.float32)
    of_label = raw[np.arange(len(labels)), labels]
    low, high = -math.log(_LIMIT), math.log(_LIMIT)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        expected = (softmax(raw * np.float32(math.exp(middle))) * raw).sum(axis=1)
        if float((expected - of_label).mean(dtype=np.float64)) <= 0:
            low = middle
        else:
            high = middle
    return math.exp(-(low + high) / 2)


def choose_temperature(logits: Floats, labels: NDArray[np.int32]) -> float:
    """The temperature of an exported model: `fit_temperature` on validation, and at least 0.2. Arguments as there."""
    return max(_LEAST_IN_USE, fit_temperature(logits, labels))


def cross_fit(logits: Floats, labels: NDArray[np.int32]) -> Floats:
    """Calibrate logits (n, classes) as an export does, by two-fold cross-fitting.

    Each half is divided by the temperature that is chosen on the other half. So no image takes part in fitting the
    temperature that it is scaled with, and the calibrated logits can be evaluated on the same images.
    """
    scaled = logits.astype(np.float32)
    for half in (0, 1):
        scaled[half::2] /= choose_temperature(logits[1 - half :: 2], labels[1 - half :: 2])
    return scaled
