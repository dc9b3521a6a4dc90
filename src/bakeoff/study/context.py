"""What the stages of a study share: state, folder, data, executor, watcher; and how a stage's runs are trained."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from bakeoff.errors import NothingTrainedError
from bakeoff.launch import Executor, Local, launch
from bakeoff.machine import count_cores
from bakeoff.networks.weights import Downloads
from bakeoff.profile import read_profile
from bakeoff.report import write_report
from bakeoff.report.board import rank, write_board
from bakeoff.runs.config import Candidate, Mode, Run
from bakeoff.runs.events import RunProgress
from bakeoff.runs.record import RunRecord, Stage, State, list_records
from bakeoff.runs.study_file import PlanRevision
from bakeoff.study.forecast import Forecast
from bakeoff.study.run_pool import RunPool, RunRequest
from bakeoff.study.state import StudyState
from bakeoff.study.watcher import Watcher

__all__ = ["StudyContext"]

# The screen ends its runs when it has used this share of the budget: networks may be slower than planned.
MAX_SCREEN_SHARE = 0.5
# The kill limit of a run lets its work take this many times as long as predicted, or as its allowance.
LIMIT_PER_PREDICTED = 1.5
# A run is ended if what is not training takes this many times as long as predicted: it hangs.
SLOWER_THAN_PREDICTED = 3.0
# How often the time that runs under way have used is written to `study.json`.
SAVE_INTERVAL_SECONDS = 10.0
# How often the executor is asked for free slots.
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class StudyContext:
    """What all stages of a study need."""

    study: StudyState
    out: Path
    """The study's folder."""
    data: Path
    """The folder of the shards."""
    watcher: Watcher
    executor: Executor = field(default_factory=Local)
    ends_with_test: bool = False
    """Whether the test split is scored after the last run."""
    downloads: Downloads = field(default_factory=Downloads)
    """Weights that arrive meanwhile."""

    @property
    def records(self) -> list[RunRecord]:
        """The study's records so far. `bakeoff train` may have written runs of other data into its folder."""
        return self.study.own(list_records(self.out))

    @property
    def forecast(self) -> Forecast:
        """What runs take on this machine, by its profile and by this study's records."""
        threads = self.executor.threads
        # Records of runs on this machine are in its profile already.
        if threads is not None:
            return Forecast(read_profile(), threads)
        return Forecast(read_profile(), count_cores()).with_records(self.records)

    def train_all(self, runs: Sequence[Run], stage: Stage, *, of: int) -> None:
        """Train the runs of a stage that are left, then write the board.

        Args:
            runs: What is left to train.
            stage: The stage.
            of: Runs of the whole stage. They share the cores as they all do, also if most of them are done: runs of a
                stage are compared by what they learn in equal time.
        """
        self.watcher.stage_began(stage, len(runs), self.study.seconds_left)
        executor = self.executor.for_stage(of, more=self.ends_with_test)
        self.train_each(map(RunRequest, runs), stage, executor)
        self.write_board()

    def train_each(self, requests: Iterable[RunRequest], stage: Stage, executor: Executor) -> None:
        """Train the requested runs, as many in parallel as the executor has slots; their time counts for the stage.

        The next request is taken when a slot is free. Without a request nothing is charged.
        """
        waiting = iter(requests)
        if (first := next(waiting, None)) is None:
            return
        waiting, has_more, saved_at = chain([first], waiting), True, time.monotonic()
        with self.study.timed(self.out, stage) as save_time, RunPool(executor) as pool:
            stage_runs = _Stage(self, stage, executor, pool, save_time)
            while has_more or pool.size:
                while has_more and pool.size < executor.slots:
                    if has_more := (request := next(waiting, None)) is not None:
                        stage_runs.start(request)
                if pool.size or has_more:
                    pool.handle_next_call(POLL_SECONDS)
                self.downloads.poll()
                if time.monotonic() > saved_at + SAVE_INTERVAL_SECONDS:
                    save_time()
                    saved_at = time.monotonic()

    def conclude(self, done: str) -> None:
        """Write the board and the report. Raises NothingTrainedError if no run has completed."""
        self.report()
        if not any(record.state is State.COMPLETE for record in self.records):
            raise NothingTrainedError(self.say_nothing_is(done))

    def say_nothing_is(self, done: str) -> str:
        """Why a study has no result."""
        reasons = [f"the reasons are in {self.out / 'board.csv'}"] if self.records else []
        reasons += [f"{name}: {why}" for name, why in getattr(self.study.plan, "unavailable", {}).items()]
        return "; ".join([f"no candidate could be {done}", *reasons])

    def report(self) -> None:
        """Write the board and the report, if there are runs. That is charged unless nothing else was left to do."""
        if not self.records:
            return
        with self.study.timed(self.out, "report") if self.study.has_worked else nullcontext():
            self.write_board()
            write_report(self.out)

    def write_board(self) -> None:
        """Write the board, with all runs of the folder."""
        write_board(self.out, rank(list_records(self.out), out=self.out))

    def revise(self, step: str, why: str) -> None:
        """Note a change of the plan in the study's state, and show it; `step` and `why` are those of PlanRevision."""
        self.study.revisions.append(PlanRevision(at_seconds=self.study.spent, step=step, why=why))
        self.study.write(self.out)
        self.watcher.plan_revised(why)

    @property
    def seconds_planned(self) -> float:
        """Training seconds that the plan has for the winner; 0 if it does not say."""
        return getattr(self.study.plan, "confirm_seconds", 0.0)

    def limit(self, stage: Stage, run: Run) -> float | None:
        """Wall-clock seconds after which a run is ended, so that others have time left; None without a budget."""
        budget = self.study.budget_seconds
        if budget is None:
            return None
        forecast, counts, candidate = self.forecast, self.study.data.counts, Candidate.of(run)
        slow, working = SLOWER_THAN_PREDICTED * forecast.overhead(candidate, run.train.mode), 0.0
        if run.train.mode is Mode.PROBE:
            slow += LIMIT_PER_PREDICTED * self._predict_probing(candidate, run)
        else:
            working = forecast.training(run, counts) + forecast.scoring_of(run, counts)
        limit = max(60.0, 0.1 * budget, slow) + LIMIT_PER_PREDICTED * working
        # As long as nothing has completed, any result is better than none.
        if stage is Stage.SCREEN and any(record.state is State.COMPLETE for record in self.records):
            screen_seconds_left = MAX_SCREEN_SHARE * budget - self.study.stage(stage).seconds
            limit = min(limit, max(5.0, screen_seconds_left))
        return max(limit, LIMIT_PER_PREDICTED * (self.allowance(stage, run) or 0.0))

    def _predict_probing(self, candidate: Candidate, run: Run) -> float:
        """Wall-clock seconds of a probe's features and heads."""
        facts, train = self.study.data, run.train
        images = (train.subset or facts.counts.get("train", 0)) + (train.val_images or facts.counts.get("val", 0))
        images *= 1 + train.probe_views
        fits = max(train.folds, 1)
        return self.forecast.scoring(candidate, images) + self.forecast.fitting(candidate, fits, images, facts.classes)

    def allowance(self, stage: Stage, run: Run) -> float | None:
        """Wall-clock seconds in which a run shall end by itself, shortened if need be; None for no such limit.

        Only the confirming run and the refit have one. Runs that are compared are not shortened, because all have the
        same length.
        """
        seconds_left = self.study.seconds_left
        if stage not in (Stage.CONFIRM, Stage.REFIT) or seconds_left is None:
            return None
        candidate = Candidate.of(run)
        images = (1 + run.train.flip_test) * self.study.data.counts.get("test", 0)
        return max(1.0, seconds_left - self.forecast.for_stage(1).finish(candidate, images) - self.study.follows)


