"""Metrics as functions of how often each image counts: their values, and their bootstrap (Efron 1979).

measure = prepare(Metric.MACRO_F1, logits, labels)
measure.value                                   each image counts once
draws = resample([measure], n)                  1,000 draws of n images with replacement: (1, 1000)

Two measures of the same images are compared by the difference of their draws: the draws are the same.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bakeoff.runs.calibration import softmax
from bakeoff.runs.config import Metric

__all__ = ["RESAMPLES", "Measure", "measure_all", "percentile_interval", "prepare", "resample"]

RESAMPLES = 1000
# Draws are made in blocks of at most this many counts: 16 MB.
_BLOCK = 2_000_000

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]


class Measure(NamedTuple):
    """A metric of n images."""

    value: float
    """Where each image counts once."""
    of: Callable[[Floats], Floats]
    """Its values (r,) for counts (n, r): how often each image is in each of r draws of n images."""


def prepare(metric: Metric, logits: NDArray[np.float32], labels: Labels) -> Measure | None:
    """A metric of predictions, ready for many draws of the images.

    Args:
        metric: The metric.
        logits: (n, classes).
        labels: True classes, (n,).

    Returns:
        The metric; None where it is not defined: AUROC of images of one class.
    """
    return _PREPARED[metric](logits, labels)


def measure_all(logits: NDArray[np.float32], labels: Labels) -> dict[str, float | None]:
    """The value of every metric by its field in Metrics, without intervals; None where one is not defined."""
    measures = {metric.field: prepare(metric, logits, labels) for metric in Metric}
    return {field: measure.value if measure else None for field, measure in measures.items()}


def resample(measures: Sequence[Measure], n: int) -> Floats:
    """The values (measures, RESAMPLES) of metrics of the same n images, in draws of n images with replacement.

    The draws depend on n alone.
    """
    return np.concatenate([[measure.of(counts) for measure in measures] for counts in _draw(n)], axis=1)


def percentile_interval(draws: Floats, value: float) -> tuple[float, float]:
    """The 95 % percentile interval of draws (r,) of a metric; it holds the metric's value."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return min(float(low), value), max(float(high), value)


def _draw(n: int) -> Iterator[Floats]:
    """Blocks of counts (n, r), RESAMPLES draws in all."""
    generator = np.random.default_rng(0)
    size = max(1, min(RESAMPLES, _BLOCK // n))
    for start in range(0, RESAMPLES, size):
        draws = range(start, min(start + size, RESAMPLES))
        counts = [np.bincount(generator.integers(n, size=n), minlength=n) for _ in draws]
        yield np.stack(counts, axis=1).astype(np.float64)


def _prepare_top1(logits: NDArray[np.float32], labels: Labels) -> Measure:
    correct = logits.argmax(axis=1) == labels
    return Measure(int(correct.sum()) / len(labels), lambda counts: correct @ counts / len(labels))


def _prepare_log_loss(logits: NDArray[np.float32], labels: Labels) -> Measure:
    probabilities = softmax(logits.astype(np.float32))
    losses = -np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-12, 1.0))
    return Measure(float(losses.mean()), lambda counts: losses @ counts / len(labels))


def _prepare_balanced(logits: NDArray[np.float32], labels: Labels) -> Measure:
    """The mean recall of the classes that have images; in a draw, of those that have images in it."""
    present, classes = np.unique(labels, return_inverse=True)
    correct = logits.argmax(axis=1) == labels
    count_images, count_hits = _counter(classes, len(present)), _counter(classes, len(present), correct)
    return _mean_over_classes(lambda counts: _divide(count_hits(counts), count_images(counts)), len(labels))


def _prepare_macro_f1(logits: NDArray[np.float32], labels: Labels) -> Measure:
    """The mean F1 of the classes that have images; in a draw, of those that have images in it."""
    present, classes = np.unique(labels, return_inverse=True)
    predicted = logits.argmax(axis=1)
    count_images, count_hits = _counter(classes, len(present)), _counter(classes, len(present), predicted == labels)
    # A prediction of a class without images is an error of the true class alone.
    places = np.searchsorted(present, predicted)
    count_predicted = _counter(places, len(present), np.isin(predicted, present))

    def scores(counts: Floats) -> Floats:
        images = count_images(counts)
        return np.where(images > 0, _divide(2 * count_hits(counts), images + count_predicted(counts)), np.nan)

    return _mean_over_classes(scores, len(labels))


def _prepare_auroc(logits: NDArray[np.float32], labels: Labels) -> Measure | None:
    """One class against the rest, by the ranks of its probability (Mann & Whitney 1947); ties count half.

    Ranking the images anew in each draw would take minutes. So the images of a class are ranked once among all others
    (placement values, DeLong et al. 1988), and a draw averages over those of the class that are in it; what the others
    in it change is added linearly. As for macro F1, a class without images in a draw is left out of its mean.
    """
    present, classes = np.unique(labels, return_inverse=True)
    if len(present) < 2:
        return None
    n, places, shares = len(labels), np.zeros(len(labels)), np.zeros(len(labels))
    probabilities = softmax(logits.astype(np.float64))
    for label in present:
        inside = labels == label
        of_class, of_rest = probabilities[inside, label], probabilities[~inside, label]
        places[inside] = _share_below(of_rest, of_class)
        below = 1.0 - _share_below(of_class, of_rest)
        shares[~inside] += (below - below.mean()) / (len(below) * len(present))
    count_images = _counter(classes, len(present))

    def areas(counts: Floats) -> Floats:
        return _divide(count_images(counts * places[:, None]), count_images(counts))

    mean = _mean_over_classes(areas, n)
    return Measure(mean.value, lambda counts: np.minimum(1.0, mean.of(counts) + shares @ counts))


_PREPARED: dict[Metric, Callable[[NDArray[np.float32], Labels], Measure | None]] = {
    Metric.TOP1: _prepare_top1,
    Metric.BALANCED: _prepare_balanced,
    Metric.MACRO_F1: _prepare_macro_f1,
    Metric.LOG_LOSS: _prepare_log_loss,
    Metric.AUROC: _prepare_auroc,
}


def _share_below(others: Floats, values: Floats) -> Floats:
    """For each value, the share of the others that are smaller; equal ones count half."""
    ordered = np.sort(others)
    places = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    share: Floats = places / (2 * len(others))
    return share


def _counter(groups: NDArray[np.intp], size: int, which: NDArray[np.bool_] | None = None) -> Callable[[Floats], Floats]:
    """A function from counts (n, r) to their sums (size, r) over the images of each group; `which` images, or all."""
    chosen = np.arange(len(groups)) if which is None else np.flatnonzero(which)
    order = chosen[np.argsort(groups[chosen], kind="stable")]
    found, starts = np.unique(groups[order], return_index=True)

    def count(counts: Floats) -> Floats:
        sums = np.zeros((size, counts.shape[1]))
        if len(order):
            sums[found] = np.add.reduceat(counts[order], starts, axis=0)
        return sums

    return count


def _divide(some: Floats, all_: Floats) -> Floats:
    """The quotient; NaN where there is nothing."""
    return np.divide(some, all_, out=np.full_like(some, np.nan), where=all_ > 0)


def _mean_over_classes(by_class: Callable[[Floats], Floats], n: int) -> Measure:
    """The mean of what `by_class` gives: (classes, r) for counts (n, r), NaN for a class without images."""
    value = float(by_class(np.ones((n, 1)))[:, 0].mean())
    return Measure(value, lambda counts: np.nanmean(by_class(counts), axis=0))
