"""When a search has to end: a study has a budget, and what helps it must not use it up."""

import time
from collections.abc import Callable

from bakeoff.data.sources import OnCount

__all__ = ["Deadline", "SearchStoppedError", "is_worth_repeating", "watch"]


class SearchStoppedError(Exception):
    """A search took longer than it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class Deadline:
    """So many seconds from now on."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock, self._end = clock, clock() + seconds

    def check(self) -> None:
        """Raise SearchStoppedError if they are over."""
        if self._clock() > self._end:
            raise SearchStoppedError(self.seconds)


def is_worth_repeating(stopped_after: float, deadline: Deadline | None) -> bool:
    """Whether a search that was stopped after so many seconds has more of them now.

    Without a deadline it has not: who follows in the same study does not make up for it.
    """
    return deadline is not None and deadline.seconds > stopped_after


def watch(doing: str, on_count: OnCount | None, deadline: Deadline | None) -> Callable[[int, int], None]:
    """What a search calls with the images done and in all: it shows the progress, and ends the search in time."""

    def on_block(done: int, total: int) -> None:
        if deadline:
            deadline.check()
        if on_count:
            on_count(doing, done, total)

    return on_block
