"""A factor-by-factor study: a base recipe, and runs that differ from it in one key each, all of equal length.

Pure functions, except `measure_effects`, which reads the predictions of the runs.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bakeoff.errors import ConfigError
from bakeoff.runs.config import Run
from bakeoff.runs.facts import Facts
from bakeoff.runs.findings import Effect, Effects
from bakeoff.runs.history import CURVE_SHARE
from bakeoff.runs.paired import compare, pair_by_seed, summarise
from bakeoff.runs.record import RunRecord, State
from bakeoff.study.defaults import set_length, settings_of_length, without_length
from bakeoff.study.forecast import Forecast
from bakeoff.study.space import Scalar, Space
from bakeoff.text import counted

__all__ = ["Ablation", "make_ablation", "measure_effects"]

# A shorter training shows nothing.
MIN_TRAINING_SECONDS = 8.0
# The share of the budget that is planned for runs; the rest is for the report.
RUNS_SHARE = 0.95
# A run is scored on at most this many validation images.
MAX_VAL_IMAGES = 2000


class Level(Facts):
    """One value of one factor, and its runs: one per seed."""

    key: str
    """The key of the recipe that is changed."""
    value: bool | int | float | str
    """Its value."""
    runs: tuple[Run, ...]
    """One run for each seed."""


class Ablation(Facts):
    """All runs of a factor-by-factor study."""

    budget_seconds: float
    """Wall-clock seconds for the whole study."""
    base: tuple[Run, ...]
    """The base recipe: one run per seed."""
    levels: tuple[Level, ...]
    """The values that are tried, each with its runs."""
    decides: str = ""
    """A sentence on the metric that decides."""
    settings: dict[str, Any] | None = None
    """What was set of the length and the scoring of runs, by key; None in studies of older versions."""

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for: the length of a run depends on the pace of the machine."""
        return {
            "budget_seconds": self.budget_seconds,
            "metric": self.base[0].train.metric.value,
            "runs": [without_length(run).model_dump(mode="json") for run in self.runs],
            **({} if self.settings is None else {"settings": self.settings}),
        }

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, ordered by seed: a study that ends early has compared all levels, with fewer seeds."""
        arms = (self.base, *(level.runs for level in self.levels))
        return tuple(arm[seed] for seed in range(len(self.base)) for arm in arms)

    def changes(self, run: Run) -> dict[str, Any]:
        """The key and the value in which a run differs from the base recipe; empty for the base recipe."""
        return next(({level.key: level.value} for level in self.levels if run in level.runs), {})

    def pending(self, records: Sequence[RunRecord]) -> tuple[Run, ...]:
        """The runs that have no final record yet."""
        done = {record.config for record in records if record.state is not State.RUNNING}
        return tuple(run for run in self.runs if run not in done)


def make_ablation(
    base: Run,
    factors: Space,
    *,
    budget: float,
    seeds: int,
    counts: Mapping[str, int],
    forecast: Forecast,
    head_start: bool = False,
    settings: Sequence[str] = (),
    slots: int = 1,
    spent: float = 0.0,
    decides: str = "",
    begun: bool = False,
) -> Ablation:
    """Plan one run per seed for the base recipe, and for each value of each factor that differs from it.

    Args:
        base: The base recipe; its length is replaced.
        factors: The factors, with the choices of each.
        budget: Wall-clock seconds for the whole study; what is left is divided equally among the runs.
        seeds: Runs of each recipe, with seeds in sequence.
        counts: Images by split.
        forecast: The time that runs take on this machine.
        head_start: Whether each run starts its head from a probe (LP-FT, Kumar et al. 2022).
        settings: KEY=VALUE, applied last.
        slots: Runs in parallel.
        spent: Wall-clock seconds of the budget that preparing the data and fetching weights have used.
        decides: A sentence on the metric that decides, which is the base recipe's.
        begun: Whether the study goes on with runs that were planned before: then the budget may be too short for what
            was measured since.

    Raises:
        ConfigError: No value differs from the base recipe's, or the budget is too short.
    """

    def plan_arms(seconds: float) -> tuple[Run, list[tuple[str, Scalar, Run]]]:
        """The base recipe at this length, and the levels around it."""
        length = {"seconds": seconds, "evaluations": 1, "val_images": min(counts["val"], MAX_VAL_IMAGES)}
        start = set_length(base, length, train_images=counts["train"], head_start=head_start, settings=settings)
        return start, factors.widened_to(start).levels(start)

    start, levels = plan_arms(MIN_TRAINING_SECONDS)
    if not levels:
        raise ConfigError("the space has no value besides the base recipe's, so there is nothing to compare")
    arms = [start, *(run for *_, run in levels)]
    runs = len(arms) * seeds
    rounds = math.ceil(runs / slots)
    # Levels differ in what is around the training: in their input sizes and in how often they are scored.
    around = statistics.fmean(forecast.for_stage(runs).around(run, counts) for run in arms)
    seconds = round((RUNS_SHARE * max(0.0, budget - spent) / rounds - around) / (1 + CURVE_SHARE), 1)
    if seconds < MIN_TRAINING_SECONDS and not begun:
        least = math.ceil(rounds * (MIN_TRAINING_SECONDS * (1 + CURVE_SHARE) + around) / RUNS_SHARE + spent)
        raise ConfigError(
            f"a budget of {budget:.0f} s is too short for {counted(runs, 'run')}; give at least {least}s, or"
            " choose fewer"
            " factors with --space or --factors"
        )
    start, levels = plan_arms(max(MIN_TRAINING_SECONDS, seconds))
    return Ablation(
        budget_seconds=budget,
        base=_repeat(start, seeds),
        levels=tuple(Level(key=key, value=value, runs=_repeat(run, seeds)) for key, value, run in levels),
        decides=decides,
        settings=settings_of_length(settings),
    )


def measure_effects(plan: Ablation, out: Path, records: Sequence[RunRecord]) -> Effects | None:
    """Compare each level with the base recipe, on the seeds that completed for both.

    Args:
        plan: The plan of the study.
        out: The study's folder, with the predictions of its runs.
        records: The records so far.

    Returns:
        The effects so far; None as long as the base recipe has not completed.
    """
    done = {record.config: record for record in records if record.state is State.COMPLETE}
    base = [done[run] for run in plan.base if run in done]
    if not base:
        return None
    effects, missing, metric = [], [], plan.base[0].train.metric
    for level in plan.levels:
        before, after = pair_by_seed(base, [done[run] for run in level.runs if run in done])
        if after:
            difference = compare(out, [record.id for record in before], [record.id for record in after], metric)
            arm = summarise(out, after, metric)
            effects.append(Effect(key=level.key, value=level.value, arm=arm, difference=difference))
        else:
            missing.append(f"{level.key}={level.value}")
    return Effects(base=summarise(out, base, metric), effects=tuple(effects), missing=tuple(missing))


def _repeat(run: Run, seeds: int) -> tuple[Run, ...]:
    return tuple(run.model_copy(update={"seed": run.seed + offset}) for offset in range(seeds))
