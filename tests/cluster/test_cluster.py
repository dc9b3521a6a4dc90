"""A study on two Ray nodes: as on one machine, and to its end whatever is lost on the way."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .nodes import ISOLATED

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def _why_not() -> str:
    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed: pip install 'bakeoff[ray]'"
    if not (shutil.which("unshare") and shutil.which("nsenter") and shutil.which("ip")):
        return "namespaces need unshare, nsenter and ip"
    cable = [*ISOLATED, "ip", "link", "add", "near", "type", "veth", "peer", "name", "far"]
    if subprocess.run(cable, capture_output=True, check=False).returncode:
        return "this machine lets nobody make a network namespace with a cable in it"
    return ""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    if reason := _why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("cluster")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT)))}
    command = [*ISOLATED, sys.executable, "-m", "tests.cluster.play", str(folder), "digits", "", "3200"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return json.loads((folder / "seen.json").read_text())


def test_the_same_study_has_the_same_ids_states_and_order(seen):
    assert seen["same"]["same_ids_and_states"]
    assert seen["same"]["same_order"]
    assert set(seen["same"]["cluster"]["states"].values()) == {"COMPLETE"}
    assert seen["same"]["local"]["images_seen"] == seen["same"]["cluster"]["images_seen"]


def test_a_poison_run_fails_and_the_other_completes(seen):
    rows = dict(seen["poison"]["rows"])
    assert seen["poison"]["kills"] == 2
    assert rows.pop(seen["poison"]["victim"]) == ["FAILED", "killed from outside (signal 9), twice"]
    assert [state for state, _ in rows.values()] == ["COMPLETE"]


def test_a_driver_that_was_killed_goes_on_and_does_nothing_twice(seen):
    assert "RUNNING" in seen["driver"]["before"].values()
    assert set(seen["driver"]["after"].values()) == {"COMPLETE"}
    assert seen["driver"]["done_again"] == 0


def test_a_run_goes_on_elsewhere_from_its_checkpoint_when_its_node_is_lost(seen):
    assert seen["lost"]["state"] == "COMPLETE"
    assert seen["lost"]["went_on_at_images"] > 3200
    assert seen["lost"]["images_seen"] == 8 * 3200
    assert set(seen["lost"]["all_states"]) == {"COMPLETE"}


def test_a_node_with_another_bakeoff_is_refused_in_one_line(seen):
    assert seen["refused"]["exit_code"] == 2
    assert "has code " in seen["refused"]["line"]
    assert "install the same on all" in seen["refused"]["line"]


def test_a_node_that_joins_is_used(seen):
    assert set(seen["joined"]["states"]) == {"COMPLETE"}
