"""What runs ask of a cluster: memory that is reserved, and variables that travel, with a Ray that only listens."""

import pickle
import sys
from types import ModuleType, SimpleNamespace

import pytest

from bakeoff.errors import ConfigError
from bakeoff.launch import launch
from bakeoff.launch.cluster import FRAMEWORK_BYTES, connect
from bakeoff.launch.messages import AttemptUpdate
from bakeoff.launch.process import Ended
from bakeoff.runs.record import Stage, State
from learned import TINY

SMALL, LARGE = {"CPU": 2.0, "memory": 6e9}, {"CPU": 4.0, "memory": 8e9}


@pytest.fixture
def ray(monkeypatch):
    """A Ray whose `resources` are those of its nodes; its tasks end before a run has begun."""
    listening = ModuleType("ray")
    resources, requests, reserved = [], [], []

    def begin(_versions, request, _sent):
        requests.append(pickle.loads(request))
        return iter([AttemptUpdate(ended=Ended("it died"))])

    def reserve(**options):
        reserved.append(options["memory"])
        return SimpleNamespace(remote=begin)

    errors = ("OutOfMemoryError", "RayTaskError", "TaskCancelledError", "RayError")
    listening.__dict__.update(
        init=lambda **_: None,
        nodes=lambda: [{"Alive": True, "Resources": each} for each in resources],
        remote=lambda _function: SimpleNamespace(options=reserve),
        get=lambda update: update,
        exceptions=SimpleNamespace(**{name: type(name, (Exception,), {}) for name in errors}),
        resources=resources,
        requests=requests,
        reserved=reserved,
    )
    monkeypatch.setitem(sys.modules, "ray", listening)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # connect() sets it
    return listening


def _fail(cluster, shards, out, seed=0):
    """Begin a run, and find that it has failed."""
    record = launch(TINY.model_copy(update={"seed": seed}), stage=Stage.TRAIN, out=out, data=shards, executor=cluster)
    assert (record.state, record.reason) == (State.FAILED, "it died")


@pytest.mark.parametrize(
    ("nodes", "share"),
    [
        ([SMALL, LARGE], "4000000000"),
        ([LARGE, {"CPU": 8.0, "memory": 8e9}], "4000000000"),
        ([SMALL, {"CPU": 8.0, "memory": 64e9}], "6000000000"),
        ([SMALL, SMALL], None),
        ([LARGE | {"GPU": 2.0}, LARGE | {"GPU": 2.0}], None),
    ],
    ids=["two runs", "the smallest part", "the smallest node", "one run", "GPUs"],
)
def test_runs_that_may_share_a_node_get_equal_parts_of_its_memory(ray, nodes, share, shards, tmp_path):
    ray.resources[:] = nodes
    _fail(connect("auto"), shards, tmp_path)
    (request,) = ray.requests
    assert request.environment.get("BAKEOFF_RUN_MEMORY_BYTES") == share


def test_variables_of_this_machine_travel_and_go_before_a_share(ray, shards, tmp_path, monkeypatch):
    ray.resources[:] = [SMALL, LARGE]
    monkeypatch.setenv("BAKEOFF_RUN_MEMORY_BYTES", "1e9")
    monkeypatch.setenv("BAKEOFF_CHECKPOINT_SECONDS", "0")
    _fail(connect("auto"), shards, tmp_path)
    (request,) = ray.requests
    values = {name: float(value) for name, value in request.environment.items()}
    assert values == {"BAKEOFF_RUN_MEMORY_BYTES": 1e9, "BAKEOFF_CHECKPOINT_SECONDS": 0}


def test_a_variable_that_is_no_number_is_refused_before_a_cluster_is_connected_to(ray, monkeypatch):
    ray.init = lambda **_: pytest.fail("connected")
    monkeypatch.setenv("BAKEOFF_CHECKPOINT_SECONDS", "30s")
    with pytest.raises(ConfigError, match="BAKEOFF_CHECKPOINT_SECONDS is '30s'; give a number of seconds"):
        connect("auto")


def test_a_run_that_died_before_its_memory_was_predicted_changes_no_reservation(ray, shards, tmp_path):
    ray.resources[:] = [LARGE]
    cluster = connect("auto")
    for seed in (0, 1):
        _fail(cluster, shards, tmp_path, seed)
    first, second = ray.reserved
    assert first == second > FRAMEWORK_BYTES
