"""A study under way: its ledger, its folder, its data, and who is told how it goes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bakeoff.board import rank, write_board
from bakeoff.config import Run
from bakeoff.errors import NothingTrainedError
from bakeoff.launch import Event, launch
from bakeoff.report import write_report
from bakeoff.runs import RunRecord, Stage, State, list_records
from bakeoff.study.ledger import Ledger
from bakeoff.study.search import Judge

__all__ = ["Job", "Watcher"]

# What a screen may take of the budget at the very most, when networks turn out slower than was planned for.
SCREEN_LIMIT = 0.5
# Seconds of a run after which what it has taken is written down.
SETTLED_EVERY = 10.0


class Watcher(Protocol):
    """Somebody who is told how a study goes."""

    def stage_began(self, stage: str, runs: int | None, seconds_left: float | None) -> None:
        """A stage begins with this many runs; None where that depends on the clock."""

    def run_began(self, run: Run) -> None:
        """A run's process is about to start."""

    def run_moved(self, event: Event) -> None:
        """The run reports where it stands, see task.Progress."""

    def run_ended(self, record: RunRecord, changes: Mapping[str, Any]) -> None:
        """The run's record is final; `changes` is in what it differs from a base recipe, if there is one."""


@dataclass(frozen=True)
class Job:
    """What every stage of a study needs."""

    ledger: Ledger
    out: Path
    data: Path
    watcher: Watcher

    @property
    def records(self) -> list[RunRecord]:
        """All records so far."""
        return list_records(self.out)

    def train(
        self, run: Run, stage: Stage, *, judge: Judge | None = None, changes: Mapping[str, Any] | None = None
    ) -> RunRecord:
        """One run, charged to its stage; `judge` may stop it."""

        self.watcher.run_began(run)
        with self.ledger.charged(self.out, stage) as settle:
            settled = time.monotonic()

            def moved(event: Event) -> str | None:
                nonlocal settled
                self.watcher.run_moved(event)
                if time.monotonic() > settled + SETTLED_EVERY:
                    settle()
                    settled = time.monotonic()
                return judge(event) if judge else None

            limit = self._limit(stage, run)
            record = launch(run, stage=stage, out=self.out, data=self.data, limit=limit, on_event=moved)
            facts = self.ledger.stage(stage)
            if record.id not in facts.runs:
                facts.runs.append(record.id)
        self.watcher.run_ended(record, changes or {})
        return record

    def train_all(self, runs: tuple[Run, ...], stage: Stage) -> None:
        """Runs one after the other, and the board with them."""
        self.watcher.stage_began(stage, len(runs), self.ledger.seconds_left)
        for run in runs:
            self.train(run, stage)
        write_board(self.out, rank(self.records))

    def require_one(self, done: str) -> None:
        """Raise NothingTrainedError if no run has completed."""
        if not any(record.state is State.COMPLETE for record in self.records):
            raise NothingTrainedError(f"no candidate could be {done}; the reasons are in {self.out / 'board.csv'}")

    def report(self) -> None:
        """Write the views anew."""
        with self.ledger.charged(self.out, "report"):
            write_board(self.out, rank(self.records))
            write_report(self.out)

    def _limit(self, stage: Stage, run: Run) -> float | None:
        """Wall-clock seconds after which a run is stopped, so that slow networks cannot eat the others' time."""
        budget = self.ledger.budget_seconds
        if budget is None:
            return None
        limit = max(60.0, 0.1 * budget) + 1.5 * (run.train.seconds or 0.0)
        if stage is Stage.SCREEN:
            left = SCREEN_LIMIT * budget - self.ledger.stage(stage).seconds
            limit = min(limit, max(5.0, left))
        return limit
