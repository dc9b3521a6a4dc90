"""A comparison of candidates at equal budgets: the same training seconds for each, or the same images.

Pure functions: no clock, no files, no Keras.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bakeoff.errors import ConfigError
from bakeoff.runs.config import Candidate, Data, Mode, Run, WeightsChoice, find_length, makes_probes
from bakeoff.runs.default_field import DefaultField
from bakeoff.runs.facts import Facts
from bakeoff.runs.history import CURVE_SHARE
from bakeoff.runs.record import RunRecord, State
from bakeoff.study.deciding import BY_TOP1, Decision, decide_by
from bakeoff.study.defaults import set_length, settings_of_length, start_from, without_length
from bakeoff.study.forecast import Forecast, count_scored
from bakeoff.text import counted

__all__ = ["RUNS_SHARE", "Comparison", "has_length", "least_seconds", "make_comparison", "require_one_length"]

# The share of the budget that is planned for runs; the rest is for the report.
RUNS_SHARE = 0.95
# A shorter training shows nothing.
MIN_TRAINING_SECONDS = 5.0
# Networks that are not named are compared only if each can have so much training.
DEFAULT_TRAINING_SECONDS = 30.0
# Validation images that a run is scored on.
MIN_VAL_IMAGES, MAX_VAL_IMAGES = 300, 5000
# A run is evaluated once in so many training seconds, up to so often; on the way in at most this share of them.
SECONDS_PER_EVALUATION, MAX_EVALUATIONS, MAX_EVALUATION_SHARE = 120.0, 8, 0.1


class Comparison(Facts):
    """All runs of a comparison. Without a budget it has no time limit."""

    budget_seconds: float | None
    """Wall-clock seconds for the whole comparison."""
    runs: tuple[Run, ...]
    """One for each candidate."""
    decides: str = ""
    """A sentence on the metric that decides."""
    settings: dict[str, Any] | None = None
    """What was set of the length and the scoring of runs, by key; None in studies of older versions."""
    field: DefaultField | None = None
    """How the candidates were chosen; None if they were named, and in studies of older versions."""

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for. With a budget, the length of a run depends on the pace of the machine."""
        is_paced = self.budget_seconds is not None
        runs = map(without_length, self.runs) if is_paced else self.runs
        return {
            "budget_seconds": self.budget_seconds,
            "metric": self.runs[0].train.metric.value,
            "runs": [run.model_dump(mode="json") for run in runs],
            **({"settings": self.settings} if is_paced and self.settings is not None else {}),
        }

    def pending(self, records: Sequence[RunRecord]) -> tuple[Run, ...]:
        """The runs that have no final record yet."""
        done = {record.config for record in records if record.state is not State.RUNNING}
        return tuple(run for run in self.runs if run not in done)


def make_comparison(
    candidates: Sequence[Candidate],
    *,
    data: Data,
    counts: Mapping[str, int],
    weights: WeightsChoice,
    seed: int,
    forecast: Forecast,
    budget: float | None = None,
    images: int | None = None,
    recipe: Run | None = None,
    settings: Sequence[str] = (),
    slots: int = 1,
    spent: float = 0.0,
    decision: Decision = BY_TOP1,
    mirror: bool = True,
    field: DefaultField | None = None,
    begun: bool = False,
) -> Comparison:
    """Plan a comparison at a time budget, at equal images, or at the length that the recipe has.

    Args:
        candidates: The networks with their input sizes.
        data: The data to train on.
        counts: Images by split.
        weights: The weights that were asked for.
        seed: The seed of every run.
        forecast: The time that runs take on this machine.
        budget: Wall-clock seconds for the whole comparison.
        images: Training images that each run sees.
        recipe: The settings of every run; by default each network's default recipe.
        settings: KEY=VALUE, applied last.
        slots: Runs in parallel.
        spent: Wall-clock seconds of the budget that preparing the data and fetching weights have used.
        decision: The metric that decides.
        mirror: Whether images may be mirrored; a setting says otherwise.
        field: How the candidates were chosen, if none were named.
        begun: Whether the comparison goes on with runs that were planned before: then the budget may be too short for
            what was measured since.

    Raises:
        ConfigError: There is no length, or more than one, or the budget is too short.
    """
    require_one_length(budget, images, recipe, settings)
    starts = [
        decide_by(start_from(recipe, candidate, data, weights, seed, mirror=mirror), decision.metric)
        for candidate in candidates
    ]

    def make_runs(length: Mapping[str, float]) -> tuple[Run, ...]:
        """The runs with fields of `train` that say how long they are and how they are scored."""
        options: dict[str, Any] = {"train_images": counts["train"], "head_start": recipe is None, "settings": settings}
        return tuple(set_length(run, dict(length), **options) for run in starts)

    length: Mapping[str, float] = {}
    if budget is not None:
        paced = forecast.for_stage(len(candidates))
        length = _divide_budget(budget, make_runs, paced, counts=counts, slots=slots, spent=spent, begun=begun)
    elif images is not None:
        length = {"images": images}
    return Comparison(
        budget_seconds=budget,
        runs=make_runs(length),
        decides=decision.sentence,
        settings=settings_of_length(settings),
        field=field,
    )


