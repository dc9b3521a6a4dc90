"""`benchmarks/gpu.py`, on a machine without a GPU."""

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from bakeoff.networks.table import TABLE
from bakeoff.runs.config import Precision

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu")


class Side:
    """A process that answers every command; `broken` are words of commands that end it."""

    def __init__(self, gpu, broken=()):
        self.greeting = {"gpus": [{"name": "/physical_device:GPU:0", "device_name": "A"}], "versions": {}}
        self.commands = []
        self._gpu, self._broken = gpu, broken

    def ask(self, command, patience):
        assert patience > 0
        self.commands.append(command)
        if any(word in command for word in self._broken):
            raise self._gpu.GivenUpError("it ended with -6")
        return {"images_per_second": 10.0, "reason": "", "memory_predicted_bytes": 2, "memory_measured_bytes": 1}

    def close(self):
        self.commands.append("close")


def test_every_network_is_tried_in_every_variant_and_first_in_float32(gpu):
    trials = gpu.order_trials()
    assert len({(trial.network, trial.precision, trial.xla) for trial in trials}) == len(trials)
    assert len(trials) == len(TABLE) * len(Precision) * 2
    start = trials[: len(TABLE)]
    assert {trial.network for trial in start} == {spec.name for spec in TABLE}
    assert {(trial.precision, trial.xla) for trial in start} == {("float32", False)}
    assert {trial.network for trial in trials[len(TABLE) : len(TABLE) + 25]} == set(gpu.FIRST)


def test_a_step_that_ends_its_process_is_said_and_the_next_one_is_tried(gpu, monkeypatch):
    side = Side(gpu, broken=("mixed_float16 xla",))
    monkeypatch.setattr(gpu, "Commanded", lambda _: side)
    found = gpu.measure_steps(gpu.order_trials(["lenet"], batch=4), math.inf, [("lenet", 64, 32)])
    assert side.commands[:2] == ["xla lenet 64 32", "step lenet 32 4 float32 plain"]
    assert side.commands[-1] == "close"
    assert [step["reason"] for step in found["steps"] if step["reason"]] == ["it ended with -6"]
    assert len(found["steps"]) == 6
    assert found["not_reached"] == []
    json.dumps(found)


def test_what_the_time_does_not_reach_is_listed(gpu, monkeypatch):
    monkeypatch.setattr(gpu, "Commanded", lambda _: Side(gpu))
    found = gpu.measure_steps(gpu.order_trials(["lenet"]), 0.0, [])
    assert len(found["steps"]) == 1
    assert len(found["not_reached"]) == 5
    assert found["not_reached"][-1] == {
        "network": "lenet",
        "size": 32,
        "batch": 64,
        "precision": "mixed_float16",
        "xla": True,
    }


def test_generated_pictures_have_a_hundred_classes(gpu, tmp_path):
    folder = gpu.generate_pictures(tmp_path / "pictures", 1, side=8)
    assert len(list(folder.iterdir())) == 100
    with Image.open(folder / "class-42" / "0.png") as image:
        assert (image.size, image.mode) == ((8, 8), "RGB")


@pytest.mark.slow
def test_the_script_measures_steps_and_does_a_study(tmp_path):
    out = tmp_path / "gpu.json"
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--quick", "--out", str(out)]
    environment = os.environ | {"BAKEOFF_CACHE_DIR": str(tmp_path / "cache"), "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run(command, check=True, env=environment)
    found = json.loads(out.read_text())
    assert found["gpus"] == []
    assert [(step["precision"], step["xla"]) for step in found["steps"]] == [
        ("float32", False),
        ("mixed_bfloat16", False),
        ("mixed_float16", False),
        ("float32", True),
    ]
    assert all(step["images_per_second"] > 0 for step in found["steps"])
    assert found["study"]["records"][-1]["state"] == "COMPLETE"
    assert found["study"]["study"]["data"]["classes"] == 100
