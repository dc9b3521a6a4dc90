"""One side of step.py: a process that does training steps on command. Needs only the standard library."""

import json
import sys
import time
from collections.abc import Callable

__all__ = ["answer"]

Step = Callable[[], object]


def answer(open_step: Callable[[str, int, int, str, str], Step], versions: str) -> None:
    """Answer commands on standard input with lines of JSON until the input ends.

    `open NETWORK SIZE BATCH PRECISION BATCH_NORM` builds a network and does two steps; `time STEPS` times some steps.
    """
    _say(versions=versions)
    step: Step | None = None
    for line in sys.stdin:
        match line.split():
            case ["open", name, size, batch, precision, batch_norm]:
                step = None  # free its memory before the next one is built
                step = open_step(name, int(size), int(batch), precision, batch_norm)
                step()
                step()
                _say()
            case ["time", steps] if step is not None:
                _say(seconds=[_time(step) for _ in range(int(steps))])


def _time(step: Step) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def _say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
