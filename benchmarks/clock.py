"""A simulated clock with nodes, a network cable and a driver, for `scale_out.py`."""

import heapq
import itertools
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["AROUND", "Clock", "StudyContext"]

# Seconds of a run besides its training (start, loading, tracing), as a plan expects them. Seconds for sending a task to
# a node that has had one before; this is an assumption.
AROUND, SCHEDULING = 18.0, 0.5
# Bytes per second of the driver's cable, and the bytes that are sent: all shards once to each node, and with each run
# its logits and history. A checkpoint has four times the size of the weights, and is sent once a minute.
CABLE = 125e6
SHARDS, LOGITS = 156e6, 1.2e6
CHECKPOINT_COPIES, CHECKPOINT_EVERY = 4, 60.0


@dataclass
class StudyContext:
    """A run as the nodes see it, and what the driver does when it has ended."""

    seconds: float
    weights: float
    keeps_model: bool
    then: Callable[[], object] | None = None

    def tell(self) -> None:
        """Report the end of the run to the driver."""
        if self.then:
            self.then()


class Clock:
    """Simulated nodes with one run at a time each. The driver and its cable also do one thing at a time."""

    def __init__(self, nodes: int) -> None:
        self.nodes, self.now = nodes, 0.0
        self.busy = self.cable = self.driver = 0.0
        self.runs = 0
        self._warm = 0

    def do(self, jobs: Iterable[StudyContext]) -> None:
        """Start jobs as nodes become free; the clock stops when the last job ends."""
        following, order = iter(jobs), itertools.count()
        under_way: list[tuple[float, int, StudyContext]] = []
        more = True
        while more or under_way:
            while more and len(under_way) < self.nodes:
                began = time.process_time()
                context = next(following, None)
                asked = time.process_time() - began
                self.now += asked
                self.driver += asked
                if more := context is not None:
                    assert context is not None
                    heapq.heappush(under_way, (self._end(context), next(order), context))
            if under_way:
                end, _, context = heapq.heappop(under_way)
                self.now = max(self.now, end)
                began = time.process_time()
                context.tell()
                told = time.process_time() - began
                self.now += told
                self.driver += told

    def _end(self, context: StudyContext) -> float:
        self.runs += 1
        arrived = self.now + SCHEDULING
        if self._warm < self.nodes:
            self._warm += 1
            arrived = self._carry(SHARDS + context.weights, arrived)
        worked = arrived + AROUND + context.seconds
        self.busy += AROUND + context.seconds
        # Checkpoints are sent while the node continues.
        for minute in range(1, math.ceil(context.seconds / CHECKPOINT_EVERY)):
            self._carry(CHECKPOINT_COPIES * context.weights, arrived + minute * CHECKPOINT_EVERY)
        return self._carry(context.weights * context.keeps_model + LOGITS, worked)

    def _carry(self, size: float, ready: float) -> float:
        """The time when these bytes have been sent: after all bytes that were ready earlier."""
        seconds = size / CABLE
        self.cable += seconds
        return max(ready + seconds, self.cable)
