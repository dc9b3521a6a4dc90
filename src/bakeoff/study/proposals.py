"""propose(): the plan and the records so far to the runs that come next. Pure functions: no clock, no files, no Keras.

plan = make_plan(600, forecast=forecast, ...)
while (proposal := propose(plan, records, seconds_left, forecast)): ...
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from bakeoff.networks.find import find_network
from bakeoff.report.board import expect_error, order_of, read_row
from bakeoff.runs.config import AugmentStep, Candidate, Mode, Run, revise
from bakeoff.runs.facts import Facts
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.history import CURVE_SHARE
from bakeoff.runs.record import RunRecord, Stage, State
from bakeoff.study.deciding import decide_by
from bakeoff.study.defaults import has_random_weights, progressive_sizes, start_from, without_length
from bakeoff.study.forecast import Forecast, count_scored
from bakeoff.study.plan import StudyPlan
from bakeoff.study.planning import MIN_CONFIRM_SECONDS, divide_training
from bakeoff.study.settle import keep_for_probe

__all__ = ["Proposal", "propose"]

# The confirming run is planned as if the time around its training might be as short as this share of what is expected.
LEAST_OVERHEAD_SHARE = 0.7
# Mirror images are scored too if that takes at most this share of the time that is left: they double the scoring.
MAX_MIRROR_SHARE = 0.1
# In fewer steps than this fine-tuning shows nothing, and one step of a large transformer may take longer than a small
# machine has time for.
LEAST_STEPS = 2
# A candidate is raced only if its expected error is at most this many times the leader's.
MAX_ERROR_RATIO = 1.5


class Proposal(Facts):
    """The runs to do next, all of one stage, in any order."""

    stage: Stage
    runs: tuple[Run, ...]
    of: int = 1
    """Runs of the whole stage, with those that are done."""
    follows: float = 0.0
    """For a confirming run: seconds that are kept for what follows it, before the test split."""


def propose(
    plan: StudyPlan,
    records: Sequence[RunRecord],
    seconds_left: float,
    forecast: Forecast,
    changes: Mapping[str, Any] | None = None,
    awaited: Collection[str] = (),
) -> Proposal | None:
    """The runs to do next.

    Args:
        plan: The plan of the study.
        records: The records so far.
        seconds_left: Wall-clock seconds that are left of the budget.
        forecast: The time that runs take on this machine, these records included.
        changes: The values by key that the search chose for the leader's recipe; None as long as it has not ended.
        awaited: Candidates whose weights have not arrived yet.

    Returns:
        The runs of one stage. For the screen there are none as long as all that is left to screen is awaited. For the
        stage `tune` it is one run: the recipe that the search starts from. None if a run is confirmed, if no candidate
        is left to try, or if there is no time to fine-tune the leader, which was probed; what follows then is in
        `settle.py`.
    """
    done = {record.config: record for record in records if record.state is not State.RUNNING}
    screen = [_screen_run(plan, name) for name in plan.candidates]
    if pending := _pending(screen, done):
        here = tuple(run for run in pending if run.candidate not in awaited)
        return Proposal(stage=Stage.SCREEN, runs=here, of=len(screen))
    ranking = _rank(screen, done)
    for rung, seconds in enumerate(plan.race_seconds):
        leaders = ranking[: plan.finalists >> rung]
        raced = [record for record in leaders if rung or _could_win(record, ranking[0])]
        if len(raced) < 2:
            break
        race = [_race_run(plan, record, seconds) for record in raced]
        if pending := _pending(race, done):
            return Proposal(stage=Stage.RACE, runs=pending, of=len(race))
        ranking = _rank(race, done) or ranking
    confirmed = [record for record in records if record.stage is Stage.CONFIRM]
    if any(record.state is State.COMPLETE for record in confirmed):
        return None
    if plan.tune_seconds and changes is None and ranking:
        return Proposal(stage=Stage.TUNE, runs=(_base_recipe(plan, ranking[0]),))
    alone = forecast.for_stage(1)  # a confirming run has the whole machine
    fitted = (record for record in confirmed if record.config.train.mode is Mode.FIT)
    tried = {_without_length(record.config) for record in fitted if record.state is not State.RUNNING}
    for record, wanted in _list_attempts(ranking, changes or {}):
        flips = _has_time_for_mirror_images(plan, record, seconds_left, alone)
        overhead = _predict_overhead(plan, record, alone, flips, evaluations=_count_evaluations(seconds_left))
        kept = keep_for_probe(plan, record, records, alone)
        available = (seconds_left - overhead - kept) / (1 + CURVE_SHARE)
        if not confirmed and record.config.train.mode is Mode.PROBE and _is_too_short(record, available, alone):
            return None  # There is no time to fine-tune anything, so the best probe is confirmed.
        seconds, refitting = divide_training(plan, Candidate.of(record.config), available, alone)
        run = _confirm_run(plan, record, round(max(MIN_CONFIRM_SECONDS, seconds), 1), flips, wanted)
        if _without_length(run) not in tried and run not in done:
            return Proposal(stage=Stage.CONFIRM, runs=(run,), follows=round(kept + refitting, 1))
    return None


def _list_attempts(
    ranking: Sequence[RunRecord], changes: Mapping[str, Any]
) -> list[tuple[RunRecord, Mapping[str, Any]]]:
    """What is confirmed until a run completes: candidates by their last records, with changes of their recipes.

    The search was for the leader's recipe. If that fails, the leader is tried with its default recipe after the others.
    """
    attempts: list[tuple[RunRecord, Mapping[str, Any]]] = [(record, {}) for record in ranking]
    return [(ranking[0], changes), *attempts[1:], attempts[0]] if ranking and changes else attempts


def _without_length(run: Run) -> Run:
    """A confirming run without what depends on the time that was left: two that are equal then fail alike."""
    return without_length(run).revised(train={"flip_test": False})


def _is_too_short(record: RunRecord, seconds: float, forecast: Forecast) -> bool:
    """Whether there is no time to fine-tune a network."""
    images = seconds * forecast.rate(Candidate.of(record.config), Mode.FIT).value
    return seconds < MIN_CONFIRM_SECONDS or images < LEAST_STEPS * record.config.train.batch


def _could_win(record: RunRecord, leader: RunRecord) -> bool:
    """Whether a screened candidate is close enough to the leader that a race could change their order."""
    return expect_error(read_row(record)) <= MAX_ERROR_RATIO * expect_error(read_row(leader))


def _screen_run(plan: StudyPlan, name: str) -> Run:
    """A candidate's run in the screen: a probe, cross-validated or not, or a short training from random weights."""
    run = _default_run(plan, Candidate.read(name))
    train: dict[str, Any] = {"epochs": None, "val_images": plan.screen_val}
    if has_random_weights(run):
        return run.revised(train=train | {"seconds": plan.scratch_seconds, "evaluations": 1})
    train |= {"mode": Mode.PROBE, "subset": plan.screen_images, "folds": plan.screen_folds}
    return run.revised(model={"unfreeze": 0.0}, train=train)


