"""Where attempts at runs are made, and how many in parallel; the executor for this machine."""

import threading
from pathlib import Path
from typing import Protocol

from bakeoff.launch.process import Ended, Worker
from bakeoff.machine import count_cores, shared_machine_environment
from bakeoff.runs.events import OnProgress
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.record import RunRecord

__all__ = ["Executor", "Local", "StoppedError"]


class StoppedError(Exception):
    """The executor was stopped, so the outcome of the attempt is unknown."""


class Executor(Protocol):
    """Makes attempts at runs. Its methods may be called from several threads."""

    @property
    def slots(self) -> int:
        """Runs that it can make in parallel now; on a cluster this number may change."""

    @property
    def threads(self) -> int | None:
        """CPU threads of each run, if runs are made on this machine; None elsewhere."""

    def for_stage(self, runs: int) -> "Executor":
        """The executor for a stage of this many runs. If they are fewer than the slots, each may get more cores."""

    def attempt(
        self, record: RunRecord, folder: Path, data: Path, *, limit: float | None, on_progress: OnProgress | None
    ) -> Ended:
        """Make one attempt at a run, and wait until it ends.

        Args:
            record: The run's record, which is RUNNING.
            folder: The run's folder. The record is in it, and all files of the attempt are there at its end.
            data: The folder of the shards.
            limit: Wall-clock seconds after which the attempt is ended; None for no limit.
            on_progress: Called with each progress event. A reason that it returns stops the run.

        Raises:
            StoppedError: `stop` was called.
        """

    def stop(self) -> None:
        """End all attempts under way, and begin no more."""


class Local:
    """Fresh processes on this machine. Runs in parallel get equal parts of its cores and its memory."""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots
        self.threads: int | None = max(1, count_cores() // slots)
        self._workers: set[Worker] = set()
        self._lock = threading.Lock()
        self._stopped = False
        # The memory that is free before the first run counts for all runs, so that equal runs are treated equally.
        self._environment = shared_machine_environment(slots) if slots > 1 else {}

    def for_stage(self, runs: int) -> "Local":
        """An executor with at most as many slots as runs."""
        return Local(max(1, min(self.slots, runs)))

    def attempt(
        self, record: RunRecord, folder: Path, data: Path, *, limit: float | None, on_progress: OnProgress | None
    ) -> Ended:
        """See Executor."""
        del record  # the worker reads it from the folder
        with self._lock:
            if self._stopped:
                raise StoppedError
            worker = Worker("run", [folder, data], RunFolder(folder).log, self._environment)
            self._workers.add(worker)
        try:
            ended = worker.follow(limit, on_progress)
        finally:
            with self._lock:
                self._workers.discard(worker)
        if self._stopped:
            raise StoppedError
        return ended

    def stop(self) -> None:
        """End all workers."""
        with self._lock:
            self._stopped = True
            for worker in self._workers:
                worker.kill()
