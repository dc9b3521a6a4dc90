"""Whether other programs took CPU time while something was timed; if so, it is timed again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import psutil

__all__ = ["LIMIT", "Measured", "OthersTime", "measure_undisturbed"]

# The share of the CPU time of all cores that other programs may take. Below it are the clocks' own errors.
LIMIT = 0.05
# A measurement is taken at most this often.
TRIES = 3

Value = TypeVar("Value")


@dataclass(frozen=True)
class Measured(Generic[Value]):
    """The least disturbed of up to three measurements."""

    value: Value
    others: float
    """Share of the CPU time of all cores that other programs took meanwhile, in [0, 1]."""
    retaken: int
    """How often it was taken again."""

    @property
    def is_disturbed(self) -> bool:
        """Whether other programs took more than the limit every time."""
        return self.others > LIMIT


class OthersTime:
    """The CPU time of all programs but this process and those that it has started, from now on."""

    def __init__(self) -> None:
        self._before = _read()

    def share(self) -> float:
        """Their share of the CPU time that all cores have had, in [0, 1]."""
        (all_before, busy_before, own_before), (all_now, busy_now, own_now) = self._before, _read()
        others = (busy_now - busy_before) - (own_now - own_before)
        return max(0.0, others / max(all_now - all_before, 0.01))


def measure_undisturbed(measure: Callable[[], Value], watch: Callable[[], OthersTime] = OthersTime) -> Measured[Value]:
    """Measure something, and again while other programs disturb it, at most three times in all."""
    tries: list[tuple[float, Value]] = []
    while len(tries) < TRIES and (not tries or tries[-1][0] > LIMIT):
        others = watch()
        value = measure()
        tries.append((others.share(), value))
    share, value = min(tries, key=lambda found: found[0])
    return Measured(value, share, len(tries) - 1)


def _read() -> tuple[float, float, float]:
    """Seconds of CPU time: of all cores, of all programs (both as in /proc/stat), and of this process's tree."""
    times = psutil.cpu_times()._asdict()
    # The kernel counts guests in the time of their hosts, too.
    everything = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)
    busy = everything - times["idle"] - times.get("iowait", 0.0)
    own = 0.0
    process = psutil.Process()
    for each in (process, *process.children(recursive=True)):
        try:
            own += sum(each.cpu_times()[:4])  # with those of its children that have ended
        except psutil.NoSuchProcess:
            continue  # it ended after it was listed
    return everything, busy, own
