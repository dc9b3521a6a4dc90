"""What `progress=` does: `True` draws bars on standard error, `False` is silent, a function is called with events."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bakeoff.data.sources import OnCount
from bakeoff.errors import ConfigError
from bakeoff.runs.config import Run
from bakeoff.runs.events import RunProgress
from bakeoff.text import counted

if TYPE_CHECKING:
    from bakeoff.data.shards import Dataset
    from bakeoff.runs.record import RunRecord
    from bakeoff.study import AnyPlan
    from bakeoff.study.watcher import StudyWatcher

__all__ = ["ProgressEvent", "ProgressOption", "count_progress", "watch_progress"]

_log = logging.getLogger("bakeoff")


@dataclass(frozen=True)
class ProgressEvent:
    """How far a call is. A function given as `progress=` is called with it, in the thread of the call.

    An exception that the function raises ends the call. A study that ended so can be resumed by the same call.
    """

    doing: str
    """The step under way: `writing train`, `features`, `train`, …; `done` when a run has ended."""
    fraction: float | None
    """How far the step is, in [0, 1]; None where that is unknown."""
    stage: str = ""
    """Stage of the study: `prepare`, `screen`, `race`, `tune`, `compare`, `confirm`, `train`, `test`; else empty."""
    candidate: str = ""
    """The network at its input size, as in `mobilenet-v2@96`; empty where the step is not part of a run."""
    val_top1: float | None = None
    """The latest top-1 of the run on validation, in [0, 1]."""
    seconds_left: float | None = None
    """Estimated seconds until the run ends."""
    record: "RunRecord | None" = None
    """The final record of the run; only in the event with which the run ends."""
    val_score: float | None = None
    """The metric that decides in the study, latest on validation: top-1, unless the study has another."""


ProgressOption = bool | Callable[[ProgressEvent], object]


@contextmanager
def watch_progress(progress: ProgressOption, stage: str = "prepare") -> "Iterator[StudyWatcher]":
    """Yield the watcher of a study, or of a run, that does what `progress` asks for.

    Raises ConfigError if `progress` is neither True, False nor a function.
    """
    if _check(progress) is True:
        from bakeoff.console.live import draw_study

        with draw_study() as console:
            yield console
    else:
        yield _EventWatcher(progress if callable(progress) else None, stage)


@contextmanager
def count_progress(progress: ProgressOption) -> Iterator[OnCount]:
    """Yield a function (doing, done, total) that does what `progress` asks for; a total of 0 means unknown.

    Raises ConfigError if `progress` is neither True, False nor a function.
    """
    if _check(progress) is True:
        from bakeoff.console.bars import draw_bars

        with draw_bars() as move:
            yield move
    else:
        yield _EventWatcher(progress if callable(progress) else None, "").counted


def _check(progress: ProgressOption) -> ProgressOption:
    if not isinstance(progress, bool) and not callable(progress):
        raise ConfigError(f"progress={progress!r}: give True, False or a function that takes a ProgressEvent")
    return progress


class _EventWatcher:
    """A StudyWatcher that logs, and that calls a function with events if there is one."""

    def __init__(self, call: Callable[[ProgressEvent], object] | None, stage: str) -> None:
        self._call, self._stage = call, str(stage)

    def counted(self, doing: str, done: int, total: int) -> None:
        """Pass on how far a step is."""
        self._report(doing, done / total if total else None)

    def noted(self, text: str) -> None:
        """Log a note."""
        _log.info(text)

    def warned(self, text: str) -> None:
        """Log a warning."""
        _log.warning(text)

    def data_read(self, dataset: "Dataset") -> None:
        """Log the size of the data."""
        _log.info("%s: %d classes, %s images", dataset.name, len(dataset.class_names), dataset.counts)

    def study_began(self, dataset: "Dataset", plan: "AnyPlan") -> None:
        """Log the data and the budget."""
        budget = "no time limit" if plan.budget_seconds is None else f"{plan.budget_seconds:g} s"
        _log.info("%s: %d classes, %s images, %s", dataset.name, len(dataset.class_names), dataset.counts, budget)

    def stage_began(self, stage: str, runs: int | None, seconds_left: float | None) -> None:
        """Log the stage."""
        self._stage = str(stage)
        left = "" if seconds_left is None else f", {max(0.0, seconds_left):.0f} s of the budget left"
        _log.info("%s: %s%s", stage, "runs until the time is up" if runs is None else counted(runs, "run"), left)

    def plan_revised(self, why: str) -> None:
        """Log how the plan has changed."""
        _log.info("the plan has changed: %s", why)

    def run_began(self, run: Run) -> None:
        """Pass on that a run starts."""
        self._report("starting", 0.0, run.candidate)

    def run_moved(self, run: Run, event: RunProgress) -> None:
        """Pass on how far a run is."""
        self._report(
            event.doing, event.fraction, run.candidate, event.val_top1, event.seconds_left, None, event.val_score
        )

    def run_ended(self, record: "RunRecord", changes: Mapping[str, Any]) -> None:
        """Log a run's result, and pass it on."""
        _log.info("%s: %s %s %s %s", self._stage, record.candidate, record.state, record.reason, dict(changes) or "")
        top1 = record.val.top1 if record.val else None
        estimate = record.val.read(record.metric) if record.val else None
        self._report("done", 1.0, record.candidate, top1, 0.0, record, estimate and estimate.value)

    def _report(self, doing: str, fraction: float | None, candidate: str = "", *rest: Any) -> None:
        if self._call is not None:
            self._call(ProgressEvent(doing, fraction, self._stage, candidate, *rest))
