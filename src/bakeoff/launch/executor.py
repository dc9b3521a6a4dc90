"""Where attempts at runs are made, and how many side by side."""

import threading
from pathlib import Path
from typing import Protocol

from bakeoff.launch.process import Ended, Worker
from bakeoff.machine import share_machine
from bakeoff.runs.events import OnProgress
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.record import RunRecord

__all__ = ["Executor", "Local", "StoppedError"]


class StoppedError(Exception):
    """An attempt was ended by whoever asked for it, so nothing is known of its run."""


class Executor(Protocol):
    """Makes attempts at runs; its methods may be called from several threads."""

    @property
    def slots(self) -> int:
        """Runs that it can do side by side, as things are now."""

    def among(self, runs: int) -> "Executor":
        """The same for a stage of so many runs: if they are fewer than there are slots, each may get more."""

    def attempt(
        self, record: RunRecord, folder: Path, data: Path, limit: float | None, on_progress: OnProgress | None
    ) -> Ended:
        """One attempt at a run whose record is in its folder, where everything that it leaves will be.

        Raises StoppedError once `stop` was called.
        """

    def stop(self) -> None:
        """End what is under way, for good."""


class Local:
    """Fresh processes on this machine; several side by side divide its cores and its memory evenly."""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots
        self._workers: set[Worker] = set()
        self._lock = threading.Lock()
        self._stopped = False
        # What is free when the first run starts is what all have, so that equal runs are treated equally.
        self._environment = share_machine(slots) if slots > 1 else {}

    def among(self, runs: int) -> "Local":
        """With at most as many slots as runs."""
        return Local(max(1, min(self.slots, runs)))

    def attempt(
        self, record: RunRecord, folder: Path, data: Path, limit: float | None, on_progress: OnProgress | None
    ) -> Ended:
        """See Executor."""
        del record  # it is in the folder
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
