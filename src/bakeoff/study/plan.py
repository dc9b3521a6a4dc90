"""The plan of a study: how it divides its budget among its stages. Pure functions: no clock, no files, no Keras."""

import math
from collections.abc import Mapping, Sequence

from bakeoff.errors import ConfigError
from bakeoff.networks.table import find_network
from bakeoff.runs.config import Candidate, Data, WeightsChoice
from bakeoff.runs.facts import Facts
from bakeoff.study.search import MIN_SEARCH_SECONDS

__all__ = ["StudyPlan", "make_plan"]

MIN_BUDGET_SECONDS = 30.0
# Wall-clock seconds of a run that are not training: start, loading, tracing.
STARTUP_SECONDS = 10.0
# Images per second through a network that is probed.
PROBED_IMAGES_PER_SECOND = 300.0
# The share of the budget for the screen. The larger part of the budget is left for the winner.
SCREEN_SHARE = 0.35
# A from-scratch network is screened beside pretrained ones only if the screen has used less than this share so far,
# because at short budgets pretrained networks always won.
FROM_SCRATCH_SHARE = 0.12
# The share for all rungs of the race together.
RACE_SHARE = 0.15
# The share for the search of the winner's recipe, if there is one.
TUNE_SHARE = 0.35
# With at least this budget a search is planned by default. Within half an hour it cost more than it gained
# (docs/original-study.md); from what budget on it gains has not been measured.
DEFAULT_TUNE_BUDGET_SECONDS = 7200.0


class StudyPlan(Facts):
    """What a study does with its budget; a function of the budget, the data and the candidates."""

    budget_seconds: float
    data: Data
    seed: int
    weights: WeightsChoice
    candidates: tuple[str, ...]
    """Names as `name@size`, in the order in which they are screened."""
    cut: tuple[str, ...]
    """Candidates for which there is no time."""
    screen_images: int
    """Training images of a probe in the screen."""
    screen_val: int
    """Validation images that a run is scored on in the screen and the race."""
    scratch_seconds: float
    """Training seconds of a from-scratch network in the screen; pretrained ones are probed."""
    finalists: int
    """Candidates in the first rung of the race."""
    race_seconds: tuple[float, ...]
    """Training seconds of each run, by rung. The better half of a rung continues in the next one."""
    tune_seconds: float
    """Wall-clock seconds for the search of the winner's recipe; 0 for no search."""
    count_val: int
    count_test: int


def make_plan(
    budget: float,
    *,
    data: Data,
    counts: Mapping[str, int],
    candidates: Sequence[Candidate],
    weights: WeightsChoice | None = None,
    seed: int = 0,
    tune: bool | None = None,
    slots: int = 1,
) -> StudyPlan:
    """Divide a budget among the stages of a study.

    The race is successive halving (Jamieson & Talwalkar 2016; Li et al. 2018): each rung has half of the runs of the
    one before, and twice the time for each.

    Args:
        budget: Wall-clock seconds for the whole study.
        data: The data to train on.
        counts: Images by split.
        candidates: The networks with their input sizes; where time is short the last ones are left out.
        weights: The weights that were asked for.
        seed: The seed of every run.
        tune: Whether the winner's recipe is searched; None to decide by the budget.
        slots: Runs in parallel, in the screen and the race.

    Raises:
        ConfigError: The budget is too short for any run, or for the search that was asked for.
    """
    if budget < MIN_BUDGET_SECONDS:
        raise ConfigError(
            f"a budget of {budget:.0f} s is too short to train anything; give at least {MIN_BUDGET_SECONDS:.0f}s"
        )
    tune_seconds = (
        round(TUNE_SHARE * budget) if tune or (tune is None and budget >= DEFAULT_TUNE_BUDGET_SECONDS) else 0.0
    )
    if 0 < tune_seconds < MIN_SEARCH_SECONDS:
        raise ConfigError(
            f"a budget of {budget:.0f} s leaves too little for a search;"
            f" give at least {MIN_SEARCH_SECONDS / TUNE_SHARE:.0f}s, or --no-tune"
        )
    # If all candidates are screened, each has time for this many images: three fifths for training, two for validation.
    probe_seconds = SCREEN_SHARE * budget / math.ceil(len(candidates) / slots) - STARTUP_SECONDS
    probed = int(PROBED_IMAGES_PER_SECOND * max(0.0, probe_seconds))
    screen_images = min(5000, counts["train"], max(500, min(round(5 * budget), 3 * probed // 5)))
    screen_val = min(5000, counts["val"], max(500, min(round(3 * budget), 2 * probed // 5)))
    scratch_seconds = min(60.0, max(3.0, 0.015 * budget))
    kept = _keep_affordable(
        candidates,
        total_seconds=slots * budget,
        probe_seconds=(screen_images + screen_val) / PROBED_IMAGES_PER_SECOND,
        scratch_seconds=scratch_seconds,
    )
    finalists = 1 if budget < 1200 else 2 if budget < 2400 else 4 if budget < 7200 else 8
    finalists = min(finalists, 2 ** int(math.log2(len(kept))))
    rungs = int(math.log2(finalists))
    return StudyPlan(
        budget_seconds=budget,
        data=data,
        seed=seed,
        weights=weights or WeightsChoice(),
        candidates=tuple(map(str, kept)),
        cut=tuple(str(candidate) for candidate in candidates if candidate not in kept),
        screen_images=screen_images,
        screen_val=screen_val,
        scratch_seconds=scratch_seconds,
        finalists=finalists,
        race_seconds=tuple(
            round(RACE_SHARE * budget / rungs / math.ceil((finalists >> rung) / slots), 1) for rung in range(rungs)
        ),
        tune_seconds=tune_seconds,
        count_val=counts["val"],
        count_test=counts["test"],
    )


def _keep_affordable(
    candidates: Sequence[Candidate], *, total_seconds: float, probe_seconds: float, scratch_seconds: float
) -> list[Candidate]:
    """The first candidates, as many as there is time to screen; at least one."""
    kept: list[Candidate] = []
    used = 0.0
    for candidate in candidates:
        from_scratch = find_network(candidate.name).from_scratch
        beside_pretrained = from_scratch and not all(find_network(each.name).from_scratch for each in kept)
        used += STARTUP_SECONDS + (scratch_seconds if from_scratch else probe_seconds)
        if kept and used > (FROM_SCRATCH_SHARE if beside_pretrained else SCREEN_SHARE) * total_seconds:
            used = math.inf  # a faster candidate further down is left out, too
            continue
        kept.append(candidate)
    return kept
