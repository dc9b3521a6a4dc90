"""What a change of a recipe is worth: runs with it against runs without it, on the same validation images.

    difference = compare(out, ["id of the base's run"], ["id of the changed run"])
    Difference(points=0.012, low=-0.003, high=0.027, ...).verdict     "no difference"

Given several runs each, of as many seeds, the scatter between seeds is in the interval too.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import OutputError
from bakeoff.runs.findings import Arm, Difference, McNemar
from bakeoff.runs.folder import run_dir
from bakeoff.runs.metrics import Z95
from bakeoff.runs.predictions import Predictions, read_predictions
from bakeoff.runs.record import RunRecord

__all__ = ["compare", "gather", "mcnemar"]


def mcnemar(out: Path, first: str, second: str) -> McNemar:
    """McNemar's test (1947) in its exact, binomial form. Raises OutputError if the runs saw other images."""
    difference = _subtract(out, first, second)
    gains, losses = int((difference > 0).sum()), int((difference < 0).sum())
    tail = sum(math.comb(gains + losses, less) for less in range(min(gains, losses) + 1))
    p = min(1.0, 2 * tail / 2 ** (gains + losses))
    return McNemar(images=len(difference), first_only=gains, second_only=losses, p=p)


def compare(out: Path, first: Sequence[str], second: Sequence[str]) -> Difference:
    """The difference that the runs `second` make against `first`, pair by pair.

    The standard error joins that of the mean over images (paired: an image's hits differ by -1, 0 or 1) and, of several
    pairs, that of the mean over pairs. Raises OutputError if the runs were not scored on the same images.
    """
    pairs = [_subtract(out, after, before) for before, after in zip(first, second, strict=True)]
    if len({len(pair) for pair in pairs}) > 1:
        raise _not_the_same(out, *first, *second)
    differences = np.stack(pairs)
    seeds, images = differences.shape
    points, reach = float(differences.mean()), _reach(differences)
    return Difference(points=points, low=points - reach, high=points + reach, images=images, seeds=seeds)


def gather(out: Path, records: Sequence[RunRecord]) -> Arm:
    """The means of completed runs that differ in their seeds alone."""
    scores = np.stack([_read(out, record.id).correct for record in records]).astype(np.float64)
    top1 = float(scores.mean())
    if len(records) == 1 and records[0].val is not None:
        interval = records[0].val.top1_ci95
    else:
        reach = _reach(scores)
        interval = max(0.0, top1 - reach), min(1.0, top1 + reach)
    return Arm(
        ids=tuple(record.id for record in records),
        top1=top1,
        top1_ci95=interval,
        seconds=float(np.mean([record.seconds.train for record in records])),
        images_per_second=float(np.mean([record.images_per_second for record in records])),
        memory_peak_bytes=max(record.memory_peak_bytes for record in records),
    )


def _reach(values: NDArray[np.float64]) -> float:
    """Half the 95 % interval of the mean of (seeds, images): over images, and over seeds where there are several."""
    seeds, images = values.shape
    variance = float(values.mean(axis=0).var(ddof=1)) / images if images > 1 else 1.0
    if seeds > 1:
        variance += float(values.mean(axis=1).var(ddof=1)) / seeds
    return Z95 * math.sqrt(variance)


def _subtract(out: Path, after: str, before: str) -> NDArray[np.float64]:
    own, its = _read(out, after), _read(out, before)
    if not np.array_equal(own.labels, its.labels):
        raise _not_the_same(out, after, before)
    return np.subtract(own.correct, its.correct, dtype=np.float64)


def _not_the_same(out: Path, *runs: str) -> OutputError:
    return OutputError(f"{out}: {', '.join(runs)} were not scored on the same images")


def _read(out: Path, run: str) -> Predictions:
    return read_predictions(run_dir(out, run), "val")
