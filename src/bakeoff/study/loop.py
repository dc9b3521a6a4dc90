"""The loop of a study: propose, launch, write down; then the test split, the report and the bundle."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from bakeoff.board import order_of, rank, read_row, write_board
from bakeoff.config import Run
from bakeoff.errors import NothingTrainedError
from bakeoff.launch import Event, export_bundle, launch, open_test
from bakeoff.report import write_report
from bakeoff.runs import RunRecord, Stage, State, list_records, run_dir
from bakeoff.study.compare import Comparison
from bakeoff.study.ledger import Dropped, Ledger
from bakeoff.study.plan import Plan, Proposal, propose

__all__ = ["Watcher", "run_comparison", "run_screen", "run_study"]

# What a screen may take of the budget at the very most, when networks turn out slower than was planned for.
SCREEN_LIMIT = 0.5


class Watcher(Protocol):
    """Somebody who is told how a study goes."""

    def stage_began(self, stage: str, runs: int, seconds_left: float | None) -> None:
        """A stage begins with this many runs."""

    def run_began(self, run: Run) -> None:
        """A run's process is about to start."""

    def run_moved(self, event: Event) -> None:
        """The run reports where it stands, see task.Progress."""

    def run_ended(self, record: RunRecord) -> None:
        """The run's record is final."""


def run_study(ledger: Ledger, out: Path, data: Path, watcher: Watcher) -> RunRecord:
    """Run or resume a study to its end and return the confirmed record, its test opened.

    Raises NothingTrainedError if every candidate failed.
    """
    while (proposal := _next(ledger, out)) is not None:
        _do(proposal, ledger, out, data, watcher)
    confirmed = [record for record in list_records(out) if record.stage is Stage.CONFIRM]
    winner = next((record for record in confirmed if record.state is State.COMPLETE), None)
    if winner is None:
        raise NothingTrainedError(f"no candidate could be trained; the reasons are in {out / 'board.csv'}")
    folder = run_dir(out, winner.id)
    if winner.test is None:
        watcher.stage_began("test", 1, ledger.seconds_left)
        watcher.run_began(winner.config)
        with _charged(ledger, out, "test"):
            winner = open_test(folder, data, watcher.run_moved, bundle=out / "bundle")
        watcher.run_ended(winner)
    with _charged(ledger, out, "report"):
        if not (out / "bundle" / "bundle.json").is_file():  # interrupted after the test was opened
            export_bundle(folder, data, out / "bundle")
        write_board(out, rank(list_records(out)))
        write_report(out)
    return winner


def run_screen(ledger: Ledger, out: Path, data: Path, watcher: Watcher) -> list[RunRecord]:
    """Only the screen of a study. Raises NothingTrainedError if every candidate failed."""
    while (proposal := _next(ledger, out)) is not None and proposal.stage is Stage.SCREEN:
        _do(proposal, ledger, out, data, watcher)
    return _require_one(out, "screened")


def run_comparison(ledger: Ledger, out: Path, data: Path, watcher: Watcher) -> None:
    """Run or resume a comparison to its end. Raises NothingTrainedError if every candidate failed."""
    while (proposal := _next(ledger, out)) is not None:
        _do(proposal, ledger, out, data, watcher)
    _require_one(out, "trained")
    with _charged(ledger, out, "report"):
        write_report(out)


def _require_one(out: Path, done: str) -> list[RunRecord]:
    """The study's records. Raises NothingTrainedError if none of them completed."""
    records = list_records(out)
    if not any(record.state is State.COMPLETE for record in records):
        raise NothingTrainedError(f"no candidate could be {done}; the reasons are in {out / 'board.csv'}")
    return records


def _next(ledger: Ledger, out: Path) -> Proposal | None:
    records = list_records(out)
    if isinstance(ledger.plan, Comparison):
        pending = ledger.plan.pending(records)
        return Proposal(stage=Stage.COMPARE, runs=pending) if pending else None
    begun = {record.config for record in records if record.state is not State.RUNNING}
    for run in ledger.confirm:
        if run not in begun:
            return Proposal(stage=Stage.CONFIRM, runs=(run,))
    proposal = propose(ledger.plan, records, ledger.seconds_left or 0.0)
    if proposal is not None and proposal.stage is Stage.CONFIRM:
        ledger.confirm.extend(proposal.runs)
        ledger.write(out)
    return proposal


def _do(proposal: Proposal, ledger: Ledger, out: Path, data: Path, watcher: Watcher) -> None:
    stage = proposal.stage
    watcher.stage_began(stage, len(proposal.runs), ledger.seconds_left)
    for run in proposal.runs:
        watcher.run_began(run)
        with _charged(ledger, out, stage):
            limit = _limit(ledger, stage, run)
            record = launch(run, stage=stage, out=out, data=data, limit=limit, on_event=watcher.run_moved)
            facts = ledger.stage(stage)
            if record.id not in facts.runs:
                facts.runs.append(record.id)
        watcher.run_ended(record)
    records = list_records(out)
    if stage not in (Stage.CONFIRM, Stage.COMPARE):
        _drop(ledger, stage, records)
        ledger.write(out)
    write_board(out, rank(records))


def _limit(ledger: Ledger, stage: Stage, run: Run) -> float | None:
    """Wall-clock seconds after which a run is stopped, so that slow networks cannot eat the others' time."""
    if ledger.budget_seconds is None:
        return None
    limit = max(60.0, 0.1 * ledger.budget_seconds) + 1.5 * (run.train.seconds or 0.0)
    if stage is Stage.SCREEN:
        left = SCREEN_LIMIT * ledger.budget_seconds - ledger.stage(stage).seconds
        limit = min(limit, max(5.0, left))
    return limit


def _drop(ledger: Ledger, stage: Stage, records: list[RunRecord]) -> None:
    """Note which of a stage's candidates are not in the next batch, and why."""
    assert isinstance(ledger.plan, Plan)
    following = propose(ledger.plan, records, ledger.seconds_left or 0.0)
    kept = {run.candidate for run in following.runs} if following else set()
    facts = ledger.stage(stage)
    known = {dropped.id for dropped in facts.dropped}
    field = [record for record in records if record.id in facts.runs and record.id not in known]
    leader = min(field, key=lambda record: order_of(read_row(record)), default=None)
    for record in field:
        if record.state is State.FAILED:
            facts.dropped.append(Dropped(id=record.id, why=record.reason))
        elif record.candidate not in kept and leader:
            why = f"{_say(record)}, against {_say(leader)} of {leader.candidate}"
            facts.dropped.append(Dropped(id=record.id, why=why))


def _say(record: RunRecord) -> str:
    top1 = record.val.top1 if record.val else 0.0
    return f"{top1:.1%} on validation at {record.images_per_second:.0f} images/s"


@contextmanager
def _charged(ledger: Ledger, out: Path, account: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        seconds = time.monotonic() - started
        ledger.spend(account, seconds)
        if account in set(Stage):
            ledger.stage(Stage(account)).seconds += seconds
        ledger.write(out)
