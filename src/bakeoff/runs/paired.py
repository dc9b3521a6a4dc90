"""Paired comparison of recipes: runs of two recipes on the same validation images.

    difference = compare(out, ["id of the base's run"], ["id of the changed run"])
    Difference(points=0.012, low=-0.003, high=0.027, ...).verdict     "no difference"

With several runs of each recipe, one for each seed, the interval includes the variation between seeds.
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

__all__ = ["compare", "mcnemar", "summarise"]


def mcnemar(out: Path, first: str, second: str) -> McNemar:
    """McNemar's test (1947) in its exact, binomial form. Raises OutputError if the runs were scored on other images."""
    differences = _paired_differences(out, first, second)
    second_only, first_only = int((differences > 0).sum()), int((differences < 0).sum())
    discordant = first_only + second_only
    tail = sum(math.comb(discordant, fewer) for fewer in range(min(first_only, second_only) + 1))
    p = min(1.0, 2 * tail / 2**discordant)
    return McNemar(images=len(differences), first_only=first_only, second_only=second_only, p=p)


def compare(out: Path, first: Sequence[str], second: Sequence[str]) -> Difference:
    """Estimate how much higher the top-1 of `second` is than that of `first`.

    The variance is that of the mean over images (paired: correctness differs by -1, 0 or 1 on each image) plus, with
    several pairs, that of the mean over pairs.

    Args:
        out: The study's folder.
        first: Ids of the base's runs, one for each seed.
        second: Ids of the changed runs, paired with those of `first` by position.

    Raises:
        OutputError: The runs were not scored on the same images, or predictions are missing.
    """
    pairs = [_paired_differences(out, before, after) for before, after in zip(first, second, strict=True)]
    if len({len(pair) for pair in pairs}) > 1:
        raise _different_images(out, *first, *second)
    differences = np.stack(pairs)
    seeds, images = differences.shape
    points, half = float(differences.mean()), _half_interval(differences)
    return Difference(points=points, low=points - half, high=points + half, images=images, seeds=seeds)


def summarise(out: Path, records: Sequence[RunRecord]) -> Arm:
    """Average completed runs of one recipe that differ only in their seeds."""
    correct = np.stack([_read(out, record.id).correct for record in records]).astype(np.float64)
    top1 = float(correct.mean())
    if len(records) == 1 and records[0].val is not None:
        interval = records[0].val.top1_ci95
    else:
        half = _half_interval(correct)
        interval = max(0.0, top1 - half), min(1.0, top1 + half)
    return Arm(
        ids=tuple(record.id for record in records),
        top1=top1,
        top1_ci95=interval,
        seconds=float(np.mean([record.seconds.train for record in records])),
        images_per_second=float(np.mean([record.images_per_second for record in records])),
        memory_peak_bytes=max(record.memory_peak_bytes for record in records),
    )


def _half_interval(values: NDArray[np.float64]) -> float:
    """Half the width of the 95 % interval of the mean of values (seeds, images).

    It counts the variance over images and, with several seeds, the variance over seeds.
    """
    seeds, images = values.shape
    variance = float(values.mean(axis=0).var(ddof=1)) / images if images > 1 else 1.0
    if seeds > 1:
        variance += float(values.mean(axis=1).var(ddof=1)) / seeds
    return Z95 * math.sqrt(variance)


def _paired_differences(out: Path, before: str, after: str) -> NDArray[np.float64]:
    """By image, (n,): 1 where only `after` is correct, -1 where only `before` is, else 0."""
    base, changed = _read(out, before), _read(out, after)
    if not np.array_equal(base.labels, changed.labels):
        raise _different_images(out, before, after)
    return np.subtract(changed.correct, base.correct, dtype=np.float64)


def _different_images(out: Path, *runs: str) -> OutputError:
    return OutputError(f"{out}: {', '.join(runs)} were not scored on the same images; compare runs of one study")


def _read(out: Path, run: str) -> Predictions:
    return read_predictions(run_dir(out, run), "val")
