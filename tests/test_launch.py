"""Runs in processes of their own: finished, failed, killed, and never done twice.

What does not depend on the process is tried in this one, with `workers_here`.
"""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bakeoff.errors import InputError
from bakeoff.files import cache_dir
from bakeoff.launch import Local, StoppedError, launch, open_test
from bakeoff.launch.process import Ended, Worker
from bakeoff.report.facts import describe_cost
from bakeoff.runs.config import Run
from bakeoff.runs.events import RunProgress
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.history import read_history
from bakeoff.runs.record import Seconds, Stage, State, list_records, write_record
from bakeoff.training.model import open_run
from bakeoff.training.run import explain_failure
from bakeoff.training.test import open_test as open_test_here
from learned import TINY

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes through /proc")

SMALL = Run().revised(
    model={"name": "cnn-small", "size": 32},
    train={"epochs": None, "images": 640, "batch": 32, "evaluations": 2},
    augment={"policy": "crop"},
)


LOST = Ended("killed from outside (signal 9)", lost=True)
OUT_OF_MEMORY = Ended("out of memory: the kernel killed it (signal 9)")


def _launch(run, out, data, **options):
    return launch(run, stage=Stage.TRAIN, out=out, data=data, **options)


def test_a_run_leaves_a_record_a_history_and_a_model_and_is_not_done_twice(finished, shards):
    record, folder = finished.record, run_dir(finished.out, finished.record.id)
    assert record.state is State.COMPLETE, record.reason
    assert record.images_seen == 640
    assert record.val.n == record.data.counts["val"]
    assert record.memory_peak_bytes > 0
    assert record.memory_predicted_bytes > 0
    assert 0 < record.seconds.train < record.seconds.total
    assert record.params_total == record.params_trainable == 122_570
    assert record.test is None
    assert {path.name for path in folder.iterdir()} >= {"config.json", "record.json", "history.csv", "model.keras"}
    assert [row.progress for row in read_history(folder)] == [0.25, 0.5, 0.75, 1.0]
    assert Run.model_validate(json.loads((folder / "config.json").read_text())) == TINY
    assert finished.events[-1].doing == "train"
    assert finished.events[-1].fraction == 1.0

    before = (folder / "record.json").stat().st_mtime_ns
    assert _launch(TINY, finished.out, shards) == record
    assert (folder / "record.json").stat().st_mtime_ns == before


def test_the_test_split_is_opened_in_a_process_of_its_own_and_every_opening_is_counted(finished, shards, tmp_path):
    folder = run_dir(shutil.copytree(finished.out, tmp_path / "study"), finished.record.id)
    tested = open_test(folder, shards).test
    assert tested.openings == 1
    assert tested.n == finished.record.data.counts["test"]
    assert (folder / "confusion.csv").read_text().count("\n") == 11
    assert open_test_here(open_run(folder, shards)).openings == 2
    RunFolder(folder).test_openings.unlink()
    assert open_test_here(open_run(folder, shards)).openings == 3


@pytest.mark.usefixtures("workers_here")
def test_a_loss_that_diverges_is_a_failed_record_with_the_reason(tmp_path, shards):
    wild = SMALL.revised(optim={"name": "sgd", "learning_rate": 10.0, "warmup": 0.0, "weight_decay": 1.0})
    record = _launch(wild.revised(train={"images": 20_000}), tmp_path, shards)
    assert record.state is State.FAILED
    assert "loss became" in record.reason
    assert not (run_dir(tmp_path, record.id) / "model.keras").exists()


def test_a_run_over_its_limit_is_stopped_and_says_so(tmp_path, shards):
    record = _launch(SMALL.revised(train={"images": 10_000_000}), tmp_path, shards, limit=1)
    assert record.state is State.FAILED
    assert "limit of 1 s" in record.reason


def test_a_run_that_is_stopped_on_request_is_pruned_with_the_reason_and_keeps_its_history(tmp_path, shards):
    def judge(event):
        return "seen enough" if event.evaluations else None

    record = _launch(SMALL.revised(train={"images": 64000, "evaluations": 100}), tmp_path, shards, on_progress=judge)
    assert (record.state, record.reason) == (State.PRUNED, "seen enough")
    assert record.memory_predicted_bytes > 0
    assert read_history(run_dir(tmp_path, record.id))
    assert not (run_dir(tmp_path, record.id) / "model.keras").exists()
    assert not list(tmp_path.rglob(".partial-*"))
    assert _launch(record.config, tmp_path, shards) == record


