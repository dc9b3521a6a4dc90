"""Candidates at one equal budget: the same training seconds each, or the same images.

Pure, like `plan.py`: no clock, no disk, no Keras.
"""

import math
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from bakeoff.errors import ConfigError
from bakeoff.runs.config import Candidate, Data, Mode, Run, WeightsChoice
from bakeoff.runs.record import RunRecord, State
from bakeoff.study.defaults import fit_to_length, start_from

__all__ = ["Comparison", "make_comparison"]

# Wall-clock seconds of a run that are not training: start, loading, tracing, saving.
STARTUP_SECONDS = 14.0
# Validation images a second that a slow network may be expected to score while the budget is divided.
SCORING_RATE = 80.0
MINIMUM_SECONDS = 5.0


class Comparison(BaseModel):
    """All runs of a comparison, known from the start. Without a budget it takes the time that its runs take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget_seconds: float | None
    runs: tuple[Run, ...]

    def pending(self, records: Sequence[RunRecord]) -> tuple[Run, ...]:
        """The runs that are still to do."""
        done = {record.config for record in records if record.state is not State.RUNNING}
        return tuple(run for run in self.runs if run not in done)


def make_comparison(
    candidates: Sequence[Candidate],
    *,
    data: Data,
    counts: Mapping[str, int],
    weights: WeightsChoice,
    seed: int,
    budget: float | None = None,
    images: int | None = None,
    recipe: Run | None = None,
    settings: Sequence[str] = (),
    slots: int = 1,
) -> Comparison:
    """The runs of candidates with their sizes at one budget: wall-clock seconds for all, or training images for each.

    With neither, the recipe says how long a run is. `settings` are KEY=VALUE and go over everything. `slots` runs are
    done side by side. Raises ConfigError for a budget that is too short.
    """
    if budget is None and images is None and recipe is None:
        raise ConfigError("a comparison needs a length: give --budget, --images, or a recipe that has one")
    if recipe is not None and recipe.train.mode is Mode.PROBE and (budget or images):
        raise ConfigError("the recipe is a probe, which has no length: leave out --budget and --images")
    length: dict[str, float | int | None] = {}
    if budget is not None:
        length = _share(budget, len(candidates), counts, slots)
    elif images is not None:
        length = {"seconds": None, "images": images, "epochs": None}
    starts = (start_from(recipe, candidate, data, weights, seed) for candidate in candidates)
    runs = (fit_to_length(run, length, counts["train"], head_start=recipe is None, settings=settings) for run in starts)
    return Comparison(budget_seconds=budget, runs=tuple(runs))


def _share(budget: float, candidates: int, counts: Mapping[str, int], slots: int) -> dict[str, float | int | None]:
    """One candidate's part of a budget: training seconds, and how much may be spent on scoring."""
    rounds = math.ceil(candidates / slots)
    wall = budget / rounds
    val_images = min(counts["val"], 5000, max(300, round(6 * wall)))
    # A candidate is scored where it starts and where it ends.
    seconds = 0.95 * wall - STARTUP_SECONDS - 2 * val_images / SCORING_RATE
    if seconds < MINIMUM_SECONDS:
        least = rounds * (MINIMUM_SECONDS + STARTUP_SECONDS + 2 * 300 / SCORING_RATE) / 0.95
        raise ConfigError(
            f"a budget of {budget:.0f} s is too short for {candidates} candidates; give at least {least:.0f}s, or fewer"
        )
    return {
        "seconds": round(seconds, 1),
        "images": None,
        "epochs": None,
        "val_images": val_images,
        "evaluations": max(1, min(8, round(seconds / 120))),
    }
