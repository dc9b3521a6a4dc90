"""Inputs that are damaged at random, guided by the lines that they reach."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import hypothesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bakeoff
from bakeoff.errors import InputError

from .targets import Target

__all__ = ["fuzz"]

# Seconds after which a case counts as hanging.
PATIENCE = 30
PACKAGE = str(Path(bakeoff.__file__).parent)

Line = tuple[CodeType, int]


@st.composite
def _damaged(draw, seeds):
    """Bytes made from sound ones: cut, changed, doubled, spliced, or altogether different."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["cut", "flip", "write", "insert", "remove", "repeat", "splice"])):
            case "cut":
                del data[place:]
            case "flip" if place < len(data):
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "write":
                new = draw(st.binary(max_size=8) | st.sampled_from([b"\xff" * 4, b"\0" * 4, b"1e999", b"null", b"-1"]))
                data[place : place + len(new)] = new
            case "insert":
                data[place:place] = draw(st.binary(max_size=16) | st.text(max_size=8).map(lambda text: text.encode()))
            case "remove":
                del data[place : place + draw(st.integers(1, 64))]
            case "repeat":
                data[place:place] = data[place : place + draw(st.integers(1, 64))]
            case "splice":
                other = draw(st.sampled_from(seeds))
                data[place:] = other[min(place, len(other)) :]
    return bytes(data)


def _try(target, data, folder):
    hung = []

    def hang(*_):
        hung.append(f"{target.name}: no answer within {PATIENCE} s to {data[:200]!r}")
        raise TimeoutError(hung[0])

    previous = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    complaint = "none"
    try:
        target.read(data, folder)
    except InputError as error:
        complaint = str(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    # A reader may take the TimeoutError for one of its file.
    assert not hung, hung[0]
    assert complaint.strip()


def fuzz(target: Target, folder: Path, cases: int) -> tuple[int, int]:
    """Give a reader sound inputs and damaged ones, of which those that reach more lines are damaged further.

    Args:
        target: The reader.
        folder: An empty folder.
        cases: How many damaged inputs.

    Returns:
        The number of inputs, and of the lines of bakeoff that they reached.
    """
    seeds = target.seeds(folder)
    reached: set[Line] = set()
    done = 0

    def count(data):
        nonlocal done
        done += 1
        with _traced() as lines:
            _try(target, data, folder)
        reached.update(lines)
        return len(lines)

    @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_damaged(seeds))
    def run(data):
        hypothesis.target(count(data), label="lines reached")

    for seed in seeds:
        count(seed)
    run()
    return done, len(reached)


@contextlib.contextmanager
def _traced() -> Iterator[set[Line]]:
    """Yields the set to which the lines of bakeoff are added that run in the block."""
    lines: set[Line] = set()
    before = sys.gettrace()

    def trace_line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            lines.add((frame.f_code, frame.f_lineno))
        return trace_line

    def trace_call(frame: FrameType, _: str, __: Any) -> Any:
        return trace_line if frame.f_code.co_filename.startswith(PACKAGE) else None

    sys.settrace(trace_call)
    try:
        yield lines
    finally:
        sys.settrace(before)