def _kill(tmp_path, times):
    """Kill the worker at its first step, so many times."""
    killed = []

    def kill(event):
        if event.doing == "train":
            pids = [pid for pid in _workers(tmp_path) if pid not in killed]
            for pid in pids if len(killed) < times else ():
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)

    return kill


@pytest.mark.parametrize(
    ("counts", "ending"),
    [
        ((7, 7), LOST),
        ((7, 8), OUT_OF_MEMORY),
        ((None, None), Ended("out of memory, most likely: it was killed from outside (signal 9)")),
    ],
)
def test_a_worker_that_was_killed_tells_by_whom(tmp_path, monkeypatch, counts, ending):
    """From how many processes the kernel had killed before and after, where it tells."""
    monkeypatch.setattr("bakeoff.launch.process._count_memory_kills", iter(counts).__next__)
    worker = Worker("run", [tmp_path, tmp_path], tmp_path / "log.txt")
    worker.kill()
    assert replace(worker.follow(), seconds=0.0) == ending


class Reporting(Local):
    """Attempts that report their progress once, and fail."""

    def attempt(self, _record, _folder, data, *, on_progress, **_):
        os.utime(data, (0, 0))
        on_progress(RunProgress("train", 0.5))
        return OUT_OF_MEMORY


@pytest.mark.parametrize("on_progress", [None, lambda _: None])
def test_progress_of_a_run_keeps_its_shards_in_the_cache(tmp_path, shards, on_progress):
    data = cache_dir() / "data" / f"digits-{'0' * 12}"
    shutil.copytree(shards, data)
    os.utime(data / "manifest.json", (0, 0))
    _launch(TINY, tmp_path, data, executor=Reporting(), on_progress=on_progress)
    assert time.time() - data.stat().st_mtime < 60


class Doomed(Local):
    """Attempts of which the first ones end like this."""

    def __init__(self, *endings):
        super().__init__()
        self.endings = list(endings)
        self.given = []
        """The wall clock that each attempt was given."""

    def attempt(self, record, *arguments, **options):
        self.given.append(record.wall_seconds)
        return self.endings.pop(0) if self.endings else super().attempt(record, *arguments, **options)


@pytest.mark.usefixtures("workers_here")
def test_a_run_that_lacked_memory_is_tried_again_at_half_its_micro_batch(tmp_path, shards):
    record = _launch(SMALL, tmp_path, shards, executor=Doomed(OUT_OF_MEMORY))
    assert record.state is State.COMPLETE, record.reason
    assert (record.config.train.batch, record.micro_batch) == (32, 16)
    assert record.images_seen == 640


@pytest.mark.usefixtures("workers_here")
@pytest.mark.parametrize(
    ("endings", "reason"),
    [
        ((LOST, LOST), "killed from outside (signal 9), twice"),
        ((OUT_OF_MEMORY, OUT_OF_MEMORY), "at micro-batch 16, after 32 was too much"),
    ],
)
def test_a_run_whose_attempts_end_alike_is_failed_with_both_in_its_reason(tmp_path, shards, endings, reason):
    record = _launch(SMALL, tmp_path, shards, executor=Doomed(*endings))
    assert record.state is State.FAILED
    assert "signal 9" in record.reason
    assert reason in record.reason


def test_a_second_attempt_has_the_wall_clock_that_is_left_and_the_record_says_what_the_run_was_given(tmp_path, shards):
    executor = Doomed(replace(LOST, seconds=30.0), replace(LOST, seconds=20.0))
    record = _launch(SMALL, tmp_path, shards, executor=executor, wall_seconds=100.0)
    assert executor.given == [100.0, 70.0]
    assert record.wall_seconds == 100.0


class KilledAtTheEnd(Local):
    """An attempt that ends with its command, after the worker has written the final record."""

    def attempt(self, *arguments, **options):
        super().attempt(*arguments, **options)
        raise StoppedError


