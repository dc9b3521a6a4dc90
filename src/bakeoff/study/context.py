"""A study under way: its study, its folder, its data, and who is told how it goes."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bakeoff.errors import NothingTrainedError
from bakeoff.launch import Executor, Local, launch
from bakeoff.report import write_report
from bakeoff.report.board import rank, write_board
from bakeoff.runs.config import Run
from bakeoff.runs.events import RunProgress
from bakeoff.runs.record import RunRecord, Stage, State, list_records
from bakeoff.study.run_pool import RunPool, RunRequest
from bakeoff.study.state import StudyState

__all__ = ["StudyContext", "Watcher"]

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

    def run_moved(self, run: Run, event: RunProgress) -> None:
        """A run reports where it stands, see task.Progress."""

    def run_ended(self, record: RunRecord, changes: Mapping[str, Any]) -> None:
        """The run's record is final; `changes` is in what it differs from a base recipe, if there is one."""


@dataclass(frozen=True)
class StudyContext:
    """What every stage of a study needs."""

    study: StudyState
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
        self.watcher.stage_began(stage, len(runs), self.study.seconds_left)
        self.train_each(map(RunRequest, runs), stage, self.executor.among(len(runs)))
        write_board(self.out, rank(self.records))

    def train_each(self, requests: Iterable[RunRequest], stage: Stage, executor: Executor) -> None:
        """Runs side by side, charged to their stage; the next request is asked for when a slot is free."""
        following, more, settled = iter(requests), True, time.monotonic()
        with self.study.charged(self.out, stage) as settle, RunPool(executor) as pool:
            stage_runs = _Stage(self, stage, executor, pool, settle)
            while more or pool.size:
                while more and pool.size < executor.slots:
                    if more := (request := next(following, None)) is not None:
                        stage_runs.begin(request)
                if pool.size or more:
                    pool.wait(LOOK)
                if time.monotonic() > settled + SETTLED_EVERY:
                    settle()
                    settled = time.monotonic()

    def require_one(self, done: str) -> None:
        """Raise NothingTrainedError if no run has completed."""
        if not any(record.state is State.COMPLETE for record in self.records):
            raise NothingTrainedError(f"no candidate could be {done}; the reasons are in {self.out / 'board.csv'}")

    def report(self) -> None:
        """Write the views anew."""
        with self.study.charged(self.out, "report"):
            write_board(self.out, rank(self.records))
            write_report(self.out)

    def limit(self, stage: Stage, run: Run) -> float | None:
        """Wall-clock seconds after which a run is stopped, so that slow networks cannot eat the others' time."""
        budget = self.study.budget_seconds
        if budget is None:
            return None
        limit = max(60.0, 0.1 * budget) + 1.5 * (run.train.seconds or 0.0)
        if stage is Stage.SCREEN:
            left = SCREEN_LIMIT * budget - self.study.stage(stage).seconds
            limit = min(limit, max(5.0, left))
        return limit


class _Stage:
    """The runs of a stage under way. Whatever is told here is told in the thread that leads the pool."""

    def __init__(
        self, context: StudyContext, stage: Stage, executor: Executor, pool: RunPool, settle: Callable[[], None]
    ) -> None:
        self._context, self._stage, self._executor = context, stage, executor
        self._pool, self._settle = pool, settle
        # A run that is asked for twice at once is done once.
        self._turns: dict[Run, threading.Lock] = defaultdict(threading.Lock)
        self._begun = 0
        self._places: dict[str, int] = {}

    def begin(self, request: RunRequest) -> None:
        """Start a run in a thread of its own."""
        run = request.run
        turn, limit, place = self._turns[run], self._context.limit(self._stage, run), self._begun
        self._begun += 1

        def hear(event: RunProgress) -> str | None:
            self._context.watcher.run_moved(run, event)
            return request.stop_rule(event) if request.stop_rule else None

        def work() -> RunRecord:
            with turn:
                return launch(
                    run,
                    stage=self._stage,
                    out=self._context.out,
                    data=self._context.data,
                    limit=limit,
                    on_progress=lambda event: self._pool.ask(hear, event),
                    executor=self._executor,
                )

        self._context.watcher.run_began(run)
        self._pool.start(work, lambda record: self._end(request, record, place))

    def _end(self, request: RunRequest, record: RunRecord, place: int) -> None:
        """Enter a run in the study where it stood in line, whenever it ended, and tell whoever waits for it."""
        self._places.setdefault(record.id, place)
        runs = self._context.study.stage(self._stage).runs
        if record.id not in runs:
            runs.append(record.id)
            runs.sort(key=lambda identity: self._places.get(identity, -1))
        self._settle()
        self._context.watcher.run_ended(record, request.changes)
        if request.then:
            request.then(record)
