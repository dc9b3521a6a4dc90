"""Results of a search or a factor-by-factor study, as stored in `study.json`."""

from enum import StrEnum

from pydantic import Field

from bakeoff.runs.config import Metric
from bakeoff.runs.facts import Facts

__all__ = ["Arm", "Difference", "Effect", "Effects", "McNemar", "SearchResult", "Verdict"]


class Verdict(StrEnum):
    """Whether a difference is significant at this number of images and seeds (5 % level)."""

    HELPS = "helps"
    HURTS = "hurts"
    NONE = "no difference"


class Difference(Facts):
    """By how much the second set of runs is better than the first, with its 95 % interval; shares as fractions of 1."""

    points: float
    """The difference, as a fraction of 1."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end of its interval."""
    images: int
    """Validation images that both were scored on."""
    seeds: int
    """Seeds that both were trained with."""
    metric: Metric = Metric.TOP1
    """In what it is better. With log loss, `points` is by how much its loss is less."""

    @property
    def verdict(self) -> Verdict:
        """A difference is significant if its interval excludes zero."""
        if self.low > 0:
            return Verdict.HELPS
        return Verdict.HURTS if self.high < 0 else Verdict.NONE

    @property
    def points_and_interval(self) -> str:
        """The difference and its interval in percentage points: `+1.2 (-0.3 to +2.7)`; of log loss, in nats."""
        point, low, high = (
            f"{value * self.metric.scale:+.{self.metric.digits}f}" for value in (self.points, self.low, self.high)
        )
        return f"{point} ({low} to {high})"

    @property
    def significance(self) -> str:
        """Whether chance alone could explain the difference, as a clause after it."""
        is_significant = self.verdict is not Verdict.NONE
        return "more than chance explains" if is_significant else "which chance alone could explain"


class Arm(Facts):
    """Means over runs of one recipe with different seeds; the intervals are those of the means."""

    ids: tuple[str, ...] = Field(min_length=1)
    """Ids of the runs."""
    top1: float
    """Mean top-1."""
    top1_ci95: tuple[float, float]
    metric: Metric = Metric.TOP1
    """The metric that decides."""
    score: float | None = None
    """Its mean; None in a file of a version that had top-1 alone."""
    score_ci95: tuple[float, float] | None = None
    seconds: float
    """Mean training seconds of a run."""
    images_per_second: float
    """Mean training images per second."""
    memory_peak_bytes: int
    """Largest measured peak."""

    @property
    def estimate(self) -> tuple[float, tuple[float, float]]:
        """The metric that decides, and its interval."""
        if self.score is None or self.score_ci95 is None:
            return self.top1, self.top1_ci95
        return self.score, self.score_ci95


class Effect(Facts):
    """The effect of changing one key of the base recipe to one other value."""

    key: str
    """The key of the recipe."""
    value: bool | int | float | str
    """The other value."""
    arm: Arm
    difference: Difference


class Effects(Facts):
    """Results of a factor-by-factor study so far."""

    base: Arm
    effects: tuple[Effect, ...]
    """One for each value that was tried."""
    missing: tuple[str, ...] = ()
    """Levels, as KEY=VALUE, that were not measured because their runs failed or no time was left."""


class SearchResult(Facts):
    """The result of a search."""

    base: str
    """Id of the first trial's run, which has the base recipe."""
    best: str
    """Id of the best trial's run; it may be the first."""
    changes: dict[str, bool | int | float | str] = {}
    """The best trial's values by key, where they differ from the base recipe."""
    before: Arm | None = None
    """The base recipe, trained again with another seed; None if the first trial was the best."""
    after: Arm | None = None
    """The best trial's recipe, trained again with that seed."""
    difference: Difference | None = None
    """`after` minus `before`."""
    kept: bool = False
    """Whether the best trial's recipe was better again with the other seed, and is therefore chosen."""
    trials: dict[str, int] = {}
    """Number of trials by their final state."""
    importances: dict[str, float] = {}
    """Share of the variance of the scores that each key explains (fANOVA: Hutter et al. 2014), by key."""
    failed: str = ""
    """Why the base recipe could not be trained, which ended the search; empty if it was."""

    @property
    def chosen(self) -> dict[str, bool | int | float | str]:
        """The changes to make to the base recipe: none if the best trial's recipe was not kept."""
        return self.changes if self.kept else {}


class McNemar(Facts):
    """McNemar's test of two runs on the same images (McNemar 1947)."""

    images: int
    first_only: int
    """Images that only the first run classifies correctly."""
    second_only: int
    p: float
    """Two-sided, exact p-value, under the hypothesis that `first_only` and `second_only` have equal expectations."""

    @property
    def is_chance(self) -> bool:
        """Whether the difference is not significant at the 5 % level."""
        return self.p >= 0.05
