"""What a search or a factor-by-factor study found, as `study.json` keeps it."""

from enum import StrEnum

from bakeoff.runs.facts import Facts

__all__ = ["Arm", "Difference", "Effect", "Effects", "McNemar", "SearchResult", "Verdict"]


class Verdict(StrEnum):
    """What can be said of a difference at this number of images and seeds."""

    HELPS = "helps"
    HURTS = "hurts"
    NONE = "no difference"


class Difference(Facts):
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


class Arm(Facts):
    """Runs of one recipe with different seeds: means over them; the interval is of the mean score."""

    ids: tuple[str, ...]
    top1: float
    top1_ci95: tuple[float, float]
    seconds: float
    """Training seconds of one run."""
    images_per_second: float
    memory_peak_bytes: int


class Effect(Facts):
    """One value of one key in place of the base recipe's."""

    key: str
    value: bool | int | float | str
    arm: Arm
    difference: Difference


class Effects(Facts):
    """What a factor-by-factor study found so far."""

    base: Arm
    effects: tuple[Effect, ...]
    missing: tuple[str, ...] = ()
    """Levels as KEY=VALUE that were not measured: their runs failed, or there was no time left for them."""


class SearchResult(Facts):
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


class McNemar(Facts):
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
