"""Paired comparison of recipes: runs of two recipes on the same validation images.

    difference = compare(out, ["id of the base's run"], ["id of the changed run"])
    Difference(points=0.012, low=-0.003, high=0.027, ...).verdict     "no difference"

With several runs of each recipe, one for each seed, the interval includes the variation between seeds.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import OutputError
from bakeoff.runs.config import Metric
from bakeoff.runs.findings import Arm, Difference, McNemar
from bakeoff.runs.folder import run_dir
from bakeoff.runs.measures import Measure, prepare, resample
from bakeoff.runs.metrics import Z95
from bakeoff.runs.predictions import Predictions, read_predictions
from bakeoff.runs.record import RunRecord

__all__ = ["compare", "difference_on_shared", "mcnemar", "pair_by_seed", "summarise"]


def mcnemar(out: Path, first: str, second: str) -> McNemar:
    """McNemar's test (1947) in its exact, binomial form, on the images that both runs were scored on.

    Raises OutputError if there are none.
    """
    differences = _subtract(*_read_shared(out, first, second))
    second_only, first_only = int((differences > 0).sum()), int((differences < 0).sum())
    discordant = first_only + second_only
    # Sums of binomial coefficients, each made from the one before: anew, those of large data would take minutes.
    tail = coefficient = 1
    for chosen in range(min(first_only, second_only)):
        coefficient = coefficient * (discordant - chosen) // (chosen + 1)
        tail += coefficient
    p = min(1.0, 2 * tail / 2**discordant)
    return McNemar(images=len(differences), first_only=first_only, second_only=second_only, p=p)


def compare(out: Path, first: Sequence[str], second: Sequence[str], metric: Metric = Metric.TOP1) -> Difference:
    """Estimate how much better `second` is than `first`, on the images that all of them were scored on.

    The interval allows for the variation over images and, with several pairs, for that between seeds (`_combine`). For
    top-1 it is made of the paired one of Agresti & Min (2005), which holds for few images too: half an image is added
    to each of the four outcomes of a pair, so its middle is a little nearer to zero than `points`. For other metrics
    the variance over images is the bootstrap's (Efron 1979), with the same images for both runs in each draw.

    Args:
        out: The study's folder.
        first: Ids of the base's runs, one for each seed.
        second: Ids of the changed runs, paired with those of `first` by position.
        metric: In what they are compared.

    Raises:
        OutputError: There is no image that all runs were scored on, or predictions are missing.
    """
    read, seeds = _read_shared(out, *first, *second), len(first)
    images = len(read[0].labels)
    if metric is Metric.TOP1:
        pairs = zip(read[:seeds], read[seeds:], strict=True)
        differences = np.stack([_subtract(base, changed) for base, changed in pairs])
        points, (low, high) = float(differences.mean()), _difference_interval(differences)
    else:
        before, after = ([_prepare(metric, each) for each in runs] for runs in (read[:seeds], read[seeds:]))
        draws = resample([*before, *after], images)
        sign = metric.merit(1.0)
        gains = sign * (draws[seeds:] - draws[:seeds])
        values = [sign * (new.value - old.value) for old, new in zip(before, after, strict=True)]
        points, half = float(np.mean(values)), _half_of_draws(gains, values)
        low, high = points - half, points + half
    return Difference(points=points, low=low, high=high, images=images, seeds=seeds, metric=metric)


def pair_by_seed(first: Sequence[RunRecord], second: Sequence[RunRecord]) -> tuple[list[RunRecord], list[RunRecord]]:
    """The runs of two recipes whose seed both have, in the order of `first`: what `compare` takes."""
    by_seed = {record.config.seed: record for record in second}
    shared = [record for record in first if record.config.seed in by_seed]
    return shared, [by_seed[record.config.seed] for record in shared]


@lru_cache(maxsize=4096)  # a board compares the same runs again and again
def difference_on_shared(out: Path, first: str, second: str, metric: Metric = Metric.TOP1) -> Difference | None:
    """How much better `first` is than `second`, on the images that both were scored on (`compare`).

    Args:
        out: The study's folder.
        first: Id of a run.
        second: Id of another one.
        metric: In what they are compared.

    Returns:
        The difference; None if there are no such images, or if the predictions are not there.
    """
    try:
        return compare(out, [second], [first], metric)
    except OutputError:
        return None


def summarise(out: Path, records: Sequence[RunRecord], metric: Metric = Metric.TOP1) -> Arm:
    """Average completed runs of one recipe that differ only in their seeds."""
    read = [_read(out, record.id) for record in records]
    correct = np.stack([predictions.correct for predictions in read]).astype(np.float64)
    top1, only = float(correct.mean()), records[0].val if len(records) == 1 else None
    if only is not None:
        interval = only.top1_ci95
    else:
        half = _half_interval(correct)
        interval = max(0.0, top1 - half), min(1.0, top1 + half)
    score, score_interval = top1, interval
    if metric is not Metric.TOP1:
        measures = [_prepare(metric, predictions) for predictions in read]
        score = float(np.mean([measure.value for measure in measures]))
        estimate = only.read(metric) if only else None
        if estimate is not None and estimate.interval is not None:
            score_interval = estimate.interval
        else:
            half = _half_of_draws(resample(measures, len(read[0].labels)), [measure.value for measure in measures])
            score_interval = max(0.0, score - half), score + half if metric.is_loss else min(1.0, score + half)
    return Arm(
        ids=tuple(record.id for record in records),
        top1=top1,
        top1_ci95=interval,
        metric=metric,
        score=score,
        score_ci95=score_interval,
        seconds=float(np.mean([record.seconds.train for record in records])),
        images_per_second=float(np.mean([record.images_per_second for record in records])),
        memory_peak_bytes=max(record.memory_peak_bytes for record in records),
    )


def _difference_interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of the mean of differences (seeds, images), each -1, 0 or 1, within [-1, 1].

    With one seed it is that of Agresti & Min: half an image more for each outcome is two images more, one of which
    counts in the sum of squares. With several seeds the mean over the seeds takes the place of an image's difference.
    """
    of_image = differences.mean(axis=0)
    images, total = len(of_image) + 2, float(of_image.sum())
    over_images = (float((of_image**2).sum()) + 1 - total**2 / images) / images**2
    middle, half = total / images, _combine(over_images, differences.mean(axis=1))
    return max(-1.0, middle - half), min(1.0, middle + half)


