"""What a change of a recipe is worth: runs with it against runs without it, on the same validation images.

    difference = compare(out, ["id of the base's run"], ["id of the changed run"])
    Difference(points=0.012, low=-0.003, high=0.027, ...).verdict     "no difference"

Given several runs each, of as many seeds, the scatter between seeds is in the interval too.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from bakeoff.errors import OutputError
from bakeoff.files import read_arrays
from bakeoff.runs import Z95, RunRecord, run_dir

__all__ = ["Arm", "Difference", "Effect", "Effects", "Found", "McNemar", "Verdict", "compare", "gather", "mcnemar"]


class Verdict(StrEnum):
    """What can be said of a difference at this number of images and seeds."""

    HELPS = "helps"
    HURTS = "hurts"
    NONE = "no difference"


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Difference(_Facts):
    """Top-1 of the second set of runs minus the first's, with its 95 % interval, as fractions of 1."""

    points: float
    low: float
    high: float
    images: int
    seeds: int

    @property
    def verdict(self) -> Verdict:
        """A difference counts if its interval leaves out zero."""
        if self.low > 0:
            return Verdict.HELPS
        return Verdict.HURTS if self.high < 0 else Verdict.NONE

    @property
    def words(self) -> str:
        """The points with their interval: `+1.2 (-0.3 to +2.7)`."""
        return f"{self.points * 100:+.1f} ({self.low * 100:+.1f} to {self.high * 100:+.1f})"

    @property
    def chance(self) -> str:
        """What chance has to do with it, in words."""
        is_chance = self.verdict is Verdict.NONE
        return "which chance alone could explain" if is_chance else "more than chance explains"


class Arm(_Facts):
    """Runs of one recipe with different seeds: means over them; the interval is of the mean score."""

    ids: tuple[str, ...]
    top1: float
    top1_ci95: tuple[float, float]
    seconds: float
    """Training seconds of one run."""
    images_per_second: float
    memory_peak_bytes: int


class Effect(_Facts):
    """One value of one key in place of the base recipe's."""

    key: str
    value: bool | int | float | str
    arm: Arm
    difference: Difference


class Effects(_Facts):
    """What a factor-by-factor study found so far."""

    base: Arm
    effects: tuple[Effect, ...]
    missing: tuple[str, ...] = ()
    """Levels as KEY=VALUE that were not measured: their runs failed, or there was no time left for them."""


class Found(_Facts):
    """What a search found."""

    base: str
    """The run of the first trial."""
    best: str
    """The run of the best trial, which may be the first."""
    changes: dict[str, bool | int | float | str] = {}
    """In what keys the best trial's recipe differs from the base."""
    before: Arm | None = None
    after: Arm | None = None
    """Both recipes once more, with another seed; None if the first trial was the best."""
    difference: Difference | None = None
    kept: bool = False
    """Whether the best trial's recipe was better again, and is the one chosen."""
    trials: dict[str, int] = {}
    """How many trials ended in which state."""
    importances: dict[str, float] = {}
    """By key: the share of the scores' variance that it explains (fANOVA, Hutter et al. 2014)."""

    @property
    def chosen(self) -> dict[str, bool | int | float | str]:
        """The changes to make to the base recipe."""
        return self.changes if self.kept else {}


class McNemar(_Facts):
    """Two runs on the same images: how many only the one named rightly, and how often chance does as much."""

    images: int
    first_only: int
    second_only: int
    p: float
    """Two-sided and exact: the chance of so uneven a split, were either run as likely to be the one that is right."""

    @property
    def is_chance(self) -> bool:
        """Whether a difference cannot be told at this number of images, at the 5 % level."""
        return self.p >= 0.05


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
    scores = np.stack([_read(out, record.id).hits for record in records])
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
    difference: NDArray[np.float64] = own.hits - its.hits
    return difference


def _not_the_same(out: Path, *runs: str) -> OutputError:
    return OutputError(f"{out}: {', '.join(runs)} were not scored on the same images")


class _Scored(NamedTuple):
    """A run's validation images in their order: 1 if it was named rightly, and the class."""

    hits: NDArray[np.float64]
    labels: NDArray[np.int32]


def _read(out: Path, run: str) -> _Scored:
    path = run_dir(out, run) / "val-logits.npz"
    try:
        file = read_arrays(path)
        labels = file["labels"]
        return _Scored((file["logits"].argmax(axis=1) == labels).astype(np.float64), labels)
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(f"cannot read {path}: {error}; remove that run's folder and run the study again") from error