def _default_run(plan: StudyPlan, candidate: Candidate) -> Run:
    """A network's default recipe, in the precision and for the metric of the plan."""
    run = start_from(None, candidate, plan.data, plan.weights, plan.seed, mirror=plan.may_mirror)
    return decide_by(run.revised(train={"precision": plan.precision, "xla": plan.xla}), plan.metric)


def _base_recipe(plan: StudyPlan, last: RunRecord) -> Run:
    """A candidate's default recipe; a pretrained network's head starts from the screen's probe."""
    run = _default_run(plan, Candidate.of(last.config))
    if has_random_weights(run):
        return run
    # The probe took its time in the screen, so it does not count again.
    return run.revised(train={"probe_images": plan.screen_images, "count_probe": False})


def _race_run(plan: StudyPlan, last: RunRecord, seconds: float) -> Run:
    return _continue_run(_base_recipe(plan, last), last, seconds).revised(train={"val_images": plan.screen_val})


def _confirm_run(plan: StudyPlan, last: RunRecord, seconds: float, flips: bool, changes: Mapping[str, Any]) -> Run:
    run = revise(_base_recipe(plan, last), changes, "the search")
    train: dict[str, object] = {"flip_test": flips and AugmentStep.FLIP in run.augment.steps}
    if not has_random_weights(run):
        train["sizes"] = progressive_sizes(find_network(run.model.name), run.model.size)
    return _continue_run(run, last, seconds).revised(train=train)


def _continue_run(run: Run, last: RunRecord, seconds: float) -> Run:
    """A candidate's next run, with this many training seconds.

    It starts from the last run's model; or, if that was a probe, from the probe's head.
    """
    run = run.revised(train={"epochs": None, "seconds": seconds, "evaluations": _count_evaluations(seconds)})
    if last.config.train.mode is Mode.PROBE:
        return run
    return run.revised(
        model={"start": str(RunFolder(run_dir(Path(), last.id)).model)}, train={"probe_images": 0, "count_probe": True}
    )


def _pending(runs: Sequence[Run], done: Mapping[Run, RunRecord]) -> tuple[Run, ...]:
    return tuple(run for run in runs if run not in done)


def _rank(runs: Sequence[Run], done: Mapping[Run, RunRecord]) -> list[RunRecord]:
    """The records of the runs that completed, in the order of the board."""
    scored = [done[run] for run in runs if done[run].state is State.COMPLETE]
    return sorted(scored, key=lambda record: order_of(read_row(record)))


def _count_evaluations(seconds: float) -> int:
    return 1 if seconds < 60 else max(2, min(8, round(seconds / 100)))


def _has_time_for_mirror_images(plan: StudyPlan, last: RunRecord, seconds_left: float, forecast: Forecast) -> bool:
    """Whether scoring the mirror images too takes a small part of the time that is left."""
    seconds = forecast.scoring(Candidate.of(last.config), plan.count_val + plan.count_test)
    return seconds <= MAX_MIRROR_SHARE * seconds_left


def _predict_overhead(plan: StudyPlan, last: RunRecord, forecast: Forecast, flips: bool, *, evaluations: int) -> float:
    """Wall-clock seconds of the confirming run and of what follows it that are not training."""
    candidate, model = Candidate.of(last.config), last.config.model
    scored = count_scored(plan.count_val, evaluations=evaluations, flips=flips)
    sizes = 1 + len(progressive_sizes(find_network(model.name), model.size))
    # Less than expected, because the run shortens itself as it goes, and cannot become longer.
    around = forecast.overhead(candidate, Mode.FIT, sizes=sizes) + forecast.scoring(candidate, scored)
    return LEAST_OVERHEAD_SHARE * around + forecast.finish(candidate, (1 + flips) * plan.count_test)
