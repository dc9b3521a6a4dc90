"""Runs in parallel: how many, in which thread callbacks are called, and in which order runs are written.

Only the last test trains.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bakeoff.errors import DataError
from bakeoff.launch import Local, StoppedError
from bakeoff.machine import count_cores
from bakeoff.profile import Device, Profile
from bakeoff.runs.config import Model, Run, Train
from bakeoff.runs.events import RunProgress
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import Stage, State, list_records, read_record, write_record
from bakeoff.study import Forecast, open_state, run_comparison
from bakeoff.study import context as context_module
from bakeoff.study.context import StudyContext
from bakeoff.study.run_pool import RunRequest
from factories import make_record
from faults.machine import hear_interrupts
from running import run_cli
from test_compare import LENET, LITE, _compare
from test_plan import _plan
from test_study_state import DATA

RUNS = tuple(Run(model=Model(name="lenet", size=32), train=Train(epochs=epochs)) for epochs in (1, 2, 3, 4, 5))


class Watcher:
    """Notes the calls, and the threads that make them."""

    def __init__(self):
        self.calls, self.threads = [], set()

    def stage_began(self, *_):
        self.threads.add(threading.current_thread())

    def run_began(self, run):
        self.calls.append(("began", run))
        self.threads.add(threading.current_thread())

    def run_moved(self, run, _):
        self.calls.append(("moved", run))
        self.threads.add(threading.current_thread())

    def run_ended(self, record, _):
        self.calls.append(("ended", record.config))
        self.threads.add(threading.current_thread())


class Slots:
    """An executor that has slots and makes no attempts."""

    threads = 1

    def __init__(self, slots):
        self.slots, self.stopped, self.stages = slots, threading.Event(), []

    def for_stage(self, runs, **_):
        self.stages.append(runs)
        return self

    def stop(self):
        self.stopped.set()


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Makes a context whose runs call `launch_run(run, on_progress, executor)` in their threads instead of training."""

    def make(slots, launch_run):
        study = open_state(tmp_path, _plan(600), data=DATA, command="")
        executor = Slots(slots)

        def launch(run, *, stage, out, on_progress, **_):
            launch_run(run, on_progress, executor)
            record = make_record("lenet@32", 0.5, config=run, stage=stage, id=f"{run.train.epochs:.0f}" * 12)
            write_record(run_dir(out, record.id), record)
            return record

        monkeypatch.setattr(context_module, "launch", launch)
        return StudyContext(study, tmp_path, tmp_path, Watcher(), executor)

    return make


def test_as_many_runs_as_slots_are_under_way_and_callbacks_are_called_in_one_thread(study):
    under_way, most, lock = set(), [], threading.Lock()

    def work(run, on_progress, _):
        with lock:
            under_way.add(run)
            most.append(len(under_way))
        on_progress(RunProgress("train", 0.5))
        time.sleep(0.05)
        under_way.discard(run)

    context = study(3, work)
    context.train_all(RUNS, Stage.RACE, of=len(RUNS))
    assert max(most) == 3
    assert context.watcher.threads == {threading.current_thread()}
    assert {run for what, run in context.watcher.calls if what == "ended"} == set(RUNS)


def test_the_study_lists_runs_in_the_order_of_starting(study):
    context = study(5, lambda run, *_: time.sleep(0.3 / run.train.epochs))
    context.train_all(RUNS, Stage.RACE, of=len(RUNS))
    ended = [run for what, run in context.watcher.calls if what == "ended"]
    assert ended != list(RUNS)
    assert context.study.stage(Stage.RACE).runs == [f"{epochs}" * 12 for epochs in (1, 2, 3, 4, 5)]
    # Wall clock, not the sum over the runs.
    assert context.study.seconds["race"] < 0.6


def test_with_one_slot_runs_are_made_one_after_the_other(study):
    context = study(1, lambda *_: None)
    context.train_all(RUNS, Stage.RACE, of=len(RUNS))
    assert context.watcher.calls == [(what, run) for run in RUNS for what in ("began", "ended")]


def test_the_next_request_is_taken_when_a_slot_is_free(study):
    context = study(2, lambda run, *_: time.sleep(0.02 * run.train.epochs))
    ended_before, done = [], []

    def requests():
        for run in RUNS:
            ended_before.append(len(done))
            yield RunRequest(run, then=done.append)

    context.train_each(requests(), Stage.RACE, context.executor)
    assert ended_before[:2] == [0, 0]
    assert all(ended >= position - 1 for position, ended in enumerate(ended_before))


def test_the_reason_of_a_stop_rule_reaches_its_run(study):
    reasons = {}

    def work(run, on_progress, _):
        reasons[run] = on_progress(RunProgress("train", 0.5))

    context = study(2, work)
    stop_rules = {run: (lambda _, run=run: f"{run.train.epochs}") for run in RUNS}
    context.train_each([RunRequest(run, stop_rules[run]) for run in RUNS], Stage.RACE, context.executor)
    assert reasons == {run: f"{run.train.epochs}" for run in RUNS}


def test_equal_runs_wait_for_each_other(study):
    inside = []

    def work(run, *_):
        inside.append(run)
        assert len(inside) == 1
        time.sleep(0.05)
        inside.clear()

    study(4, work).train_all((RUNS[0],) * 3, Stage.RACE, of=3)


def test_slots_that_are_added_later_are_used(study):
    most = []
    started = threading.Barrier(3)

    def work(run, _, executor):
        if not most:
            most.append(run)
            executor.slots = 3
        started.wait(10)

    study(1, work).train_all(RUNS[:3], Stage.RACE, of=3)


