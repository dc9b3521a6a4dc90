"""Revisions of a plan: what a study decides once it has measured something. Pure functions, like the plan."""

import math
from collections.abc import Iterator, Sequence

from bakeoff.networks.find import find_network
from bakeoff.report.board import expect_error, order_of, read_row, read_score
from bakeoff.runs.config import Candidate, Mode
from bakeoff.runs.facts import Facts
from bakeoff.runs.record import RunRecord, Stage, State
from bakeoff.study.forecast import Forecast
from bakeoff.study.plan import StudyPlan
from bakeoff.study.planning import RACE_SHARE, SCREEN_SHARE, plan_race, predict_screening
from bakeoff.study.sizes import relative_error, sizes_for

__all__ = ["Revision", "revise_plan"]

# A further input size is probed if its expected error is below this share of the leader's: the gain that is assumed may
# be too small.
WORTH_A_PROBE = 1.02
# The leader is probed at this many input sizes at most.
MAX_SIZES = 3


class Revision(Facts):
    """A change of the plan, and why."""

    step: str
    """`candidates`, `size` or `race`."""
    why: str
    plan: StudyPlan


def revise_plan(
    plan: StudyPlan,
    records: Sequence[RunRecord],
    seconds_left: float,
    forecast: Forecast,
    *,
    done: Sequence[str] = (),
    slots: int = 1,
) -> Revision | None:
    """The next change of a plan, once everything that it screens is screened; None if it stays.

    Candidates that were cut are screened after all if there is time. The leader of the screen is probed at a second
    input size. Then the race is planned anew, by the paces that were measured.

    Args:
        plan: The plan.
        records: The records so far.
        seconds_left: Wall-clock seconds that are left of the budget.
        forecast: The time that runs take on this machine, these records included.
        done: The steps of earlier revisions.
        slots: Runs in parallel.
    """
    screened = {record.candidate: record for record in records if record.stage is Stage.SCREEN}
    finished = {name: record for name, record in screened.items() if record.state is not State.RUNNING}
    if "race" in done or not set(plan.candidates) <= set(finished):
        return None
    if any(record.stage in (Stage.RACE, Stage.TUNE, Stage.CONFIRM) for record in records):
        return None
    ranking = [record for name, record in finished.items() if record.state is State.COMPLETE]
    ranking.sort(key=lambda record: order_of(read_row(record)))
    spare = seconds_left - (1 - SCREEN_SHARE) * plan.budget_seconds
    if added := list(_affordable(plan, spare, forecast, slots)):
        planned = plan.predicted_seconds.get("screen", 0.0)
        why = f"there is time for {', '.join(added)} after all: the screen was planned for {planned:.0f} s"
        changes = {
            "candidates": (*plan.candidates, *added),
            "cut": tuple(name for name in plan.cut if name not in added),
        }
        return Revision(step="candidates", why=why, plan=plan.model_copy(update=changes))
    if not ranking:
        return None
    if size := _next_size(plan, ranking, spare, forecast):
        leader = ranking[0]
        name = str(Candidate(name=leader.config.model.name, size=size))
        why = f"the leader, {leader.candidate}, is probed at {size} pixels too"
        changes = {"candidates": (*plan.candidates, name)}
        return Revision(step="size", why=why, plan=plan.model_copy(update=changes))
    leaders = [Candidate.of(record.config) for record in ranking]
    finalists, lengths = plan_race(
        RACE_SHARE * seconds_left, leaders, forecast=forecast, train_images=plan.count_train, slots=slots
    )
    if (finalists, lengths) == (plan.finalists, plan.race_seconds):
        return None
    before = _describe_race(plan.finalists, plan.race_seconds)
    why = f"by the paces that the screen has measured: {_describe_race(finalists, lengths)}, instead of {before}"
    raced = plan.model_copy(update={"finalists": finalists, "race_seconds": lengths})
    return Revision(step="race", why=why, plan=raced)


def _affordable(plan: StudyPlan, spare: float, forecast: Forecast, slots: int) -> Iterator[str]:
    """The names of candidates that were cut and can be screened in the time that the screen has left, in their order:
    the most promising ones come first."""
    limit = spare
    for name in plan.cut:
        alone = predict_screening(plan, Candidate.read(name), forecast)
        if alone <= limit and alone / slots <= spare:
            spare -= alone / slots
            yield name


def _next_size(plan: StudyPlan, ranking: Sequence[RunRecord], spare: float, forecast: Forecast) -> int | None:
    """A further input size at which it is worth to probe the leader; None if there is none, or no time for it."""
    leader = ranking[0]
    spec = find_network(leader.config.model.name)
    # It was trained from random weights, or the plan is of an older version.
    if leader.config.train.mode is Mode.FIT or not plan.side:
        return None
    known = {record.config.model.size: record for record in ranking if record.config.model.name == spec.name}
    tried = {each.size for each in map(Candidate.read, plan.candidates) if each.name == spec.name}
    if len(tried) >= MAX_SIZES:
        return None
    best = expect_error(read_row(leader))
    found = []
    for size in sizes_for(spec, plan.side):
        candidate = Candidate(name=spec.name, size=size)
        if size in tried or predict_screening(plan, candidate, forecast) > spare:
            continue
        expected = _expect_error_at(size, leader, known, plan)
        if expected < WORTH_A_PROBE * best:
            found.append((expected, size))
    return min(found)[1] if found else None


def _expect_error_at(size: int, leader: RunRecord, known: dict[int, RunRecord], plan: StudyPlan) -> float:
    """The leader's expected error at an input size that was not probed.

    With probes at two sizes, the error is taken to be a power of the size; with one, the power is assumed.
    """
    at = leader.config.model.size
    row, metric = read_row(leader), leader.metric
    errors = {side: _read_error(record) for side, record in known.items()}
    error = _read_error(leader)
    others = {side: each for side, each in errors.items() if side != at}
    if others:
        other = min(others, key=lambda side: abs(side - size))
        power = math.log(max(others[other], 1e-3) / max(error, 1e-3)) / math.log(other / at)
        error *= math.pow(size / at, power)
    else:
        error *= relative_error(plan.side, at, size)
    pace = row.images_per_second * (at / size) ** 2
    moved = row.model_copy(
        update={
            f"val_{metric.field}": metric.error(error if metric.is_loss else min(1.0, error)),
            "images_per_second": pace,
            "seconds_planned": plan.confirm_seconds,
        }
    )
    return expect_error(moved)


def _read_error(record: RunRecord) -> float:
    score = read_score(read_row(record))
    return 1.0 if score is None else record.metric.error(score.value)


def _describe_race(finalists: int, lengths: Sequence[float]) -> str:
    if not lengths:
        return "no race"
    return f"a race of {finalists} for {' and '.join(f'{seconds:.0f} s' for seconds in lengths)} each"
