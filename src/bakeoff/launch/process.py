"""A worker process of this machine: started, followed to its end, and why it ended."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bakeoff.machine import tensorflow_environment
from bakeoff.runs.events import OnProgress, RunProgress, WorkerError, parse_event
from bakeoff.runs.record import OUT_OF_MEMORY

__all__ = ["Ended", "Worker"]

KILLED = "killed from outside (signal 9)"


@dataclass(frozen=True)
class Ended:
    """How a worker ended: why it failed, what the user can mend, why it was stopped on request; each empty if that was
    not so."""

    failure: str = ""
    mend: str = ""
    stopped: str = ""
    lost: bool = False
    """Whether it was ended from outside, so that another attempt may go well."""
    seconds: float = 0.0
    """Wall clock that it took."""


class Worker:
    """A process at one job of `bakeoff.worker`, in a session of its own; it ends when this process does."""

    def __init__(
        self,
        job: str,
        arguments: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._log = log
        self._started = time.monotonic()
        self._known_kills = _count_memory_kills()
        self._errors: list[str] = []
        self._stops: list[str] = []
        self._bugs: list[BaseException] = []
        with log.open("ab") as log_file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bakeoff.worker", job, *map(str, arguments)],
                stdin=subprocess.PIPE,  # closed when this process dies, which ends the worker
                stdout=subprocess.PIPE,
                stderr=log_file,
                env=tensorflow_environment(onednn=True) | dict(environment),
                # A Ctrl-C reaches this process alone, which then ends the worker in request.
                start_new_session=True,
            )

    def follow(self, limit: float | None = None, on_progress: OnProgress | None = None) -> Ended:
        """Wait for its end, or end it at its limit in seconds; what it tells on the way goes to `on_progress`."""
        reader = threading.Thread(target=self._read_events, args=(on_progress,), daemon=True)
        reader.start()
        with self._process:  # closes its pipes
            try:
                failure = self._explain(self._process.wait(limit))
            except subprocess.TimeoutExpired:
                failure = f"stopped: it ran longer than its limit of {limit:.0f} s"
            finally:
                self.kill()
                reader.join()
        if self._bugs:
            raise self._bugs[0]
        seconds = time.monotonic() - self._started
        return Ended(failure, "".join(self._errors[-1:]), "".join(self._stops[:1]), failure == KILLED, seconds)

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        self._process.kill()

    def _read_events(self, on_progress: OnProgress | None) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = parse_event(line)
            if isinstance(event, WorkerError):
                self._errors.append(event.error)
            elif event is not None and on_progress is not None and (reason := self._call(on_progress, event)):
                self._stops.append(reason)
                self.kill()

    def _call(self, on_progress: OnProgress, event: RunProgress) -> str | None:
        """Call the callback; its exception ends the worker and comes out of `follow`."""
        try:
            return on_progress(event)
        except BaseException as error:
            self._bugs.append(error)
            self.kill()
            return None

    def _explain(self, code: int) -> str:
        if code == 0:
            return ""
        if code == -signal.SIGKILL:
            kills = _count_memory_kills()
            if kills is None:
                return f"{OUT_OF_MEMORY}, most likely: it was {KILLED}"
            return KILLED if kills == self._known_kills else f"{OUT_OF_MEMORY}: the kernel killed it (signal 9)"
        if code == -signal.SIGABRT and b"bad_alloc" in self._log.read_bytes()[-4000:]:
            return f"{OUT_OF_MEMORY}: an allocation was refused"
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        return f"its process ended with code {code}"


def _count_memory_kills() -> int | None:
    """How many processes this machine's kernel has killed for lack of memory; None where it does not say."""
    try:
        counters = dict(line.split() for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines())
        return int(counters["oom_kill"])
    except (OSError, KeyError):
        return None
