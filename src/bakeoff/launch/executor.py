"""Where attempts at runs are made, and how many in parallel; the executor for this machine."""

import threading
import time
from pathlib import Path
from typing import Protocol

from bakeoff.launch.process import Ended, Worker
from bakeoff.launch.spare import Spare
from bakeoff.machine import count_cores, shared_machine_environment
from bakeoff.runs.events import OnProgress, RunProgress
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.record import RunRecord, read_record

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

    @property
    def spare(self) -> Spare | None:
        """The process that may have been started ahead, for jobs on this machine."""

    def for_stage(self, runs: int, *, more: bool = False) -> "Executor":
        """The executor for a stage of this many runs. If they are fewer than the slots, each may get more cores.

        Args:
            runs: The number of runs.
            more: Whether another stage or job follows.
        """

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

    def close(self) -> None:
        """Give up what is kept for the next attempt."""


class Local:
    """Fresh processes on this machine. Runs in parallel get equal parts of its cores and its memory.

    With a spare, the process of the next run is started while one trains, and waits for it.
    """

    def __init__(self, slots: int = 1, spare: Spare | None = None, *, prepares: bool = True) -> None:
        """Make an executor.

        Args:
            slots: Runs in parallel.
            spare: The process that may have been started ahead; not closed by this executor's runs.
            prepares: Whether a process is to be started ahead of the next run.
        """
        self.slots = slots
        self.threads: int | None = max(1, count_cores() // slots)
        self.spare = spare
        self._prepares = prepares and spare is not None
        self._workers: dict[Worker, Path] = {}
        self._lock = threading.Lock()
        self._stopped = False
        if slots > 1 and spare is not None:
            spare.drop()  # its share of memory was another, and what it takes would be missing in the new one
        # The memory that is free before the first run counts for all runs, so that equal runs are treated equally.
        self._environment = shared_machine_environment(slots) if slots > 1 else {}

    def for_stage(self, runs: int, *, more: bool = False) -> "Local":
        """An executor with at most as many slots as runs.

        A process is started ahead in every run of a stage or in none, also in the last one, which may not need it:
        it takes some seconds of a core, and runs are compared by what they learn in equal time.
        """
        slots = max(1, min(self.slots, runs))
        return Local(slots, self.spare, prepares=runs > slots or (more and slots == 1))

    def attempt(
        self, record: RunRecord, folder: Path, data: Path, *, limit: float | None, on_progress: OnProgress | None
    ) -> Ended:
        """See Executor."""
        del record  # the worker reads it from the folder
        with self._lock:
            if self._stopped:
                raise StoppedError
            arguments = [str(folder), str(data), str(time.monotonic())]
            worker = Worker("run", arguments, RunFolder(folder).log, self._environment, self.spare)
            self._workers[worker] = folder
        try:
            ended = worker.follow(limit, self._preparing(on_progress) if self._prepares else on_progress)
        finally:
            with self._lock:
                del self._workers[worker]
        if self._stopped:
            raise StoppedError
        return ended

    def _preparing(self, on_progress: OnProgress | None) -> OnProgress:
        """The callback of a run; at the run's first progress the process of the next one is started."""
        pending = True

        def report(event: RunProgress) -> str | None:
            nonlocal pending
            if pending:
                with self._lock:
                    folders = list(self._workers.values())
                predicted = [read_record(folder).memory_predicted_bytes for folder in folders]
                # It waits for runs in parallel that do not know yet how much memory they will take.
                if all(predicted) and self.spare is not None:
                    pending = False
                    self.spare.prepare(self._environment, sum(predicted))
            return on_progress(event) if on_progress else None

        return report

    def stop(self) -> None:
        """End all workers."""
        with self._lock:
            self._stopped = True
            for worker in self._workers:
                worker.kill()

    def close(self) -> None:
        """End the process that was started ahead."""
        if self.spare is not None:
            self.spare.close()
