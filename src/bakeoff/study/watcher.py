"""The callbacks by which a study reports what happens; all are called in the main thread."""

from collections.abc import Mapping
from typing import Any, Protocol

from bakeoff.data.shards import Dataset
from bakeoff.runs.config import Run
from bakeoff.runs.events import RunProgress
from bakeoff.runs.record import RunRecord
from bakeoff.study.state import AnyPlan

__all__ = ["StudyWatcher", "Watcher"]


class Watcher(Protocol):
    """Callbacks that report how a study proceeds. All are called in the main thread."""

    def stage_began(self, stage: str, runs: int | None, seconds_left: float | None) -> None:
        """A stage begins. The number of its runs is None if it depends on the time."""

    def plan_revised(self, why: str) -> None:
        """The plan was changed by what was measured; `why` is one sentence."""

    def noted(self, text: str) -> None:
        """Something happened that the user should know."""

    def run_began(self, run: Run) -> None:
        """A run is about to start."""

    def run_moved(self, run: Run, event: RunProgress) -> None:
        """A run reports its progress."""

    def run_ended(self, record: RunRecord, changes: Mapping[str, Any]) -> None:
        """A run's record is final. `changes` are the values by key in which it differs from a base recipe."""


class StudyWatcher(Watcher, Protocol):
    """A Watcher that also follows what is done before the first run."""

    def counted(self, doing: str, done: int, total: int) -> None:
        """Data or weights are prepared: `done` of `total` (0: unknown), in units of the step named `doing`."""

    def warned(self, text: str) -> None:
        """The scores will mislead: to be told before everything else."""

    def data_read(self, dataset: Dataset) -> None:
        """The data of a single run are prepared."""

    def study_began(self, dataset: Dataset, plan: AnyPlan) -> None:
        """The data and the plan are known, and the study's folder is open."""
