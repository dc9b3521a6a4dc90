"""What benchmarks/endurance.py and benchmarks/at_size.py make of requests without an answer, and of an interruption."""

import asyncio
import importlib
import os
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bakeoff.files import write_json


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))


@pytest.mark.parametrize(
    ("error", "damaged", "end"),
    [
        (TimeoutError(), 0.0, "late"),
        (ConnectionResetError(), 0.0, "closed"),
        (ConnectionResetError(), 1.0, "closed (damaged)"),
    ],
)
def test_a_request_without_an_answer_is_counted_by_how_it_ended(monkeypatch, error, damaged, end):
    endurance = importlib.import_module("endurance")
    monkeypatch.setattr(endurance, "DAMAGED", damaged)
    monkeypatch.setattr(endurance, "damage", lambda *_: b"")

    async def ask(_):
        raise error

    load = endurance.Load(0, [(b"", "cat")], free=[SimpleNamespace(ask=ask)])
    assert asyncio.run(load.send(random.Random(0), [])) is not None
    assert load.ends == {end: 1}


def test_a_step_that_goes_on_after_an_interruption_says_that_its_rest_was_measured(monkeypatch, tmp_path):
    at_size, results = importlib.import_module("at_size"), importlib.import_module("results")
    interruptions = iter([KeyboardInterrupt])

    def measure(command, *_, **__):
        step, folder = command[command.index("--child") + 1 :][:2]
        first = step.split(",")[0]
        if first == "race" and (interruption := next(interruptions, None)):
            raise interruption
        if first not in at_size.KILLS:
            return 1.0, 1, 0
        write_json(Path(folder) / at_size.KILLED, {"step": first})
        return 1.0, 1, -9

    monkeypatch.setattr(at_size, "measure", measure)
    monkeypatch.setattr(at_size, "check", lambda *_, **__: None)
    monkeypatch.setattr(at_size, "read_manifest", lambda _: SimpleNamespace(fingerprint=""))
    monkeypatch.setattr(sys, "argv", ["at_size.py", "--out", str(tmp_path), "--try"])
    with pytest.raises(KeyboardInterrupt):
        at_size.main()
    at_size.main()
    notes = {row["step"]: row["note"] for row in results.read(tmp_path / "steps.csv")}
    assert notes.pop("until killed: race") == "its rest, after an interruption"
    assert {*notes.values()} == {""}
    assert len(notes) == len(at_size.KILLS) + 2


def test_what_a_training_has_kept_is_what_it_had_done_before_its_last_checkpoint(tmp_path):
    at_size = importlib.import_module("at_size")
    kept = at_size.Kept(tmp_path)
    checkpoint = tmp_path / "run" / "checkpoint.npz"
    checkpoint.parent.mkdir()

    def read(fraction, candidate="a@96"):
        return kept.read(SimpleNamespace(stage="race", doing="train", candidate=candidate, fraction=fraction))

    assert [read(0.1), read(0.2)] == [0, 0]
    checkpoint.touch()
    assert [read(0.3), read(0.4)] == [0.2, 0.2]
    os.utime(checkpoint, ns=(0, checkpoint.stat().st_mtime_ns + 1))
    assert [read(0.5), read(0.6)] == [0.4, 0.4]
    checkpoint.unlink()
    assert [read(0.1, "b@96"), read(0.2, "b@96")] == [0, 0]
