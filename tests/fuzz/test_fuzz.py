"""Each reader of foreign bytes is given damaged ones: it answers, or it raises what becomes one line and exit code 2.

pytest -m slow tests/fuzz        more than 10,000 cases
"""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakeoff.errors import InputError

from .targets import TARGETS

FEW, MANY = 12, 600
# Seconds after which a case counts as hanging.
PATIENCE = 30


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
    def hang(*_):
        raise TimeoutError(f"{target.name}: no answer within {PATIENCE} s to {data[:200]!r}")

    previous = signal.signal(signal.SIGALRM, hang)
    signal.alarm(PATIENCE)
    complaint = "none"
    try:
        target.read(data, folder)
    except InputError as error:
        complaint = str(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    assert complaint.strip()


def _fuzz(target, folder: Path, cases: int):
    seeds = target.seeds(folder)

    @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_damaged(seeds))
    def run(data):
        _try(target, data, folder)

    for seed in seeds:
        _try(target, seed, folder)
    run()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_few_damaged_inputs_end_in_an_answer_or_one_line(target, tmp_path):
    _fuzz(target, tmp_path, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_many_damaged_inputs_end_in_an_answer_or_one_line(target, tmp_path):
    _fuzz(target, tmp_path, MANY)