@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError("a shard is damaged")])
def test_an_error_or_ctrl_c_ends_all_runs_and_keeps_their_time(study, error):
    ended = []

    def work(run, on_progress, executor):
        if run is RUNS[0]:
            time.sleep(0.1)
            raise error
        assert executor.stopped.wait(10)
        ended.append(on_progress(RunProgress("train", 1.0)))
        raise StoppedError

    context = study(3, work)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        context.train_all(RUNS, Stage.RACE, of=len(RUNS))
    assert ended == [None, None]
    assert not any(what == "ended" for what, _ in context.watcher.calls)
    assert json.loads((context.out / "study.json").read_text())["seconds"]["race"] > 0


def test_runs_in_parallel_divide_the_machine():
    cores = count_cores()
    many = Local(cores * 2)
    assert many._environment["TF_NUM_INTEROP_THREADS"] == many._environment["OMP_NUM_THREADS"] == "1"
    assert int(many._environment["BAKEOFF_RUN_MEMORY_BYTES"]) > 2**20
    assert many.for_stage(1)._environment == {}
    assert many.for_stage(1).slots == 1
    assert many.for_stage(100).slots == cores * 2


def test_runs_that_are_left_share_the_machine_as_all_runs_of_their_stage_do(study):
    context = study(8, lambda *_: None)
    context.train_all(RUNS[:1], Stage.RACE, of=5)
    assert context.executor.stages == [5]


def test_a_comparison_that_is_continued_divides_the_machine_as_before(tmp_path, monkeypatch):
    plan, executor = _compare(LITE, LENET, images=5000), Slots(8)

    def launch(run, *, stage, out, **_):
        record = make_record(run.candidate, 0.5, config=run, stage=stage)
        write_record(run_dir(out, record.id), record)
        return record

    monkeypatch.setattr(context_module, "launch", launch)
    study = open_state(tmp_path, plan, data=DATA, command="")
    launch(plan.runs[0], stage=Stage.COMPARE, out=tmp_path)
    run_comparison(study, tmp_path, tmp_path, Watcher(), executor)
    assert executor.stages == [2]
    assert len(list_records(tmp_path)) == 2


@pytest.mark.parametrize("slots", [1, 3, 8, 16])
@pytest.mark.parametrize("runs", [1, 2, 5, 20])
def test_a_stage_is_planned_with_the_threads_that_its_runs_get(slots, runs, monkeypatch):
    monkeypatch.setattr("bakeoff.launch.executor.count_cores", lambda: 16)
    local = Local(slots)
    forecast = Forecast(Profile(device=Device(cpu="a processor", cores=16)), local.threads)
    assert forecast.for_stage(runs).threads == local.for_stage(runs).threads


def test_a_memory_limit_set_by_the_user_is_kept(monkeypatch):
    monkeypatch.setenv("BAKEOFF_RUN_MEMORY_BYTES", "12345")
    assert Local(2)._environment["BAKEOFF_RUN_MEMORY_BYTES"] == "12345"


def test_more_slots_give_more_seconds_of_a_budget_and_the_same_images():
    one, two = (_compare(LITE, LENET, budget=600, slots=slots).runs[0].train.seconds for slots in (1, 2))
    assert two > 2 * one
    assert _compare(LITE, LENET, images=5000, slots=1) == _compare(LITE, LENET, images=5000, slots=2)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--workers", "10000"], r"bakeoff may use \d+ cores"),
        (["--workers", "2", "--cluster", "auto"], "not both"),
        (["--cluster", "auto"], r"pip install 'bakeoff\[ray\]'"),
    ],
)
def test_what_cannot_be_is_one_line(options, reason, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = run_cli("compare", "digits", *options, "--out", tmp_path / "out")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert re.search(reason, line)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir() or count_cores() < 2, reason="needs two cores, and children in /proc")
def test_two_workers_do_what_one_does_without_ray_and_an_interrupt_leaves_nothing_behind(tmp_path):
    code = (
        "import sys; from bakeoff.cli import main\ntry: main()\nfinally: print('ray' in sys.modules, file=sys.stderr)"
    )
    study = ["compare", "digits", "--candidates", "lenet,cnn-small", "--images", "1280"]

    def start(out, *options):
        command = [sys.executable, "-c", code, *study, "--out", str(tmp_path / out), *options]
        return subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL, preexec_fn=hear_interrupts
        )

    process = start("two", "--workers", "2")
    while len(list((tmp_path / "two").glob("runs/*/history.csv"))) < 1 and process.poll() is None:
        time.sleep(0.1)
    children = Path(f"/proc/{process.pid}/task")
    workers = [int(child) for task in children.iterdir() for child in (task / "children").read_text().split()]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            time.sleep(1)
            assert "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]
    states = {json.loads(path.read_text())["state"] for path in tmp_path.glob("two/runs/*/record.json")}
    assert states <= {"RUNNING", "COMPLETE"}
    found = {}
    for out, options in (("two", ["--workers", "2"]), ("one", [])):
        process = start(out, *options)
        _, said = process.communicate()
        assert process.returncode == 0, said
        assert said.splitlines()[-1] == "False"
        records = [json.loads(path.read_text()) for path in (tmp_path / out).glob("runs/*/record.json")]
        found[out] = {record["id"]: (record["state"], record["images_seen"]) for record in records}
        runs = json.loads((tmp_path / out / "study.json").read_text())["stages"][0]["runs"]
        names = [read_record(run_dir(tmp_path / out, identity)).config.model.name for identity in runs]
        assert names == ["lenet", "cnn-small"]
    assert found["one"] == found["two"]
    assert {state for state, _ in found["one"].values()} == {State.COMPLETE}
