"""Runs in parallel, one thread for each; callbacks and writes happen in the main thread.

with RunPool(executor) as pool:
    pool.start(lambda: launch(run, ..., on_progress=lambda event: pool.call_in_main_thread(stop_rule, event)), on_end)
    while pool.size:
        pool.handle_next_call(timeout_seconds=1.0)      # calls `stop_rule` and `on_end`
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from bakeoff.launch import Executor
from bakeoff.runs.config import Run
from bakeoff.runs.events import RunProgress
from bakeoff.runs.record import RunRecord

__all__ = ["RunPool", "RunRequest", "StopRule"]

StopRule = Callable[[RunProgress], str | None]
"""Called with each progress event of a run. A returned string is the reason to stop the run."""

# How often a thread that waits for an answer checks whether the pool was closed.
POLL_SECONDS = 0.2
# How long a closed pool waits for each of its threads.
JOIN_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class RunRequest:
    """A run to do."""

    run: Run
    stop_rule: StopRule | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    """The values by key in which the run differs from a base recipe, to be shown."""
    then: Callable[[RunRecord], None] | None = None
    """Called with the final record."""


class RunPool:
    """Threads for runs, and a queue of calls that they want to be made in the main thread.

    The main thread is the one that uses the pool. If its block is left by an exception, such as Ctrl-C, the executor
    ends the runs under way.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.size = 0
        """Runs under way."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        if self.size:
            self._executor.stop()
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_SECONDS)

    def start(self, work: Callable[[], RunRecord], on_end: Callable[[RunRecord], None]) -> None:
        """Start a run in a new thread.

        Args:
            work: Called in the thread; returns the run's record. Its exception is raised by `handle_next_call`.
            on_end: Called with the record, in the main thread.
        """

        def run_thread() -> None:
            result: Future[RunRecord] = Future()
            try:
                result.set_result(work())
            except BaseException as error:
                result.set_exception(error)
            self._calls.put(lambda: end(result))

        def end(result: Future[RunRecord]) -> None:
            self.size -= 1
            on_end(result.result())

        self.size += 1
        self._threads.append(threading.Thread(target=run_thread, daemon=True))
        self._threads[-1].start()

    def call_in_main_thread(self, function: Callable[[RunProgress], str | None], event: RunProgress) -> str | None:
        """Have `function(event)` called in the main thread, and wait for its result; None if the pool is closed."""
        answer: Future[str | None] = Future()
        self._calls.put(lambda: answer.set_result(function(event)))
        while not self._closed:
            with contextlib.suppress(TimeoutError):
                return answer.result(POLL_SECONDS)
        return None

    def handle_next_call(self, timeout_seconds: float) -> None:
        """Make the next call that a thread wants to be made, if there is one within this time."""
        with contextlib.suppress(queue.Empty):
            self._calls.get(timeout=timeout_seconds)()
