"""One side of step.py: a process that does training steps on command. Needs only the standard library."""

import json
import sys
import time
from collections.abc import Callable

__all__ = ["answer", "say"]

Step = Callable[[], object]
# (network, size, batch, batch norm, precision, mode) -> a step
OpenStep = Callable[[str, int, int, str, str, str], Step]

# The first steps compile, and fill caches.
UNTIMED_STEPS = 3


def answer(open_step: OpenStep, versions: str) -> None:
    """Answer commands on standard input with lines of JSON until the input ends.

    `open NETWORK SIZE BATCH BATCH_NORM PRECISION MODE` builds a network, does three steps and says the seconds of the
    last, or an error; `time STEPS` says the seconds of each of some steps.
    """
    say(versions=versions)
    step: Step | None = None
    for line in sys.stdin:
        match line.split():
            case ["open", name, size, batch, batch_norm, precision, mode]:
                step = None  # free its memory before the next one is built
                try:
                    step = open_step(name, int(size), int(batch), batch_norm, precision, mode)
                    say(seconds=[_time(step) for _ in range(UNTIMED_STEPS)][-1:])
                except Exception as error:
                    say(error=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
            case ["time", steps] if step is not None:
                say(seconds=[_time(step) for _ in range(int(steps))])


def _time(step: Step) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def say(**facts: object) -> None:
    """Answer with a line of JSON."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
