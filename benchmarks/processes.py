"""Run a command as a user does, and measure wall-clock time and the memory of all its processes together."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Collection, Mapping, Sequence

import psutil

__all__ = ["measure"]

_PERIOD = 0.5


def measure(
    command: Sequence[str], environment: Mapping[str, str] | None = None, *, codes: Collection[int] = (0,)
) -> tuple[float, int, int]:
    """Run a command to its end; returns seconds, the peak resident bytes of the command and its descendants, its code.

    Memory is sampled twice a second; what processes share counts in each. The command is killed if this process is
    interrupted. Ends this process if the command ends with another code than these.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment)
    peak = _Peak(process.pid)
    try:
        code = process.wait()
    finally:
        process.kill()
    if code not in codes:
        raise SystemExit(f"`{' '.join(command)}` ended with code {code}")
    return time.perf_counter() - started, peak.bytes, code


class _Peak:
    """Watches a process and its descendants until it ends."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._root = psutil.Process(pid)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):  # the root has ended
            while self._root.is_running() and self._root.status() != psutil.STATUS_ZOMBIE:
                total = 0
                for process in (self._root, *self._root.children(recursive=True)):
                    with contextlib.suppress(psutil.NoSuchProcess):  # it ended after it was listed
                        total += process.memory_info().rss
                self.bytes = max(self.bytes, total)
                time.sleep(_PERIOD)
