"""A worker process on this machine: how it is started, followed and ended, and why it ended."""

import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bakeoff.launch.spare import Spare, start_process
from bakeoff.runs.events import JobBegan, OnProgress, RunProgress, WorkerError, parse_event
from bakeoff.runs.record import OUT_OF_MEMORY

__all__ = ["ENDED_BY_SIGNAL", "OVER_LIMIT", "Ended", "Worker"]

# The failure of a process that another process killed, and not the kernel for lack of memory.
KILLED_FROM_OUTSIDE = "killed from outside (signal 9)"
# The beginning of the failure of a process that ended itself, such as by a failed check in native code.
ENDED_BY_SIGNAL = "ended by SIG"
# The beginning of the failure of a process that was ended for its limit of time.
OVER_LIMIT = "stopped: it ran longer than its limit"
# An allocation that was refused is reported at the end of the log.
LOG_END_BYTES = 4000


@dataclass(frozen=True)
class Ended:
    """How an attempt ended. It succeeded if `failure`, `input_error` and `stop_reason` are empty."""

    failure: str = ""
    """Why the process failed."""
    input_error: str = ""
    """What the user can fix: the message of the BakeoffError that ended the process."""
    stop_reason: str = ""
    """Why the progress callback stopped the run."""
    lost: bool = False
    """Whether the process or its node was ended from outside, so that another attempt may succeed."""
    seconds: float = 0.0
    """Wall-clock seconds that the attempt took."""


class Worker:
    """A process that does one job of `bakeoff.worker`. It ends when this process ends."""

    def __init__(
        self,
        job: str,
        arguments: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str] = MappingProxyType({}),
        spare: Spare | None = None,
    ) -> None:
        """Start the process, or give the job to one that was started ahead.

        Args:
            job: The name of the job: `run`, `test`, `again` or `bundle`.
            arguments: The job's arguments, as `bakeoff.worker` lists them.
            log: The file to which its standard error is appended.
            environment: Environment variables in addition to this process's.
            spare: The process that may have been started ahead.
        """
        self._job, self._arguments, self._log, self._environment = job, arguments, log, environment
        self._started = time.monotonic()
        self._memory_kills_before = _count_memory_kills()
        self._errors: list[str] = []
        self._stop_reasons: list[str] = []
        self._callback_errors: list[BaseException] = []
        self._lock = threading.Lock()
        self._killed = False
        given = spare.give(job, arguments, log, environment) if spare else None
        # One that was started ahead may die before it reads its job.
        self._has_begun = given is None
        self._process = given or self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log_file:
            return start_process(self._job, self._arguments, log_file, self._environment)

    def follow(self, limit: float | None = None, on_progress: OnProgress | None = None) -> Ended:
        """Wait until the process ends.

        Args:
            limit: Wall-clock seconds after which the process is ended; None for no limit.
            on_progress: Called with each progress event, in another thread. A reason that it returns ends the process.
                An exception in it ends the process, and is raised here.
        """
        failure = self._follow_process(limit, on_progress)
        if self._replace_lost_spare():
            failure = self._follow_process(limit, on_progress)
        if self._callback_errors:
            raise self._callback_errors[0]
        return Ended(
            failure=failure,
            input_error="".join(self._errors[-1:]),
            stop_reason="".join(self._stop_reasons[:1]),
            lost=failure == KILLED_FROM_OUTSIDE,
            seconds=time.monotonic() - self._started,
        )

    def kill(self) -> None:
        """End the process at once, if it has not ended."""
        with self._lock:
            self._killed = True
            self._process.kill()

    def _follow_process(self, limit: float | None, on_progress: OnProgress | None) -> str:
        """Wait until the process ends, and return why it failed; empty for success."""
        reader = threading.Thread(target=self._read_events, args=(on_progress,), daemon=True)
        reader.start()
        with self._process:  # closes its pipes
            try:
                return self._explain(self._process.wait(limit))
            except subprocess.TimeoutExpired:
                self.kill()
                return f"{OVER_LIMIT} of {limit:.0f} s"
            finally:
                self._process.kill()
                reader.join()

    def _replace_lost_spare(self) -> bool:
        """Start a fresh process if one that was started ahead has died before it began the job."""
        with self._lock:
            if self._has_begun or self._killed:
                return False
            self._has_begun = True
            self._errors.clear()
            self._memory_kills_before = _count_memory_kills()
            self._process = self._start()
            return True

    def _read_events(self, on_progress: OnProgress | None) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = parse_event(line)
            if isinstance(event, JobBegan):
                self._has_begun = True
            elif isinstance(event, WorkerError):
                self._errors.append(event.error)
            elif event is not None and on_progress is not None and (reason := self._call(on_progress, event)):
                self._stop_reasons.append(reason)
                self.kill()

    def _call(self, on_progress: OnProgress, event: RunProgress) -> str | None:
        """Call the callback; keep its exception for `follow`, and end the process then."""
        try:
            return on_progress(event)
        except BaseException as error:
            self._callback_errors.append(error)
            self.kill()
            return None

    def _explain(self, exit_code: int) -> str:
        """Why the process ended with this code; empty for success. Negative codes are signals."""
        if exit_code == 0:
            return ""
        if exit_code == -signal.SIGKILL:
            memory_kills = _count_memory_kills()
            if memory_kills is None:
                return f"{OUT_OF_MEMORY}, most likely: it was {KILLED_FROM_OUTSIDE}"
            if memory_kills == self._memory_kills_before:
                return KILLED_FROM_OUTSIDE
            return f"{OUT_OF_MEMORY}: the kernel killed it (signal 9)"
        log_end = self._log.read_bytes()[-LOG_END_BYTES:]
        if exit_code == -signal.SIGABRT and b"bad_alloc" in log_end:
            return f"{OUT_OF_MEMORY}: an allocation was refused"
        if exit_code < 0:
            return f"{ENDED_BY_SIGNAL}{signal.Signals(-exit_code).name.removeprefix('SIG')}"
        # The exception that ended the process.
        last = log_end.decode("utf-8", "replace").strip().rpartition("\n")[2]
        if refused := re.match(r"[\w.]*MemoryError\b:? ?(.*)", last):
            return f"{OUT_OF_MEMORY}: {refused[1] or 'an allocation was refused'}"
        return last or f"its process ended with code {exit_code}"


def _count_memory_kills() -> int | None:
    """How many processes the kernel of this machine has killed for lack of memory; None where it does not say."""
    try:
        counters = dict(line.split() for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines())
        return int(counters["oom_kill"])
    except (OSError, KeyError):
        return None
