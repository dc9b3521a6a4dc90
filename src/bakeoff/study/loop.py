"""The loop of a study: propose, train, write down; then the test split, the report and the bundle."""

from functools import partial
from pathlib import Path

from bakeoff.board import order_of, read_row
from bakeoff.errors import NothingTrainedError
from bakeoff.launch import Executor, Local, export_bundle, open_test
from bakeoff.runs import RunRecord, Stage, State, run_dir
from bakeoff.study.compare import Comparison
from bakeoff.study.job import Job, Watcher
from bakeoff.study.ledger import Dropped, Ledger
from bakeoff.study.plan import Plan, Proposal, propose
from bakeoff.study.tune import search_for

__all__ = ["run_comparison", "run_screen", "run_study"]


def run_study(ledger: Ledger, out: Path, data: Path, watcher: Watcher, executor: Executor | None = None) -> RunRecord:
    """Run or resume a study to its end and return the confirmed record, its test opened.

    Raises NothingTrainedError if every candidate failed.
    """
    job = Job(ledger, out, data, watcher, executor or Local())
    while (proposal := _next(job)) is not None:
        _do(proposal, job)
    confirmed = [record for record in job.records if record.stage is Stage.CONFIRM]
    winner = next((record for record in confirmed if record.state is State.COMPLETE), None)
    if winner is None:
        raise NothingTrainedError(f"no candidate could be trained; the reasons are in {out / 'board.csv'}")
    folder = run_dir(out, winner.id)
    if winner.test is None:
        watcher.stage_began("test", 1, ledger.seconds_left)
        watcher.run_began(winner.config)
        with ledger.charged(out, "test"):
            winner = open_test(folder, data, partial(watcher.run_moved, winner.config), bundle=out / "bundle")
        watcher.run_ended(winner, {})
    if not (out / "bundle" / "bundle.json").is_file():  # interrupted after the test was opened
        with ledger.charged(out, "report"):
            export_bundle(folder, data, out / "bundle")
    job.report()
    return winner


def run_screen(
    ledger: Ledger, out: Path, data: Path, watcher: Watcher, executor: Executor | None = None
) -> list[RunRecord]:
    """Only the screen of a study. Raises NothingTrainedError if every candidate failed."""
    job = Job(ledger, out, data, watcher, executor or Local())
    while (proposal := _next(job)) is not None and proposal.stage is Stage.SCREEN:
        _do(proposal, job)
    job.require_one("screened")
    return job.records


def run_comparison(ledger: Ledger, out: Path, data: Path, watcher: Watcher, executor: Executor | None = None) -> None:
    """Run or resume a comparison to its end. Raises NothingTrainedError if every candidate failed."""
    assert isinstance(ledger.plan, Comparison)
    job = Job(ledger, out, data, watcher, executor or Local())
    if pending := ledger.plan.pending(job.records):
        job.train_all(pending, Stage.COMPARE)
    job.require_one("trained")
    job.report()


def _next(job: Job) -> Proposal | None:
    ledger, records = job.ledger, job.records
    assert isinstance(ledger.plan, Plan)
    begun = {record.config for record in records if record.state is not State.RUNNING}
    for run in ledger.confirm:
        if run not in begun:
            return Proposal(stage=Stage.CONFIRM, runs=(run,))
    changes = ledger.found.chosen if ledger.found else None
    proposal = propose(ledger.plan, records, ledger.seconds_left or 0.0, changes)
    if proposal is not None and proposal.stage is Stage.CONFIRM:
        ledger.confirm.extend(proposal.runs)
        ledger.write(job.out)
    return proposal


def _do(proposal: Proposal, job: Job) -> None:
    if proposal.stage is Stage.TUNE:
        assert isinstance(job.ledger.plan, Plan)
        search_for(job, proposal.runs[0], job.ledger.plan.tune_seconds)
        return
    job.train_all(proposal.runs, proposal.stage)
    if proposal.stage is not Stage.CONFIRM:
        _drop(job, proposal.stage)


def _drop(job: Job, stage: Stage) -> None:
    """Note which of a stage's candidates are not in the next batch, and why."""
    ledger, records = job.ledger, job.records
    assert isinstance(ledger.plan, Plan)
    following = propose(ledger.plan, records, ledger.seconds_left or 0.0)
    kept = {run.candidate for run in following.runs} if following else set()
    facts = ledger.stage(stage)
    known = {dropped.id for dropped in facts.dropped}
    field = [record for record in records if record.id in facts.runs and record.id not in known]
    field.sort(key=lambda record: order_of(read_row(record)))
    for record in field:
        if record.state is State.FAILED:
            facts.dropped.append(Dropped(id=record.id, why=record.reason))
        elif record.candidate not in kept:
            why = f"{_say(record)}, against {_say(field[0])} of {field[0].candidate}"
            facts.dropped.append(Dropped(id=record.id, why=why))
    ledger.write(job.out)


def _say(record: RunRecord) -> str:
    top1 = record.val.top1 if record.val else 0.0
    return f"{top1:.1%} on validation at {record.images_per_second:.0f} images/s"