@pytest.mark.usefixtures("workers_here")
def test_a_run_whose_command_is_killed_at_its_end_has_its_time_and_leaves_no_checkpoint(tmp_path, shards, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CHECKPOINT_SECONDS", "0")
    run = SMALL.revised(model={"name": "lenet"}, train={"images": 96, "evaluations": 1})
    with pytest.raises(StoppedError):
        _launch(run, tmp_path, shards, executor=KilledAtTheEnd())
    (record,) = list_records(tmp_path)
    checkpoint = RunFolder(run_dir(tmp_path, record.id)).checkpoint
    assert record.state is State.COMPLETE, record.reason
    assert record.seconds.total > record.seconds.start + record.seconds.train + record.seconds.save > 0
    assert not checkpoint.exists()
    # The command may also be killed before it has deleted that of a run that failed.
    checkpoint.write_bytes(b"left")
    assert _launch(run, tmp_path, shards) == record
    assert not checkpoint.exists()


class Interrupted(Local):
    """An attempt that ends with its command, after the worker has written at a checkpoint what it has taken."""

    def attempt(self, record, folder, *_arguments, **_options):
        total = record.seconds.total + 600.0
        write_record(folder, record.model_copy(update={"seconds": Seconds(total=total)}))
        raise StoppedError


def test_a_run_that_is_resumed_has_the_time_of_all_its_attempts(tmp_path, shards):
    for _ in range(2):
        with pytest.raises(StoppedError):
            _launch(SMALL, tmp_path, shards, executor=Interrupted())
    record = _launch(SMALL, tmp_path, shards, executor=Doomed(replace(LOST, seconds=30.0), LOST))
    assert 1200 < record.seconds.total < 1210
    assert dict(describe_cost(record))["Whole process"] == "20.0 min"


@pytest.mark.usefixtures("workers_here")
def test_the_phases_of_a_run_that_is_resumed_never_exceed_its_time(tmp_path, shards, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CHECKPOINT_SECONDS", "0")

    def interrupt(event):
        if event.fraction > 0.7:
            raise StoppedError

    with pytest.raises(StoppedError):
        _launch(SMALL, tmp_path, shards, on_progress=interrupt)
    (kept,) = list_records(tmp_path)
    assert kept.state is State.RUNNING
    seconds = _launch(SMALL, tmp_path, shards).seconds
    assert 0 < kept.seconds.total < seconds.total
    assert seconds.start + seconds.data + seconds.compile + seconds.train + seconds.evaluate < seconds.total


@pytest.mark.slow
def test_a_run_killed_for_memory_is_tried_again_at_half_its_micro_batch(tmp_path, shards, monkeypatch):
    # As if the kernel had killed something in every run.
    monkeypatch.setattr("bakeoff.launch.process._count_memory_kills", itertools.count().__next__)
    record = _launch(SMALL, tmp_path, shards, on_progress=_kill(tmp_path, 1))
    assert record.state is State.COMPLETE, record.reason
    assert (record.config.train.batch, record.micro_batch) == (32, 16)
    assert record.images_seen == 640


@pytest.mark.slow
def test_a_run_killed_from_outside_is_tried_again_as_it_was(tmp_path, shards):
    record = _launch(SMALL, tmp_path, shards, on_progress=_kill(tmp_path, 1))
    assert record.state is State.COMPLETE, record.reason
    assert record.micro_batch == record.config.train.batch == 32


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "reason"),
    [(False, "killed from outside (signal 9), twice"), (True, "at micro-batch 16, after 32 was too much")],
)
def test_a_run_killed_twice_is_a_failed_record_and_leaves_no_torn_file(tmp_path, shards, monkeypatch, kernel, reason):
    if kernel:
        monkeypatch.setattr("bakeoff.launch.process._count_memory_kills", itertools.count().__next__)
    record = _launch(SMALL.revised(train={"images": 10_000_000}), tmp_path, shards, on_progress=_kill(tmp_path, 2))
    assert record.state is State.FAILED
    assert "signal 9" in record.reason
    assert reason in record.reason
    assert record.memory_predicted_bytes > 0
    assert not list(tmp_path.rglob(".partial-*"))


@pytest.mark.usefixtures("workers_here")
def test_a_run_that_is_predicted_not_to_fit_takes_the_micro_batch_that_does(tmp_path, shards, monkeypatch):
    large = SMALL.revised(train={"batch": 512, "images": 1024})
    whole = _launch(large, tmp_path / "whole", shards)
    # Another profile, because what the first run took changes the prediction.
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("BAKEOFF_RUN_MEMORY_BYTES", str(whole.memory_predicted_bytes - 1))
    record = _launch(large, tmp_path / "less", shards)
    assert record.state is State.COMPLETE, record.reason
    assert record.micro_batch < whole.micro_batch == 512
    assert record.memory_predicted_bytes < whole.memory_predicted_bytes
    assert record.images_seen == whole.images_seen


