"""Selective prediction: how accurate the answers are if those below a confidence do not count.

curve = trace_predictions(predictions, temperature)
curve.find(0.98)    # the smallest confidence from which 98 % of the answers were right
curve.at(0.9)       # what a given confidence lets through

A threshold that is chosen on some images looks better on them than on new ones. So every point has the interval of its
precision, and few images are no evidence (LEAST_ANSWERS).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bakeoff.runs.calibration import Floats, softmax
from bakeoff.runs.metrics import wilson_interval
from bakeoff.runs.predictions import Predictions

__all__ = [
    "LEAST_ANSWERS",
    "CoverageCurve",
    "CoveragePoint",
    "trace_coverage",
    "trace_predictions",
    "trace_probabilities",
]

LEAST_ANSWERS = 30
"""Answers that a threshold must let through before their precision means anything."""

# Confidences are rounded down to this step, so that a threshold is a short number that lets its own image through.
_STEPS = 1_000_000


class CoveragePoint(NamedTuple):
    """What counting only answers of at least a confidence does to a set of images."""

    confidence: float
    images: int
    answered: int
    """Images whose answer has at least this confidence."""
    correct: int
    """Those of them whose answer is right."""

    @property
    def coverage(self) -> float:
        """The share of images that are answered."""
        return self.answered / self.images

    @property
    def precision(self) -> float:
        """The share of answers that are right; 0 without answers. Also called selective accuracy."""
        return self.correct / self.answered if self.answered else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the precision."""
        return wilson_interval(self.correct, self.answered)


class CoverageCurve(NamedTuple):
    """Accuracy against coverage (El-Yaniv & Wiener 2010), one entry for each confidence that occurs, highest first.

    Images of equal confidence are answered together or not at all.
    """

    confidence: NDArray[np.float64]
    """Falling, in [0, 1]."""
    answered: NDArray[np.int64]
    """Images of at least this confidence."""
    correct: NDArray[np.int64]
    """Those of them that are classified correctly."""

    @property
    def images(self) -> int:
        """The number of all images."""
        return int(self.answered[-1])

    def point(self, place: int) -> CoveragePoint:
        """The entry at a place."""
        values = self.images, int(self.answered[place]), int(self.correct[place])
        return CoveragePoint(float(self.confidence[place]), *values)

    def at(self, confidence: float) -> CoveragePoint:
        """What a threshold of any confidence does."""
        entries = int((self.confidence >= confidence).sum())
        point = self.point(entries - 1) if entries else CoveragePoint(confidence, self.images, 0, 0)
        return point._replace(confidence=confidence)

    def find(self, precision: float) -> CoveragePoint | None:
        """The smallest confidence from which at least this share of the answers is right; None if there is none.

        It answers the most images of all thresholds with this precision (Geifman & El-Yaniv 2017, arXiv 1705.08500,
        without their bound; the interval of the point is to be looked at instead).
        """
        reached = np.flatnonzero(self.correct / self.answered >= precision)
        return self.point(int(reached[-1])) if len(reached) else None

    def find_cautious(self, precision: float) -> CoveragePoint | None:
        """The smallest confidence from which even the lower end of the interval has this precision."""
        for place in range(len(self.confidence) - 1, -1, -1):
            if (point := self.point(place)).interval[0] >= precision:
                return point
        return None


def trace_coverage(confidence: Floats, correct: NDArray[np.bool_]) -> CoverageCurve:
    """Compute the curve of accuracy against coverage.

    Args:
        confidence: Probability of the predicted class, (n,), in [0, 1], for at least one image.
        correct: Whether the predicted class is the true one, (n,).
    """
    rounded = np.floor(confidence.astype(np.float64) * _STEPS) / _STEPS
    order = np.argsort(-rounded, kind="stable")
    falling, hits = rounded[order], np.cumsum(correct[order], dtype=np.int64)
    last_of_equals = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    return CoverageCurve(falling[last_of_equals], last_of_equals + 1, hits[last_of_equals])


def trace_probabilities(probabilities: Floats, labels: NDArray[np.int32]) -> CoverageCurve:
    """The curve of probabilities (n, classes) of images whose classes are `labels`, (n,)."""
    return trace_coverage(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)


def trace_predictions(predictions: Predictions, temperature: float) -> CoverageCurve:
    """The curve of a run's predictions, whose logits are divided by a temperature as in the exported model."""
    return trace_probabilities(softmax(predictions.logits / np.float32(temperature)), predictions.labels)
