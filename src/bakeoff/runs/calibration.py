"""Whether probabilities can be taken at their word, and the one number that mends them where they cannot.

temperature = fit_temperature(val_logits, val_labels)
softmax(test_logits / temperature)
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["BINS", "Reliability", "calibration_error", "cross_fit", "fit_temperature", "reliability", "softmax"]

BINS = 15
# No network that learned anything needs a temperature beyond this, or below its inverse.
_LIMIT = 20.0
_HALVINGS = 40

Floats = NDArray[np.float32]


class Reliability(NamedTuple):
    """By bin of confidence: images (bins,), their mean confidence and the share that was right; NaN where none is."""

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def softmax(logits: Floats) -> Floats:
    """Probabilities along the last axis, in float32, without overflow."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Floats = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities


def reliability(confidence: Floats, correct: NDArray[np.bool_]) -> Reliability:
    """Confidences (n,) and whether each answer was right (n,), in equal-width bins of confidence."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    some = np.where(counts > 0, counts, np.nan)
    means = [np.bincount(bins, weights=values, minlength=BINS) / some for values in (confidence, correct)]
    return Reliability(counts, *means)


def calibration_error(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Expected calibration error, in [0, 1], over equal-width bins of confidence (Guo et al. 2017)."""
    bins = reliability(confidence, correct)
    gaps = np.nan_to_num(np.abs(bins.confidence - bins.accuracy))
    return float((gaps * bins.counts).sum() / bins.counts.sum())


def fit_temperature(logits: Floats, labels: NDArray[np.int32]) -> float:
    """The T in [1/20, 20] that makes labels (n,) likeliest under softmax(logits / T), logits (n, classes).

    Temperature scaling (Guo et al. 2017) changes no answer, only how sure it is. The log loss is convex in 1 / T, so
    its slope has one zero to close in on.
    """
    raw = logits.astype(np.float32)
    own = raw[np.arange(len(labels)), labels]
    low, high = -math.log(_LIMIT), math.log(_LIMIT)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        expected = (softmax(raw * np.float32(math.exp(middle))) * raw).sum(axis=1)
        if float((expected - own).mean(dtype=np.float64)) <= 0:
            low = middle
        else:
            high = middle
    return math.exp(-(low + high) / 2)


def cross_fit(logits: Floats, labels: NDArray[np.int32]) -> Floats:
    """Logits (n, classes), each half of them divided by the temperature that suits the other half."""
    scaled = logits.astype(np.float32)
    for half in (0, 1):
        scaled[half::2] /= fit_temperature(logits[1 - half :: 2], labels[1 - half :: 2])
    return scaled