@pytest.mark.usefixtures("workers_here")
def test_a_run_that_fits_at_no_micro_batch_says_what_it_needs(tmp_path, shards, monkeypatch):
    monkeypatch.setenv("BAKEOFF_RUN_MEMORY_BYTES", "1000000")
    record = _launch(SMALL, tmp_path, shards)
    assert record.state is State.FAILED
    assert "not enough memory" in record.reason
    assert "one image at a time" in record.reason


def test_a_size_that_the_network_cannot_take_is_refused_before_anything_starts(tmp_path, shards):
    with pytest.raises(InputError, match="18"):
        _launch(SMALL.revised(model={"size": 8}), tmp_path, shards)
    model = {"name": "nasnet-mobile", "size": 96, "weights": "none"}
    with pytest.raises(InputError, match=r"nasnet-mobile@72: .*64 or 96"):
        _launch(SMALL.revised(model=model, train={"sizes": (72,)}), tmp_path, shards)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("workers_here")
def test_an_unknown_block_is_a_failed_record_that_names_the_blocks(tmp_path, shards):
    record = _launch(SMALL.revised(model={"unfreeze": "block9"}), tmp_path, shards)
    assert record.state is State.FAILED
    assert "no block 'block9'" in record.reason
    assert "conv3" in record.reason


@pytest.mark.usefixtures("workers_here")
def test_testing_what_never_finished_is_the_users_error(tmp_path, shards, monkeypatch):
    monkeypatch.setenv("BAKEOFF_RUN_MEMORY_BYTES", "1000000")
    record = _launch(SMALL, tmp_path, shards)
    with pytest.raises(InputError, match="no trained model"):
        open_test(run_dir(tmp_path, record.id), shards)


def test_a_worker_ends_when_its_launcher_dies(tmp_path, shards):
    code = (
        "import sys; from pathlib import Path; from bakeoff.runs.config import Run; from bakeoff.launch import launch;"
        "from bakeoff.runs.record import Stage; run = Run.model_validate_json(sys.argv[1]);"
        "launch(run, stage=Stage.TRAIN, out=Path(sys.argv[2]), data=Path(sys.argv[3]),"
        " on_progress=lambda event: print(event, flush=True))"
    )
    run = SMALL.revised(train={"images": 10_000_000})
    arguments = [sys.executable, "-c", code, run.model_dump_json(), str(tmp_path), str(shards)]
    driver = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    assert driver.stdout.readline()  # the worker is at work
    driver.kill()
    driver.wait()
    deadline = time.monotonic() + 20
    while (alive := _workers(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not alive


def _workers(tmp_path):
    """Process ids of workers whose command line names this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().split("\0")
        except OSError:  # it has just ended
            continue
        if "bakeoff.worker" in words and any(str(tmp_path) in word for word in words):
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError("no room"), "out of memory: no room"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (InputError("mend it"), "mend it"),
        (FloatingPointError("the loss became nan"), "the loss became nan"),
    ],
)
def test_a_failure_is_said_in_one_line(error, reason):
    assert explain_failure(error) == reason


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("ResourceExhaustedError", "OOM when allocating tensor", "out of memory: OOM when allocating tensor"),
        # As oneDNN failed in a process whose address space was limited.
        (
            "AbortedError",
            "Compute received an exception:Status:1, message: could not create a primitive.",
            "out of memory: ",
        ),
        ("InvalidArgumentError", "shapes differ", "InvalidArgumentError: shapes differ"),
    ],
)
def test_an_error_of_tensorflow_is_its_message_and_not_its_traceback(kind, message, expected):
    import tensorflow as tf

    where = (
        "Graph execution error:\n\nDetected at node x defined at (most recent call last):\n  File worker.py, line 1\n\n"
    )
    error = getattr(tf.errors, kind)(None, None, f"{where}{message}\n\t [[{{{{node x}}}}]] [Op:step]")
    reason = explain_failure(error)
    assert reason.startswith(expected)
    assert message in reason
    assert "most recent call" not in reason
