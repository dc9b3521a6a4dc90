"""The process that is started ahead of its job: what it does, and that it never outlives or fails a run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from bakeoff.launch import Local, Spare, launch
from bakeoff.launch import spare as spare_module
from bakeoff.launch.process import Worker
from bakeoff.profile import add_observation
from bakeoff.runs.config import Candidate, Data, Run
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import Stage, State
from bakeoff.study.begin import StudyRequest, prepare_study
from bakeoff.study.watcher import StudyWatcher
from factories import make_observation
from learned import TINY

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes through /proc")

SMALL = Run().revised(
    model={"name": "cnn-small", "size": 32},
    train={"epochs": None, "images": 320, "batch": 32, "evaluations": 2},
    augment={"policy": "crop"},
)


@pytest.fixture(scope="module", autouse=True)
def _no_spare():
    """Here there is one."""


@pytest.fixture
def started(monkeypatch):
    """The processes that were started ahead."""
    processes = []
    start = spare_module.start_process

    def note(*arguments):
        processes.append(start(*arguments))
        return processes[-1]

    monkeypatch.setattr(spare_module, "start_process", note)
    return processes


@pytest.fixture
def spare(started):
    with_room = Spare()
    yield with_room
    with_room.close()
    assert all(process.returncode is not None for process in started)


def test_a_run_in_it_is_the_run_that_a_fresh_process_makes(spare, started, finished, shards, tmp_path):
    spare.prepare({}, 0)
    record = launch(TINY, stage=Stage.TRAIN, out=tmp_path, data=shards, executor=Local(1, spare, prepares=False))
    assert record.state is State.COMPLETE, record.reason
    assert record.val == finished.record.val
    assert record.memory_modelled_bytes == finished.record.memory_modelled_bytes
    assert (run_dir(tmp_path, record.id) / "log.txt").is_file()
    (process,) = started
    assert process.returncode == 0


@pytest.mark.usefixtures("workers_here")
def test_it_is_started_once_in_a_run_that_has_begun_to_train(shards, tmp_path, monkeypatch):
    calls, seen = [], []
    monkeypatch.setattr(Spare, "prepare", lambda _, environment, reserved: calls.append((environment, reserved)))

    def note(event):
        seen.append((event.doing, len(calls)))

    local = Local(1, Spare())
    record = launch(SMALL, stage=Stage.TRAIN, out=tmp_path, data=shards, on_progress=note, executor=local)
    assert record.state is State.COMPLETE, record.reason
    assert calls == [({}, record.memory_predicted_bytes)]
    assert seen[0] == ("train", 1)


def test_it_is_started_while_the_data_are_prepared_unless_a_network_is_to_be_timed(tmp_path, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path / "nothing-measured"))
    calls, watcher = [], Mock(spec=StudyWatcher)
    monkeypatch.setattr(Spare, "prepare", lambda _, environment, reserved: calls.append((environment, reserved)))
    request = StudyRequest(Data(source="digits"), candidates=(Candidate(name="lenet"),), out=tmp_path / "out")
    prepare_study(request, watcher, spare=Spare())
    assert calls == []
    add_observation(make_observation())
    prepare_study(request, watcher)
    assert calls == []
    prepare_study(request, watcher, spare=Spare())
    assert calls == [({}, 0)]


def test_it_is_for_stages_in_which_another_run_or_job_follows():
    one, two = Local(1, Spare()), Local(2, Spare())
    assert [local._prepares for local in (one.for_stage(1), one.for_stage(1, more=True), one.for_stage(2))] == [
        False,
        True,
        True,
    ]
    assert [two.for_stage(runs)._prepares for runs in (1, 2, 3)] == [False, False, True]
    # Its share of memory would be another one in the next stage.
    assert not two.for_stage(2, more=True)._prepares
    assert not Local()._prepares


def test_where_memory_is_short_none_is_started(spare, started, monkeypatch):
    monkeypatch.setattr(spare_module, "free_memory", lambda: 2_000_000_000)
    spare.prepare({}, 1_000_000_001)
    assert not started
    spare.prepare({}, 1_000_000_000)
    assert len(started) == 1
    spare.prepare({}, 0)
    assert len(started) == 1


def test_a_job_that_needs_another_environment_or_folder_does_not_get_it(spare, started, monkeypatch, tmp_path):
    log = tmp_path / "log.txt"
    spare.prepare({"OMP_NUM_THREADS": "1"}, 0)
    assert spare.give("run", [], log, {"OMP_NUM_THREADS": "2"}) is None
    spare.prepare({}, 0)
    monkeypatch.setenv("BAKEOFF_RUN_MEMORY_BYTES", "1000000000")
    assert spare.give("run", [], log, {}) is None
    spare.prepare({}, 0)
    monkeypatch.chdir(tmp_path)
    assert spare.give("run", [], log, {}) is None
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 3
    assert spare.give("run", [], log, {}) is None


def test_one_that_has_died_is_replaced(spare, started, tmp_path):
    spare.prepare({}, 0)
    os.kill(started[0].pid, signal.SIGKILL)
    started[0].wait()
    assert spare.give("run", [], tmp_path / "log.txt", {}) is None
    spare.prepare({}, 0)
    os.kill(started[1].pid, signal.SIGKILL)
    started[1].wait()
    spare.prepare({}, 0)
    assert started[2].poll() is None


@pytest.mark.parametrize("killed", [False, True])
def test_one_that_dies_before_it_begins_its_job_fails_no_run(spare, started, monkeypatch, tmp_path, killed):
    """Unless the run is to end in any case."""
    spare.prepare({}, 0)
    (waiting,) = started
    waiting.send_signal(signal.SIGSTOP)
    worker = Worker("run", [tmp_path, tmp_path], tmp_path / "log.txt", spare=spare)
    fresh = []

    def start(job, *_):
        fresh.append(job)
        return subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    monkeypatch.setattr("bakeoff.launch.process.start_process", start)
    if killed:
        worker.kill()
    waiting.kill()
    ended = worker.follow()
    assert (fresh, bool(ended.failure)) == (([], True) if killed else (["run"], False))


def test_after_the_end_none_is_started(started):
    spare = Spare()
    spare.close()
    spare.prepare({}, 0)
    assert not started


def test_it_ends_with_the_process_that_started_it():
    code = "import time; from bakeoff.launch import Spare; spare = Spare(); spare.prepare({}, 0);"
    code += "print(spare._process.pid, flush=True); time.sleep(600)"
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    pid = int(driver.stdout.readline())
    driver.kill()
    driver.wait()
    deadline = time.monotonic() + 60
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _is_alive(pid)


def _is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
