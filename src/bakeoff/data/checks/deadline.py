"""When a search has to end: a study has a budget, and what helps it must not use it up."""

import time
from collections.abc import Callable

__all__ = ["Deadline", "SearchStoppedError"]


class SearchStoppedError(Exception):
    """A search took longer than it may."""


class Deadline:
    """So many seconds from now on."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock, self._end = clock, clock() + seconds

    def check(self) -> None:
        """Raise SearchStoppedError if they are over."""
        if self._clock() > self._end:
            raise SearchStoppedError