def has_length(recipe: Run | None, settings: Sequence[str]) -> bool:
    """Whether a recipe or KEY=VALUE settings give runs a length, or make them probes, which have none."""
    trains = recipe is not None and recipe.train.mode is Mode.FIT
    return trains or bool(find_length(settings)) or makes_probes(settings, recipe)


def require_one_length(budget: float | None, images: int | None, recipe: Run | None, settings: Sequence[str]) -> None:
    """Raise ConfigError if the runs of a comparison have no length, or more than one.

    Args:
        budget: Wall-clock seconds for the whole comparison.
        images: Training images that each run sees.
        recipe: The recipe, whose length is replaced by any other.
        settings: KEY=VALUE, which may give a length or make the runs probes, which have none.
    """
    if budget is not None and images is not None:
        raise ConfigError("give --budget or --images, not both")
    if budget is None and images is None:
        if not has_length(recipe, settings):
            raise ConfigError("a comparison needs a length: give --budget, --images, or a recipe that has one")
        return
    asked = "--images" if budget is None else "--budget"
    if given := find_length(settings):
        raise ConfigError(f"--set {given} says how long runs are, and {asked} as well: give one of them")
    if makes_probes(settings, recipe):
        raise ConfigError(f"each run is a probe, which has no length: leave out {asked}")


def least_seconds(candidate: Candidate, forecast: Forecast) -> float:
    """Wall-clock seconds of a candidate's run, with as little training and scoring as shows something."""
    scored = count_scored(MIN_VAL_IMAGES, evaluations=1)
    around = forecast.overhead(candidate, Mode.FIT) + forecast.scoring(candidate, scored)
    return around + DEFAULT_TRAINING_SECONDS


def _divide_budget(
    budget: float,
    make_runs: Callable[[Mapping[str, float]], Sequence[Run]],
    forecast: Forecast,
    *,
    counts: Mapping[str, int],
    slots: int,
    spent: float,
    begun: bool,
) -> dict[str, float]:
    """The length of each run, as fields of `train`.

    The runs that `make_runs` returns for such fields are timed: a recipe and settings may change how they are scored.
    """

    @functools.cache
    def plan(images: int, evaluations: int) -> Sequence[Run]:
        return make_runs({"seconds": MIN_TRAINING_SECONDS, "val_images": images, "evaluations": evaluations})

    val_images = counts["val"]
    least_images = min(val_images, MIN_VAL_IMAGES)
    number = len(plan(least_images, 1))
    rounds, usable = math.ceil(number / slots), max(0.0, budget - spent)

    def around(images: int, evaluations: int = 1) -> float:
        """Seconds of all rounds that are not training."""
        each = [forecast.around(run, counts) for run in plan(images, evaluations)]
        return sum(each) if slots == 1 else rounds * max(each)

    def training(images: int, evaluations: int = 1) -> float:
        """Training seconds of each run."""
        return (RUNS_SHARE * usable - around(images, evaluations)) / rounds / (1 + CURVE_SHARE)

    images = min(val_images, MAX_VAL_IMAGES, max(MIN_VAL_IMAGES, round(6 * usable / rounds)))
    if training(images) < MIN_TRAINING_SECONDS:
        images = least_images
    if training(images) < MIN_TRAINING_SECONDS and not begun:
        least = (rounds * MIN_TRAINING_SECONDS * (1 + CURVE_SHARE) + around(least_images)) / RUNS_SHARE + spent
        raise ConfigError(
            f"a budget of {budget:.0f} s is too short for {counted(number, 'candidate')};"
            f" give at least {math.ceil(least)}s, or fewer candidates"
        )

    def affords(evaluations: int) -> bool:
        """Whether there is enough training for so many evaluations."""
        seconds = training(images, evaluations)
        pairs = zip(plan(images, evaluations), plan(images, 1), strict=True)
        on_the_way = max(forecast.around(often, counts) - forecast.around(once, counts) for often, once in pairs)
        return round(seconds / SECONDS_PER_EVALUATION) >= evaluations and on_the_way <= MAX_EVALUATION_SHARE * seconds

    evaluations = next(filter(affords, range(MAX_EVALUATIONS, 1, -1)), 1)
    return {
        "seconds": round(max(MIN_TRAINING_SECONDS, training(images, evaluations)), 1),
        "val_images": images,
        "evaluations": evaluations,
    }
