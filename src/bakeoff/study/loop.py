"""The loop of a study: propose runs, train them, write the results; then the test split, the bundle and the report."""

import time
from functools import partial
from pathlib import Path

from bakeoff.errors import BakeoffError, NothingTrainedError
from bakeoff.launch import Executor, Local, export_bundle, open_test
from bakeoff.networks.weights import Downloads
from bakeoff.profile import Finish, add_finish
from bakeoff.report.board import format_score, order_of, read_row, read_score
from bakeoff.report.bundled import find_bundled
from bakeoff.report.winner import choose_winner, explain_no_refit
from bakeoff.runs.config import Metric, Run
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import RunRecord, Stage, State, list_records, read_record
from bakeoff.runs.shipped import find_shipped
from bakeoff.runs.study_file import Dropped
from bakeoff.study.arrivals import await_weights, end_downloads, find_awaited, follow_downloads
from bakeoff.study.compare import Comparison
from bakeoff.study.context import StudyContext
from bakeoff.study.plan import StudyPlan
from bakeoff.study.proposals import Proposal, propose
from bakeoff.study.revise import revise_plan
from bakeoff.study.settle import propose_last
from bakeoff.study.state import StudyState
from bakeoff.study.tune import search_for
from bakeoff.study.watcher import Watcher

__all__ = ["run_comparison", "run_screen", "run_study"]


def run_study(
    study: StudyState,
    out: Path,
    data: Path,
    watcher: Watcher,
    executor: Executor | None = None,
    *,
    maps: bool = True,
    downloads: Downloads | None = None,
) -> RunRecord:
    """Run or resume a study to its end.

    Args:
        study: The study, whose plan is a StudyPlan.
        out: The study's folder.
        data: The folder of the shards.
        watcher: The callbacks that report progress.
        executor: Where runs are made; this machine by default.
        maps: Whether to draw heat maps for the report.
        downloads: Weights that arrive meanwhile.

    Returns:
        The record of the winner, with its test scores.

    Raises:
        NothingTrainedError: All candidates failed.
        BakeoffError: The test split could not be scored, or the bundle not be written. The report is written all the
            same, and the next call goes on from there.
    """
    context = StudyContext(study, out, data, watcher, executor or Local(), True, downloads or Downloads())
    assert isinstance(study.plan, StudyPlan)
    while (proposal := _next_proposal(context)) is not None:
        _train_proposal(proposal, context)
    winner = _settle(context)
    if winner is None:
        context.report()
        raise NothingTrainedError(context.say_nothing_is("trained"))
    opened, began = winner.test is None, time.monotonic()
    if opened and study.plan.refit and winner.stage is not Stage.REFIT:
        watcher.plan_revised(explain_no_refit(list_records(out)))
    try:
        winner = _ship(context, winner, maps=maps)
    except BakeoffError:
        context.report()
        if read_record(run_dir(out, winner.id)).test:
            watcher.noted(f"the results are in {out / 'report.html'}; the same command writes what is missing")
        raise
    context.report()
    if opened and context.executor.threads is not None:
        model, flips = winner.config.model, 1 + winner.config.train.flip_test
        images = flips * winner.data.counts["test"]
        seconds = time.monotonic() - began
        add_finish(Finish(network=model.name, size=model.size, images=images, seconds=seconds))
    return winner


def _ship(context: StudyContext, winner: RunRecord, *, maps: bool) -> RunRecord:
    """Score the winner on the test split and write its bundle, as far as that was not done before.

    Raises BakeoffError if one of the two cannot be done.
    """
    study, out, data, watcher = context.study, context.out, context.data, context.watcher
    folder = run_dir(out, winner.id)
    if winner.test is None:
        watcher.stage_began("test", 1, study.seconds_left)
        watcher.run_began(winner.config)
        with study.timed(out, "test"):
            report = partial(watcher.run_moved, winner.config)
            winner = open_test(folder, data, report, bundle=out / "bundle", maps=maps, spare=context.executor.spare)
        watcher.run_ended(winner, {})
    if (bundled := find_bundled(out / "bundle")) != winner.id:  # interrupted after the test, or exported over it since
        if bundled:
            watcher.noted(f"{out / 'bundle'} held the model of run {bundled}; now it is that of the winner again")
        with study.timed(out, "report"):
            export_bundle(folder, data, out / "bundle")
    return winner


def run_screen(
    study: StudyState,
    out: Path,
    data: Path,
    watcher: Watcher,
    executor: Executor | None = None,
    *,
    downloads: Downloads | None = None,
) -> list[RunRecord]:
    """Run or resume only the screen of a study, write its report, and return all records.

    Args:
        study: The study, whose plan is a StudyPlan.
        out: The study's folder.
        data: The folder of the shards.
        watcher: The callbacks that report progress.
        executor: Where runs are made; this machine by default.
        downloads: Weights that arrive meanwhile.

    Raises:
        NothingTrainedError: All candidates failed.
    """
    context = StudyContext(study, out, data, watcher, executor or Local(), downloads=downloads or Downloads())
    while (proposal := _next_proposal(context)) is not None and proposal.stage is Stage.SCREEN:
        _train_proposal(proposal, context)
    context.conclude("screened")
    return context.records


