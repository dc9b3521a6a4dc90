"""Runs side by side, each followed by a thread of its own; whatever is decided or written is so in the one that leads.

with RunPool(executor) as pool:
    pool.start(lambda: launch(run, ..., on_progress=lambda event: pool.ask(stop_rule, event)), done)
    while pool.size:
        pool.wait(1.0)      here `stop_rule` and `done` are called
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

# May stop a run, with a reason.
StopRule = Callable[[RunProgress], str | None]
# Seconds after which a thread looks whether anybody will still answer it, and for which the last ones are waited for.
LOOK, FAREWELL = 0.2, 10.0


@dataclass(frozen=True)
class RunRequest:
    """A run to do, who may stop it, in what it differs from a base recipe, and whom to tell how it ended."""

    run: Run
    stop_rule: StopRule | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    then: Callable[[RunRecord], None] | None = None


class RunPool:
    """Threads that work, and the calls that they want made in the thread that leads them.

    When its block is left by an exception, Ctrl-C included, the executor ends what is under way.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.size = 0
        """Works under way."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        if self.size:
            self._executor.stop()
        for thread in self._threads:
            thread.join(FAREWELL)

    def start(self, work: Callable[[], RunRecord], done: Callable[[RunRecord], None]) -> None:
        """Begin a work in a thread; its result goes to `done`, its exception comes out of `wait`."""

        def follow() -> None:
            result: Future[RunRecord] = Future()
            try:
                result.set_result(work())
            except BaseException as error:
                result.set_exception(error)
            self._calls.put(lambda: end(result))

        def end(result: Future[RunRecord]) -> None:
            self.size -= 1
            done(result.result())

        self.size += 1
        self._threads.append(threading.Thread(target=follow, daemon=True))
        self._threads[-1].start()

    def ask(self, function: Callable[[RunProgress], str | None], event: RunProgress) -> str | None:
        """Have a function called in the leading thread, from another one, and wait for what it says."""
        answer: Future[str | None] = Future()
        self._calls.put(lambda: answer.set_result(function(event)))
        while not self._closed:
            with contextlib.suppress(TimeoutError):
                return answer.result(LOOK)
        return None

    def wait(self, seconds: float) -> None:
        """Do the next thing that a thread wants done, if there is one within so many seconds."""
        with contextlib.suppress(queue.Empty):
            self._calls.get(timeout=seconds)()
