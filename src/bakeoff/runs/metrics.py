"""Metrics of a split, computed from the logits of its images."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bakeoff.runs.calibration import Floats, calibration_error, softmax
from bakeoff.runs.facts import Facts
from bakeoff.text import name_some

__all__ = ["Z95", "Metrics", "TestMetrics", "confusion_matrix", "describe_absent", "score", "wilson_interval"]

# Half the width of a 95 % confidence interval, in standard errors.
Z95 = 1.959963984540054


class Metrics(Facts):
    """Metrics on one split: fractions of 1, except `n` (images) and `log_loss` (nats)."""

    n: int
    top1: float
    top1_ci95: tuple[float, float]
    top5: float
    superclass_top1: float | None
    macro_f1: float
    """Mean F1 of the classes that the split has images of."""
    balanced_accuracy: float | None = None
    """Mean recall of these classes; None in a file of a version that did not compute it."""
    absent: tuple[int, ...] = ()
    """Labels of the classes that the split has no images of."""
    log_loss: float
    ece: float
    """Expected calibration error over 15 equal-width bins of confidence (Guo et al. 2017)."""


class TestMetrics(Metrics):
    """Metrics on the locked test split, and how often it was opened for this run."""

    __test__ = False  # not a pytest class
    openings: int
    near_duplicates: int | None = None
    """Test images that have a near-duplicate among the training images; None: not searched for."""
    top1_without: float | None = None
    """Top-1 without those images."""
    top1_without_ci95: tuple[float, float] | None = None
    """Its 95 % Wilson interval."""


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
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
    # A second to import: only who scores waits for it.
    from sklearn.metrics import precision_recall_fscore_support

    n, classes = logits.shape
    present = np.unique(labels)
    probabilities = softmax(logits.astype(np.float32))
    predicted = logits.argmax(axis=1)
    correct = int((predicted == labels).sum())
    order = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    superclass_top1 = None
    if superclass_of is not None:
        parent = np.asarray(superclass_of)
        superclass_top1 = float((parent[predicted] == parent[labels]).mean())
    _, recall, f1, _ = precision_recall_fscore_support(labels, predicted, labels=present, zero_division=0)
    likelihood = np.clip(probabilities[np.arange(n), labels], 1e-12, 1.0)
    return Metrics(
        n=n,
        top1=correct / n,
        top1_ci95=wilson_interval(correct, n),
        top5=float((order == labels[:, None]).any(axis=1).mean()),
        superclass_top1=superclass_top1,
        macro_f1=float(f1.mean()),
        balanced_accuracy=float(recall.mean()),
        absent=tuple(np.setdiff1d(np.arange(classes), present).tolist()),
        log_loss=float(-np.log(likelihood).mean()),
        ece=calibration_error(probabilities.max(axis=1), predicted == labels),
    )


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
        f" Macro F1 and balanced accuracy are means over the other {len(names) - len(absent):,}."
    ]


def confusion_matrix(logits: Floats, labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Counts (classes, classes): rows are the true class, columns the predicted one."""
    classes = logits.shape[1]
    pairs = labels.astype(np.int64) * classes + logits.argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
