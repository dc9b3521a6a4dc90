"""What fits into a budget, and which runs come next. Pure: no clock, no disk, no Keras.

plan = make_plan(600, ...)
while (proposal := propose(plan, records, seconds_left)): ...
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from bakeoff.errors import ConfigError
from bakeoff.networks.table import find_network
from bakeoff.report.board import expect_error, order_of, read_row
from bakeoff.runs.config import INTERIM_IMAGES, AugmentStep, Candidate, Data, Mode, Run, WeightsChoice, revise
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.record import RunRecord, Stage, State
from bakeoff.study.defaults import default_run, earlier_sizes, starts_at_random
from bakeoff.study.search import SHORTEST_SEARCH

__all__ = ["MINIMUM_SECONDS", "Proposal", "StudyPlan", "make_plan", "propose"]

MINIMUM_SECONDS = 30.0
# Wall-clock seconds of a run that are not training: start, loading, tracing. Measured values replace it later.
STARTUP_SECONDS = 10.0
# Tracing and optimising the graph of a training step.
TRACING_SECONDS = 8.0
# Opening the test split and writing the bundle take a process more, besides the images themselves; the report's figures
# and pictures come after that.
FINISH_SECONDS = 30.0
# What a screen may take of the budget, and what it may have taken when a from-scratch network is still screened beside
# pretrained ones, which beat it at any budget that is short.
SCREEN_SHARE, SCRATCH_SHARE, RACE_SHARE, TUNE_SHARE = 0.35, 0.12, 0.15, 0.35
# Budgets from which on a search is part of the plan without being asked for. In half an hour it cost more than it found
# (docs/original-study.md); where it begins to pay has not been measured.
TUNED_FROM = 7200.0
# Times the leader's expected error above which nobody is raced.
REACH = 1.5
# Images a second through a network that is probed, before any is measured.
PROBING_RATE = 300.0


class StudyPlan(BaseModel):
    """What a study will do with its budget; a function of the budget, the data and the candidates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget_seconds: float
    data: Data
    seed: int
    weights: WeightsChoice
    candidates: tuple[str, ...]
    """As `name@size`, in the order in which they are screened."""
    cut: tuple[str, ...]
    """Candidates for which there is no time."""
    screen_images: int
    screen_val: int
    scratch_seconds: float
    """Training time of a from-scratch network in the screen, where a pretrained one is probed."""
    finalists: int
    race_seconds: tuple[float, ...]
    """Training seconds of each run in each rung; half of a rung's runs go on to the next."""
    tune_seconds: float
    """Wall clock for the search of the leader's recipe; 0 if there is none."""
    count_val: int
    count_test: int


