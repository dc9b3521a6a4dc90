"""A study under way: its ledger, its folder, its data, and who is told how it goes."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bakeoff.board import rank, write_board
from bakeoff.config import Run
from bakeoff.errors import NothingTrainedError
from bakeoff.launch import Event, Executor, Local, launch
from bakeoff.report import write_report
from bakeoff.runs import RunRecord, Stage, State, list_records
from bakeoff.study.crew import Assignment, Crew
from bakeoff.study.ledger import Ledger

__all__ = ["Job", "Watcher"]

# What a screen may take of the budget at the very most, when networks turn out slower than was planned for.
SCREEN_LIMIT = 0.5
# Seconds after which what the runs under way have taken is written down.
SETTLED_EVERY = 10.0
# Seconds after which the executor is asked again for free slots.
LOOK = 1.0


class Watcher(Protocol):
    """Somebody who is told how a study goes."""

    def stage_began(self, stage: str, runs: int | None, seconds_left: float | None) -> None:
        """A stage begins with this many runs; None where that depends on the clock."""

    def run_began(self, run: Run) -> None:
        """A run's process is about to start."""

    def run_moved(self, run: Run, event: Event) -> None:
        """A run reports where it stands, see task.Progress."""

    def run_ended(self, record: RunRecord, changes: Mapping[str, Any]) -> None:
        """The run's record is final; `changes` is in what it differs from a base recipe, if there is one."""


@dataclass(frozen=True)
class Job:
    """What every stage of a study needs."""

    ledger: Ledger
    out: Path
    data: Path
    watcher: Watcher
    executor: Executor = field(default_factory=Local)

    @property
    def records(self) -> list[RunRecord]:
        """All records so far."""
        return list_records(self.out)

    def train_all(self, runs: Sequence[Run], stage: Stage) -> None:
        """All runs of a stage, and the board with them."""
        self.watcher.stage_began(stage, len(runs), self.ledger.seconds_left)
        self.train_each(map(Assignment, runs), stage, self.executor.among(len(runs)))
        write_board(self.out, rank(self.records))

    def train_each(self, assignments: Iterable[Assignment], stage: Stage, executor: Executor) -> None:
        """Runs side by side, charged to their stage; the next assignment is asked for when a slot is free."""
        following, more, settled = iter(assignments), True, time.monotonic()
        with self.ledger.charged(self.out, stage) as settle, Crew(executor) as crew:
            shift = _Shift(self, stage, executor, crew, settle)
            while more or crew.size:
                while more and crew.size < executor.slots:
                    if more := (assignment := next(following, None)) is not None:
                        shift.begin(assignment)
                if crew.size or more:
                    crew.wait(LOOK)
                if time.monotonic() > settled + SETTLED_EVERY:
                    settle()
                    settled = time.monotonic()

    def require_one(self, done: str) -> None:
        """Raise NothingTrainedError if no run has completed."""
        if not any(record.state is State.COMPLETE for record in self.records):
            raise NothingTrainedError(f"no candidate could be {done}; the reasons are in {self.out / 'board.csv'}")

    def report(self) -> None:
        """Write the views anew."""
        with self.ledger.charged(self.out, "report"):
            write_board(self.out, rank(self.records))
            write_report(self.out)

    def limit(self, stage: Stage, run: Run) -> float | None:
        """Wall-clock seconds after which a run is stopped, so that slow networks cannot eat the others' time."""
        budget = self.ledger.budget_seconds
        if budget is None:
            return None
        limit = max(60.0, 0.1 * budget) + 1.5 * (run.train.seconds or 0.0)
        if stage is Stage.SCREEN:
            left = SCREEN_LIMIT * budget - self.ledger.stage(stage).seconds
            limit = min(limit, max(5.0, left))
        return limit


class _Shift:
    """The runs of a stage under way. Whatever is told here is told in the thread that leads the crew."""

    def __init__(self, job: Job, stage: Stage, executor: Executor, crew: Crew, settle: Callable[[], None]) -> None:
        self._job, self._stage, self._executor = job, stage, executor
        self._crew, self._settle = crew, settle
        # A run that is asked for twice at once is done once.
        self._turns: dict[Run, threading.Lock] = defaultdict(threading.Lock)
        self._begun = 0
        self._places: dict[str, int] = {}

    def begin(self, assignment: Assignment) -> None:
        """Start a run in a thread of its own."""
        run = assignment.run
        turn, limit, place = self._turns[run], self._job.limit(self._stage, run), self._begun
        self._begun += 1

        def hear(event: Event) -> str | None:
            self._job.watcher.run_moved(run, event)
            return assignment.judge(event) if assignment.judge else None

        def work() -> RunRecord:
            with turn:
                return launch(
                    run,
                    stage=self._stage,
                    out=self._job.out,
                    data=self._job.data,
                    limit=limit,
                    on_event=lambda event: self._crew.ask(hear, event),
                    executor=self._executor,
                )

        self._job.watcher.run_began(run)
        self._crew.start(work, lambda record: self._end(assignment, record, place))

    def _end(self, assignment: Assignment, record: RunRecord, place: int) -> None:
        """Enter a run in the ledger where it stood in line, whenever it ended, and tell whoever waits for it."""
        self._places.setdefault(record.id, place)
        runs = self._job.ledger.stage(self._stage).runs
        if record.id not in runs:
            runs.append(record.id)
            runs.sort(key=lambda identity: self._places.get(identity, -1))
        self._settle()
        self._job.watcher.run_ended(record, assignment.changes)
        if assignment.then:
            assignment.then(record)