def run_comparison(
    study: StudyState, out: Path, data: Path, watcher: Watcher, executor: Executor | None = None
) -> None:
    """Run or resume a comparison to its end.

    Args:
        study: The study, whose plan is a Comparison.
        out: The study's folder.
        data: The folder of the shards.
        watcher: The callbacks that report progress.
        executor: Where runs are made; this machine by default.

    Raises:
        NothingTrainedError: All candidates failed.
    """
    assert isinstance(study.plan, Comparison)
    context = StudyContext(study, out, data, watcher, executor or Local())
    if pending := study.plan.pending(context.records):
        context.train_all(pending, Stage.COMPARE, of=len(study.plan.runs))
    context.conclude("trained")


def _next_proposal(context: StudyContext) -> Proposal | None:
    """The next runs of a study. Confirming runs that were begun are in its state, and come again as they were."""
    study, records = context.study, context.records
    assert isinstance(study.plan, StudyPlan)
    done = {record.config for record in records if record.state is not State.RUNNING}
    for run in study.confirm:
        if run not in done:
            end_downloads(context)
            return _last_proposal(run, study.follows)
    changes = study.found.chosen if study.found else None
    follow_downloads(context)
    _revise(context)
    seconds_left, forecast = study.seconds_left or 0.0, context.forecast
    proposal = propose(study.plan, records, seconds_left, forecast, changes, find_awaited(context))
    if proposal is None or proposal.stage is not Stage.SCREEN:
        end_downloads(context)
    if proposal is None:
        last = propose_last(study.plan, context.out, records, seconds_left, forecast)
        if last is not None:
            _settle(context)
            proposal = _last_proposal(last)
    return proposal


def _last_proposal(run: Run, follows: float = 0.0) -> Proposal:
    return Proposal(stage=Stage.REFIT if run.train.with_val else Stage.CONFIRM, runs=(run,), follows=follows)


def _settle(context: StudyContext) -> RunRecord | None:
    """Choose what the study ends with, as far as it is known, and store it; the run that is shipped by that."""
    study, records = context.study, context.records
    if study.winner is None or not any(record.test for record in records if record.id == study.winner.shipped):
        study.winner = choose_winner(context.out, records)
        study.write(context.out)
    return find_shipped(study, records)


def _revise(context: StudyContext) -> None:
    """Change the plan by what was measured, and store the change before anything follows from it."""
    study = context.study
    assert isinstance(study.plan, StudyPlan)
    done = [revision.step for revision in study.revisions]
    left, slots = study.seconds_left or 0.0, context.executor.slots
    revision = revise_plan(study.plan, context.records, left, context.forecast, done=done, slots=slots)
    if revision is not None:
        study.plan = revision.plan
        context.revise(revision.step, revision.why)


def _train_proposal(proposal: Proposal, context: StudyContext) -> None:
    if not proposal.runs:
        await_weights(context)
        return
    if proposal.stage is Stage.TUNE:
        assert isinstance(context.study.plan, StudyPlan)
        search_for(context, proposal.runs[0], context.study.plan.tune_seconds)
        return
    if proposal.stage in (Stage.CONFIRM, Stage.REFIT):
        _keep(proposal, context)
    context.train_all(proposal.runs, proposal.stage, of=proposal.of)
    if proposal.stage not in (Stage.CONFIRM, Stage.REFIT):
        _note_dropped(context, proposal.stage)


def _keep(proposal: Proposal, context: StudyContext) -> None:
    """Keep confirming runs in the study's state before they begin, because their length depends on the clock."""
    study = context.study
    study.confirm.extend(run for run in proposal.runs if run not in study.confirm)
    study.follows = proposal.follows
    study.write(context.out)


def _note_dropped(context: StudyContext, stage: Stage) -> None:
    """Note in the study's state which candidates of a stage do not continue, and why."""
    study, records = context.study, context.records
    assert isinstance(study.plan, StudyPlan)
    _revise(context)
    following = propose(study.plan, records, study.seconds_left or 0.0, context.forecast, awaited=find_awaited(context))
    if following and following.stage is stage:
        return  # there is more of it to do
    kept = {run.candidate for run in following.runs} if following else set()
    if following is None:
        # The probe that is shipped where there is no time to fine-tune a network goes on, too.
        last = propose_last(study.plan, context.out, records, study.seconds_left or 0.0, context.forecast)
        kept |= {last.candidate} if last else set()
    facts = study.stage(stage)
    known = {dropped.id for dropped in facts.dropped}
    ranked = [record for record in records if record.id in facts.runs and record.id not in known]
    ranked.sort(key=lambda record: order_of(read_row(record)))
    for record in ranked:
        if record.state is State.FAILED:
            facts.dropped.append(Dropped(id=record.id, why=record.reason))
        elif record.candidate not in kept:
            leader = ranked[0]
            why = f"{_describe_scores(record)}, against {_describe_scores(leader)} of {leader.candidate}"
            facts.dropped.append(Dropped(id=record.id, why=why))
    study.write(context.out)


def _describe_scores(record: RunRecord) -> str:
    metric, score = record.metric, read_score(read_row(record))
    text = format_score(score and score.value, metric)
    if metric is not Metric.TOP1:
        text += f" {metric.label}"
    return f"{text} {record.scoring} at {record.images_per_second:.0f} images/s"
