"""Metrics of a split, computed from the logits of its images, with their 95 % intervals."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bakeoff.runs.calibration import Floats, calibration_error, softmax
from bakeoff.runs.config import Metric
from bakeoff.runs.facts import Facts
from bakeoff.runs.measures import Measure, percentile_interval, prepare, resample
from bakeoff.text import name_some

__all__ = [
    "Z95",
    "Estimate",
    "Metrics",
    "TestMetrics",
    "confusion_matrix",
    "describe_absent",
    "score",
    "wilson_interval",
]

# Half the width of a 95 % confidence interval, in standard errors.
Z95 = 1.959963984540054


Interval = tuple[float, float]


class Estimate(NamedTuple):
    """A metric and its 95 % interval; None if the interval is not known."""

    value: float
    interval: Interval | None


class Metrics(Facts):
    """Metrics on one split: fractions of 1, except `n` (images) and `log_loss` (nats).

    `_ci95` is the 95 % interval: Wilson's for a proportion, made of Wilson's by class for balanced accuracy, by
    bootstrap for the others. A field that is None was not computed by the version that wrote it, or is not defined.
    """

    n: int
    """Images."""
    top1: float
    """Share of the images whose class is predicted."""
    top1_ci95: Interval
    top5: float
    """Share of the images whose class is among the five most probable ones."""
    superclass_top1: float | None
    """Share of the images whose superclass is that of the predicted class; None without superclasses."""
    macro_f1: float
    """Mean F1 of the classes that the split has images of."""
    macro_f1_ci95: Interval | None = None
    balanced_accuracy: float | None = None
    """Mean recall of these classes."""
    balanced_accuracy_ci95: Interval | None = None
    absent: tuple[int, ...] = ()
    """Labels of the classes that the split has no images of."""
    log_loss: float
    """Mean negative logarithm of the true class's probability, in nats."""
    log_loss_ci95: Interval | None = None
    auroc: float | None = None
    """Mean over these classes of the area under the ROC curve of one class against the rest; None for images of one
    class."""
    auroc_ci95: Interval | None = None
    ece: float
    """Expected calibration error over 15 equal-width bins of confidence (Guo et al. 2017)."""

    def read(self, metric: Metric) -> Estimate | None:
        """One of the metrics that can decide; None if it is not known."""
        value = getattr(self, metric.field)
        return None if value is None else Estimate(value, getattr(self, f"{metric.field}_ci95"))


class TestMetrics(Metrics):
    """Metrics on the locked test split, and how often it was opened for this run."""

    __test__ = False  # not a pytest class
    openings: int
    """How often the test split was opened for this run, this time included."""
    near_duplicates: int | None = None
    """Test images that have a near-duplicate among the training images; None: not searched for."""
    near_duplicates_unsearched: str = ""
    """What was left out of the search for them, because it would take long; empty: nothing."""
    top1_without: float | None = None
    """Top-1 without those images."""
    top1_without_ci95: Interval | None = None
    """Its 95 % Wilson interval."""


def wilson_interval(correct: int, n: int) -> Interval:
    """95 % score interval of the proportion correct / n (Wilson 1927), in [0, 1]; all of [0, 1] if n is 0."""
    if n == 0:
        return 0.0, 1.0
    z = Z95
    centre = (correct + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(correct * (n - correct) / n + z * z / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def score(logits: Floats, labels: NDArray[np.int32], superclass_of: Sequence[int] | None) -> Metrics:
    """Compute the metrics of a split.

    Args:
        logits: (n, classes).
        labels: True classes, (n,).
        superclass_of: The superclass of each class, if there are any.
    """
    n, classes = logits.shape
    present = np.unique(labels)
    probabilities = softmax(logits.astype(np.float32))
    predicted = logits.argmax(axis=1)
    correct = predicted == labels
    order = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    superclass_top1 = None
    if superclass_of is not None:
        parent = np.asarray(superclass_of)
        superclass_top1 = float((parent[predicted] == parent[labels]).mean())
    measures = {metric: prepare(metric, logits, labels) for metric in Metric}
    by_class = (np.bincount(some, minlength=classes)[present] for some in (labels[correct], labels))
    intervals = {
        Metric.TOP1: wilson_interval(int(correct.sum()), n),
        Metric.BALANCED: _interval_of_mean(*by_class),
        **_bootstrap(measures, n),
    }
    estimates: dict[str, Any] = {}
    for metric, measure in measures.items():
        estimates |= {metric.field: measure and measure.value, f"{metric.field}_ci95": intervals.get(metric)}
    return Metrics(
        n=n,
        top5=float((order == labels[:, None]).any(axis=1).mean()),
        superclass_top1=superclass_top1,
        absent=tuple(np.setdiff1d(np.arange(classes), present).tolist()),
        ece=calibration_error(probabilities.max(axis=1), correct),
        **estimates,
    )


def _bootstrap(measures: Mapping[Metric, Measure | None], n: int) -> dict[Metric, Interval]:
    """The bootstrap intervals of the metrics of n images that are no proportions, and that are defined.

    A share of 1 is 1 in every draw, which says nothing of other images: it has the interval of n right of n images.
    """
    bootstrapped = (Metric.MACRO_F1, Metric.LOG_LOSS, Metric.AUROC)
    found = {metric: measure for metric in bootstrapped if (measure := measures[metric]) is not None}
    intervals = {}
    for (metric, measure), draws in zip(found.items(), resample(list(found.values()), n), strict=True):
        perfect = measure.value == 1.0 and not metric.is_loss
        intervals[metric] = wilson_interval(n, n) if perfect else percentile_interval(draws, measure.value)
    return intervals


def _interval_of_mean(correct: NDArray[np.int64], images: NDArray[np.int64]) -> Interval:
    """95 % interval of the mean of proportions, each of other images, from their Wilson intervals (Zou & Donner 2008).

    Args:
        correct: By class, (classes,).
        images: By class, all above 0.
    """
    shares = correct / images
    ends = np.array([wilson_interval(*map(int, pair)) for pair in zip(correct, images, strict=True)])
    mean, count = float(shares.mean()), len(shares)
    below = math.sqrt(float(((shares - ends[:, 0]) ** 2).sum())) / count
    above = math.sqrt(float(((ends[:, 1] - shares) ** 2).sum())) / count
    return max(0.0, mean - below), min(1.0, mean + above)


def describe_absent(split: str, metrics: Metrics | None, names: Sequence[str]) -> list[str]:
    """Name the classes that a score says nothing about.

    Args:
        split: The name of the split in a sentence.
        metrics: The score; None if there is none.
        names: The names of all classes, by label.

    Returns:
        A sentence, or none if every class has images.
    """
    if metrics is None or not metrics.absent:
        return []
    absent = [names[label] for label in metrics.absent]
    return [
        f"No {split} image shows {'this class' if len(absent) == 1 else 'these classes'}: {name_some(absent)}."
        f" Macro F1, balanced accuracy and AUROC are means over the other {len(names) - len(absent):,}."
    ]


def confusion_matrix(logits: Floats, labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Counts (classes, classes): rows are the true class, columns the predicted one."""
    classes = logits.shape[1]
    pairs = labels.astype(np.int64) * classes + logits.argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
