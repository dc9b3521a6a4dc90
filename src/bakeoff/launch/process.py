"""A worker process of this machine: started, followed to its end, and why it ended."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bakeoff.runs import OUT_OF_MEMORY
from bakeoff.runtime import tensorflow_environment

__all__ = ["LOG", "Ended", "Event", "OnEvent", "Worker"]

LOG = "log.txt"
KILLED = "killed from outside (signal 9)"

Event = dict[str, Any]
OnEvent = Callable[[Event], str | None]
"""What it returns, if anything, is the reason to stop a run at once; the run is PRUNED then."""


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
        with log.open("ab") as log_file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bakeoff.worker", job, *map(str, arguments)],
                stdin=subprocess.PIPE,  # closed when this process dies, which ends the worker
                stdout=subprocess.PIPE,
                stderr=log_file,
                env=tensorflow_environment(onednn=True) | dict(environment),
                # A Ctrl-C reaches this process alone, which then ends the worker in order.
                start_new_session=True,
            )

    def follow(self, limit: float | None = None, on_event: OnEvent | None = None) -> Ended:
        """Wait for its end, or end it at its limit in seconds; what it tells on the way goes to `on_event`."""
        reader = threading.Thread(target=self._read_events, args=(on_event,), daemon=True)
        reader.start()
        with self._process:  # closes its pipes
            try:
                failure = self._explain(self._process.wait(limit))
            except subprocess.TimeoutExpired:
                failure = f"stopped: it ran longer than its limit of {limit:.0f} s"
            finally:
                self.kill()
                reader.join()
        seconds = time.monotonic() - self._started
        return Ended(failure, "".join(self._errors[-1:]), "".join(self._stops[:1]), failure == KILLED, seconds)

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        self._process.kill()

    def _read_events(self, on_event: OnEvent | None) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.startswith(b"{"):
                continue
            event: Event = json.loads(line)
            if "error" in event:
                self._errors.append(event["error"])
            elif on_event is not None and (reason := on_event(event)):
                self._stops.append(reason)
                self.kill()

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
