"""One factor at a time: a base recipe, and runs that differ from it in one key each, all of equal length.

Pure, like `plan.py`, but for `measure`, which reads what the runs left behind.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from bakeoff.errors import ConfigError
from bakeoff.runs.config import Run
from bakeoff.runs.findings import Effect, Effects
from bakeoff.runs.paired import compare, gather
from bakeoff.runs.record import RunRecord, State
from bakeoff.study.defaults import fit_to_length
from bakeoff.study.space import Space

__all__ = ["Ablation", "make_ablation", "measure"]

# Training seconds of a run at the least; below, there is nothing to see.
SHORTEST = 8.0
# Wall clock of a run besides its training and scoring, and validation images scored in a second by a slow network.
AROUND, SCORING_RATE = 18.0, 150.0
MOST_SCORED = 2000


class Level(BaseModel):
    """One value of one factor, and its runs, one for each seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    value: bool | int | float | str
    runs: tuple[Run, ...]


class Ablation(BaseModel):
    """All runs of a factor-by-factor study, known from the start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget_seconds: float
    base: tuple[Run, ...]
    """The base recipe, once for each seed."""
    levels: tuple[Level, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        """Seed by seed, so that a study that is cut off has compared everything fewer times."""
        return tuple(
            arm[seed] for seed in range(len(self.base)) for arm in (self.base, *(each.runs for each in self.levels))
        )

    def changes(self, run: Run) -> dict[str, Any]:
        """What a run varies: its level's key and value; nothing for the base recipe."""
        return next(({level.key: level.value} for level in self.levels if run in level.runs), {})

    def pending(self, records: Sequence[RunRecord]) -> tuple[Run, ...]:
        """The runs that are still to do."""
        done = {record.config for record in records if record.state is not State.RUNNING}
        return tuple(run for run in self.runs if run not in done)


def make_ablation(
    base: Run,
    factors: Space,
    *,
    budget: float,
    seeds: int,
    counts: Mapping[str, int],
    head_start: bool = False,
    settings: Sequence[str] = (),
    slots: int = 1,
) -> Ablation:
    """The runs of every choice of every factor that is not the base's own, with an even share of the budget each;
    `slots` of them are done side by side.

    With a head start, each begins with a probe that fits its length. Settings are KEY=VALUE, over everything. Raises
    ConfigError if there is no such choice, or too little time.
    """
    levels = factors.around(base).levels(base)
    if not levels:
        raise ConfigError("the space has no value besides the base recipe's, so there is nothing to compare")
    runs = (len(levels) + 1) * seeds
    rounds = math.ceil(runs / slots)
    val_images = min(counts["val"], MOST_SCORED)
    seconds = round(0.95 * budget / rounds - AROUND - val_images / SCORING_RATE, 1)
    if seconds < SHORTEST:
        least = rounds * (SHORTEST + AROUND + val_images / SCORING_RATE) / 0.95
        raise ConfigError(
            f"a budget of {budget:.0f} s is too short for {runs} runs; give at least {least:.0f}s, or fewer factors by"
            " --space or --factors"
        )
    length = {"seconds": seconds, "images": None, "epochs": None, "evaluations": 1, "val_images": val_images}
    base = fit_to_length(base, length, counts["train"], head_start=head_start, settings=settings)
    return Ablation(
        budget_seconds=budget,
        base=_seeded(base, seeds),
        levels=tuple(
            Level(key=key, value=value, runs=_seeded(run, seeds))
            for key, value, run in factors.around(base).levels(base)
        ),
    )


def measure(plan: Ablation, out: Path, records: Sequence[RunRecord]) -> Effects | None:
    """Every level that completed against the base recipe; None until the base recipe has completed.

    Seeds that are missing on either side are left out on both.
    """
    done = {record.config: record for record in records if record.state is State.COMPLETE}
    base = [done[run] for run in plan.base if run in done]
    if not base:
        return None
    effects, missing = [], []
    for level in plan.levels:
        pairs = [
            (done[before], done[after])
            for before, after in zip(plan.base, level.runs, strict=True)
            if {before, after} <= done.keys()
        ]
        if pairs:
            before, after = zip(*pairs, strict=True)
            difference = compare(out, [record.id for record in before], [record.id for record in after])
            effects.append(Effect(key=level.key, value=level.value, arm=gather(out, after), difference=difference))
        else:
            missing.append(f"{level.key}={level.value}")
    return Effects(base=gather(out, base), effects=tuple(effects), missing=tuple(missing))


def _seeded(run: Run, seeds: int) -> tuple[Run, ...]:
    return tuple(run.model_copy(update={"seed": run.seed + offset}) for offset in range(seeds))