class Proposal(BaseModel):
    """Runs to do next, in any order, all of one stage."""

    model_config = ConfigDict(frozen=True)

    stage: Stage
    runs: tuple[Run, ...]


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
    """Divide `budget` seconds. `candidates` have their sizes; the last ones are cut where time is short. In screen and
    race `slots` runs are done side by side.

    Whether the leader's recipe is searched depends on the budget, unless `tune` says so. Raises ConfigError for a
    budget that nothing fits into.
    """
    if budget < MINIMUM_SECONDS:
        raise ConfigError(f"a budget of {budget:.0f} s is too short to train anything; give at least 30s")
    tune_seconds = round(TUNE_SHARE * budget) if tune or (tune is None and budget >= TUNED_FROM) else 0.0
    if 0 < tune_seconds < SHORTEST_SEARCH:
        raise ConfigError(
            f"a budget of {budget:.0f} s leaves too little for a search;"
            f" give at least {SHORTEST_SEARCH / TUNE_SHARE:.0f}s, or --no-tune"
        )
    # Images that a probe has time for if every candidate is to be screened; two fifths are validation.
    probed = int(PROBING_RATE * max(0.0, SCREEN_SHARE * budget / math.ceil(len(candidates) / slots) - STARTUP_SECONDS))
    screen_images = min(5000, counts["train"], max(500, min(round(5 * budget), 3 * probed // 5)))
    screen_val = min(5000, counts["val"], max(500, min(round(3 * budget), 2 * probed // 5)))
    scratch_seconds = min(60.0, max(3.0, 0.015 * budget))
    kept = _cut(slots * budget, candidates, (screen_images + screen_val) / PROBING_RATE, scratch_seconds)
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


def propose(
    plan: StudyPlan, records: Sequence[RunRecord], seconds_left: float, changes: Mapping[str, Any] | None = None
) -> Proposal | None:
    """The runs to do next, given what is done; None when a run is confirmed, or nothing is left to try.

    `changes` are what the search made of the recipe, and None as long as it has not ended; the one run that is then
    proposed for it is the recipe to start from.
    """
    done = {record.config: record for record in records if record.state is not State.RUNNING}
    screen = [_screen_run(plan, name) for name in plan.candidates]
    if pending := _pending(screen, done):
        return Proposal(stage=Stage.SCREEN, runs=pending)
    ranking = _rank(screen, done)
    for rung, seconds in enumerate(plan.race_seconds):
        field = [record for record in ranking[: plan.finalists >> rung] if rung or _is_in_reach(record, ranking[0])]
        if len(field) < 2:
            break
        race = [_racing_run(plan, record, seconds) for record in field]
        if pending := _pending(race, done):
            return Proposal(stage=Stage.RACE, runs=pending)
        ranking = _rank(race, done) or ranking
    confirmed = [record for record in records if record.stage is Stage.CONFIRM]
    if any(record.state is State.COMPLETE for record in confirmed):
        return None
    if plan.tune_seconds and changes is None and ranking:
        return Proposal(stage=Stage.TUNE, runs=(_recipe(plan, ranking[0]),))
    failed = {record.candidate for record in confirmed if record.state is State.FAILED}
    for record in ranking:
        if record.candidate not in failed:
            seconds = max(5.0, seconds_left - _overhead(plan, record, records, _count_evaluations(seconds_left)))
            own = changes if record is ranking[0] else None
            return Proposal(stage=Stage.CONFIRM, runs=(_confirming_run(plan, record, round(seconds, 1), own or {}),))
    return None


def _is_in_reach(record: RunRecord, leader: RunRecord) -> bool:
    """Whether a screened candidate could still beat the leader: a race would tell nothing new of the others."""
    return expect_error(read_row(record)) <= REACH * expect_error(read_row(leader))


def _cut(
    budget: float, candidates: Sequence[Candidate], probe_seconds: float, scratch_seconds: float
) -> list[Candidate]:
    """The candidates that there is time to screen, in their order; the first one always."""
    kept: list[Candidate] = []
    spent = 0.0
    for candidate in candidates:
        scratch = find_network(candidate.name).from_scratch
        beside_others = scratch and not all(find_network(each.name).from_scratch for each in kept)
        spent += STARTUP_SECONDS + (scratch_seconds if scratch else probe_seconds)
        if kept and spent > (SCRATCH_SHARE if beside_others else SCREEN_SHARE) * budget:
            spent = math.inf  # a cheaper one further down does not jump the queue
            continue
        kept.append(candidate)
    return kept


def _screen_run(plan: StudyPlan, name: str) -> Run:
    network, _, size = name.partition("@")
    run = default_run(find_network(network), int(size), plan.data, plan.weights, plan.seed)
    scored = {"epochs": None, "val_images": plan.screen_val}
    if starts_at_random(run):
        return run.revised(train=scored | {"seconds": plan.scratch_seconds, "evaluations": 1})
    return run.revised(model={"unfreeze": 0.0}, train=scored | {"mode": Mode.PROBE, "subset": plan.screen_images})


def _recipe(plan: StudyPlan, last: RunRecord) -> Run:
    """A candidate's recipe, with the head that it was probed with where it was."""
    model = last.config.model
    run = default_run(find_network(model.name), model.size, plan.data, plan.weights, plan.seed)
    if starts_at_random(run):
        return run
    # The screen has paid for the probe.
    return run.revised(train={"probe_images": plan.screen_images, "count_probe": False})


def _racing_run(plan: StudyPlan, last: RunRecord, seconds: float) -> Run:
    return _going_on(_recipe(plan, last), last, seconds).revised(train={"val_images": plan.screen_val})


def _confirming_run(plan: StudyPlan, last: RunRecord, seconds: float, changes: Mapping[str, Any]) -> Run:
    run = revise(_recipe(plan, last), changes, "the search")
    length: dict[str, object] = {"flip_test": AugmentStep.FLIP in run.augment.steps}
    if not starts_at_random(run):
        length["sizes"] = earlier_sizes(find_network(run.model.name), run.model.size)
    return _going_on(run, last, seconds).revised(train=length)


def _going_on(run: Run, last: RunRecord, seconds: float) -> Run:
    """A candidate's next run: it goes on from its last one, or from that one's head if it was a probe."""
    run = run.revised(train={"epochs": None, "seconds": seconds, "evaluations": _count_evaluations(seconds)})
    if last.config.train.mode is Mode.PROBE:
        return run
    return run.revised(
        model={"start": str(RunFolder(run_dir(Path(), last.id)).model)}, train={"probe_images": 0, "count_probe": True}
    )


def _pending(runs: Sequence[Run], done: Mapping[Run, RunRecord]) -> tuple[Run, ...]:
    return tuple(run for run in runs if run not in done)


def _rank(runs: Sequence[Run], done: Mapping[Run, RunRecord]) -> list[RunRecord]:
    """The completed ones, in the order of the board."""
    scored = [done[run] for run in runs if done[run].state is State.COMPLETE]
    return sorted(scored, key=lambda record: order_of(read_row(record)))


def _count_evaluations(seconds: float) -> int:
    return max(2, min(8, round(seconds / 100)))


def _overhead(plan: StudyPlan, last: RunRecord, records: Sequence[RunRecord], evaluations: int) -> float:
    """Seconds of the confirming run that are not training, and of what follows it, from this candidate's records."""
    known = [record for record in records if record.candidate == last.candidate and record.state is State.COMPLETE]
    # A probe whose features were in the cache took less wall clock than they once cost.
    around = max(STARTUP_SECONDS, *(record.seconds.total - record.seconds.train for record in known))
    # The screen's rate is that of forward passes, if it was a probe; a training rate is on the safe side.
    rate = max(record.images_per_second for record in known)
    # Each image and its mirror image; a part of validation on the way, at the start, and again for comparison with it.
    scored = 2 * (plan.count_test + plan.count_val) + (evaluations + 2) * min(INTERIM_IMAGES, plan.count_val)
    model = last.config.model
    traced = 1 + len(earlier_sizes(find_network(model.name), model.size))
    return around + traced * TRACING_SECONDS + scored / rate + FINISH_SECONDS