class _Stage:
    """The runs of one stage under way. The watcher and the stop rules are called in the main thread."""

    def __init__(
        self, context: StudyContext, stage: Stage, executor: Executor, pool: RunPool, save_time: Callable[[], None]
    ) -> None:
        self._context, self._stage, self._executor = context, stage, executor
        self._pool, self._save_time = pool, save_time
        # Equal runs wait for each other: the second one finds the first one's record.
        self._locks: dict[Run, threading.Lock] = defaultdict(threading.Lock)
        self._started = 0
        self._positions: dict[str, int] = {}
        """By run id: the position among the runs started."""

    def start(self, request: RunRequest) -> None:
        """Start a run in a thread of the pool."""
        run = request.run
        lock, position = self._locks[run], self._started
        limit, allowance = self._context.limit(self._stage, run), self._context.allowance(self._stage, run)
        winner = self._context.study.winner
        refit_of = winner.confirmed if winner and self._stage is Stage.REFIT else ""
        self._started += 1

        def on_progress(event: RunProgress) -> str | None:
            self._context.watcher.run_moved(run, event)
            return request.stop_rule(event) if request.stop_rule else None

        def train() -> RunRecord:
            with lock:
                return launch(
                    run,
                    stage=self._stage,
                    out=self._context.out,
                    data=self._context.data,
                    limit=limit,
                    wall_seconds=allowance,
                    on_progress=lambda event: self._pool.call_in_main_thread(on_progress, event),
                    executor=self._executor,
                    seconds_planned=self._context.seconds_planned,
                    refit_of=refit_of,
                )

        self._context.watcher.run_began(run)
        self._pool.start(train, lambda record: self._end(request, record, position))

    def _end(self, request: RunRequest, record: RunRecord, position: int) -> None:
        """Add a run to the study in the order of starting, and report it."""
        self._positions.setdefault(record.id, position)
        runs = self._context.study.stage(self._stage).runs
        if record.id not in runs:
            runs.append(record.id)
            runs.sort(key=lambda run_id: self._positions.get(run_id, -1))
        self._save_time()
        self._context.watcher.run_ended(record, request.changes)
        if request.then:
            request.then(record)