def _half_interval(values: NDArray[np.float64]) -> float:
    """Half the width of the 95 % interval of the mean of values (seeds, images)."""
    images = values.shape[1]
    over_images = float(values.mean(axis=0).var(ddof=1)) / images if images > 1 else 1.0
    return _combine(over_images, values.mean(axis=1))


def _half_of_draws(draws: NDArray[np.float64], values: Sequence[float]) -> float:
    """Half the width of the 95 % interval of the mean of values (seeds,), of which `draws` are (seeds, draws)."""
    return _combine(float(draws.mean(axis=0).var(ddof=1)), values)


def _combine(over_images: float, by_seed: Sequence[float] | NDArray[np.float64]) -> float:
    """Half the width of the 95 % interval of a mean over seeds.

    The squares of two halves add up (Zou & Donner 2008): 1.96 standard errors over images, and those over seeds times
    Student's quantile, which is 12.7 for two seeds, 4.3 for three and 2.8 for five. One quantile for both parts, with
    Satterthwaite's degrees of freedom (1946), makes intervals of two seeds too narrow; the larger half alone makes
    those of many seeds too narrow.

    Args:
        over_images: The variance of the mean over images.
        by_seed: The value of each seed. With one seed the variation between seeds is not known, and left out.
    """
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    half, seeds = Z95 * math.sqrt(over_images), len(by_seed)
    if seeds == 1:
        return half
    return math.hypot(half, float(stdtrit(seeds - 1, 0.975) * np.std(by_seed, ddof=1)) / math.sqrt(seeds))


def _prepare(metric: Metric, predictions: Predictions) -> Measure:
    measure = prepare(metric, predictions.logits, predictions.labels)
    if measure is None:
        raise OutputError(f"{metric.label} is not defined for images of one class; choose another --metric")
    return measure


def _subtract(base: Predictions, changed: Predictions) -> NDArray[np.float64]:
    """By image, (n,): 1 where only `changed` is correct, -1 where only `base` is, else 0."""
    return np.subtract(changed.correct, base.correct, dtype=np.float64)


def _read_shared(out: Path, *runs: str) -> list[Predictions]:
    """The predictions of runs on the images that all of them were scored on, in one order.

    Raises OutputError if there are none, or if an image has two labels.
    """
    read = [_read(out, run) for run in runs]
    ids = read[0].ids
    if any(list(each.ids) != list(ids) for each in read):
        # Only predictions with ids can be matched.
        shared = set(ids).intersection(*(each.ids for each in read))
        order = [name for name in ids if name in shared]
        read = [each.select(order) for each in read]
    if not len(read[0].labels) or any(not np.array_equal(each.labels, read[0].labels) for each in read):
        raise _different_images(out, *runs)
    return read


def _different_images(out: Path, *runs: str) -> OutputError:
    return OutputError(f"{out}: {', '.join(runs)} were not scored on the same images; compare runs of one study")


def _read(out: Path, run: str) -> Predictions:
    return read_predictions(run_dir(out, run), "val")
