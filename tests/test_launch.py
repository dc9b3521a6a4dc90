"""Runs in processes of their own: finished, failed, killed, and never done twice."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bakeoff.data.shards import prepare_cached
from bakeoff.errors import InputError, WeightsError
from bakeoff.launch import fetch_weights, launch, open_test
from bakeoff.networks.table import find_network
from bakeoff.runs.config import Run
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import Stage, State, read_history
from bakeoff.training.run import explain_failure

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes through /proc")

TINY = Run().revised(
    model={"name": "cnn-small", "size": 32},
    train={"epochs": None, "images": 640, "batch": 32, "evaluations": 2},
    augment={"policy": "crop"},
)


@pytest.fixture
def data():
    return prepare_cached("digits")


def _launch(run, out, data, **options):
    return launch(run, stage=Stage.TRAIN, out=out, data=data, **options)


def test_a_run_leaves_a_record_a_history_and_a_model_and_is_not_done_twice(tmp_path, data):
    events = []
    record = _launch(TINY, tmp_path, data, on_progress=events.append)
    folder = run_dir(tmp_path, record.id)
    assert record.state is State.COMPLETE, record.reason
    assert record.images_seen == 640
    assert record.val.n == record.data.counts["val"]
    assert record.memory_peak_bytes > 0
    assert record.memory_predicted_bytes > 0
    assert 0 < record.seconds.train < record.seconds.total
    assert record.params_total == record.params_trainable == 122_570
    assert record.test is None
    assert {path.name for path in folder.iterdir()} >= {"config.json", "record.json", "history.csv", "model.keras"}
    assert [row.progress for row in read_history(folder)] == [0.5, 1.0]
    assert Run.model_validate(json.loads((folder / "config.json").read_text())) == TINY
    assert events[-1].doing == "train"
    assert events[-1].fraction == 1.0

    before = (folder / "record.json").stat().st_mtime_ns
    assert _launch(TINY, tmp_path, data) == record
    assert (folder / "record.json").stat().st_mtime_ns == before

    for openings in (1, 2):
        tested = open_test(folder, data)
        assert tested.test.openings == openings
        assert tested.test.n == record.data.counts["test"]
    assert (folder / "confusion.csv").read_text().count("\n") == 11


def test_a_loss_that_diverges_is_a_failed_record_with_the_reason(tmp_path, data):
    wild = TINY.revised(optim={"name": "sgd", "learning_rate": 10.0, "warmup": 0.0, "weight_decay": 1.0})
    record = _launch(wild.revised(train={"images": 20_000}), tmp_path, data)
    assert record.state is State.FAILED
    assert "loss became" in record.reason
    assert not (run_dir(tmp_path, record.id) / "model.keras").exists()


def test_a_run_over_its_limit_is_stopped_and_says_so(tmp_path, data):
    record = _launch(TINY.revised(train={"images": 10_000_000}), tmp_path, data, limit=12)
    assert record.state is State.FAILED
    assert "limit of 12 s" in record.reason


def test_a_run_that_is_stopped_on_request_is_pruned_with_the_reason_and_keeps_its_history(tmp_path, data):
    def stop_rule(event):
        return "seen enough" if event.evaluations else None

    record = _launch(TINY.revised(train={"images": 64000, "evaluations": 100}), tmp_path, data, on_progress=stop_rule)
    assert (record.state, record.reason) == (State.PRUNED, "seen enough")
    assert read_history(run_dir(tmp_path, record.id))
    assert not (run_dir(tmp_path, record.id) / "model.keras").exists()
    assert _launch(record.config, tmp_path, data) == record


def _kill_once(tmp_path):
    killed = []

    def kill_once(event):
        if event.doing == "train" and not killed:
            killed.extend(_workers(tmp_path))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    return kill_once


def test_a_run_killed_for_memory_is_tried_again_at_half_its_micro_batch(tmp_path, data, monkeypatch):
    # As if the kernel had killed something in every run.
    monkeypatch.setattr("bakeoff.launch.process._count_memory_kills", itertools.count().__next__)
    record = _launch(TINY, tmp_path, data, on_progress=_kill_once(tmp_path))
    assert record.state is State.COMPLETE, record.reason
    assert (record.config.train.batch, record.micro_batch) == (32, 16)
    assert record.images_seen == 640


def test_a_run_killed_from_outside_is_tried_again_as_it_was(tmp_path, data):
    record = _launch(TINY, tmp_path, data, on_progress=_kill_once(tmp_path))
    assert record.state is State.COMPLETE, record.reason
    assert record.micro_batch == record.config.train.batch == 32


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [(False, "killed from outside (signal 9), twice"), (True, "at micro-batch 16, after 32 was too much")],
)
def test_a_run_killed_twice_is_a_failed_record_and_leaves_no_torn_file(tmp_path, data, monkeypatch, kernel, reason):
    if kernel:
        monkeypatch.setattr("bakeoff.launch.process._count_memory_kills", itertools.count().__next__)

    def kill(event):
        if event.doing == "train":
            for pid in _workers(tmp_path):
                os.kill(pid, signal.SIGKILL)

    record = _launch(TINY.revised(train={"images": 10_000_000}), tmp_path, data, on_progress=kill)
    assert record.state is State.FAILED
    assert "signal 9" in record.reason
    assert reason in record.reason
    assert record.memory_predicted_bytes > 0
    assert not list(tmp_path.rglob(".partial-*"))


def test_a_run_that_is_predicted_not_to_fit_takes_the_micro_batch_that_does(tmp_path, data, monkeypatch):
    large = TINY.revised(train={"batch": 512, "images": 1024})
    whole = _launch(large, tmp_path / "whole", data)
    monkeypatch.setenv("BAKEOFF_RUN_MEMORY_BYTES", str(whole.memory_predicted_bytes - 1))
    record = _launch(large, tmp_path / "less", data)
    assert record.state is State.COMPLETE, record.reason
    assert record.micro_batch < whole.micro_batch == 512
    assert record.memory_predicted_bytes < whole.memory_predicted_bytes
    assert record.images_seen == whole.images_seen


def test_a_run_that_fits_at_no_micro_batch_says_what_it_needs(tmp_path, data, monkeypatch):
    monkeypatch.setenv("BAKEOFF_RUN_MEMORY_BYTES", "1000000")
    record = _launch(TINY, tmp_path, data)
    assert record.state is State.FAILED
    assert "not enough memory" in record.reason
    assert "one image at a time" in record.reason


def test_a_size_that_the_network_cannot_take_is_refused_before_anything_starts(tmp_path, data):
    with pytest.raises(InputError, match="18"):
        _launch(TINY.revised(model={"size": 8}), tmp_path, data)
    assert not list(tmp_path.iterdir())


def test_an_unknown_block_is_a_failed_record_that_names_the_blocks(tmp_path, data):
    record = _launch(TINY.revised(model={"unfreeze": "block9"}), tmp_path, data)
    assert record.state is State.FAILED
    assert "no block 'block9'" in record.reason
    assert "conv3" in record.reason


def test_weights_that_cannot_be_downloaded_are_one_line_in_seconds_and_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    with pytest.raises(WeightsError, match=r"cannot download the weights of vgg-16 \(.*refused\); bring them"):
        fetch_weights(find_network("vgg-16"))
    assert not list((tmp_path / "models").iterdir())


def test_testing_what_never_finished_is_the_users_error(tmp_path, data, monkeypatch):
    monkeypatch.setenv("BAKEOFF_RUN_MEMORY_BYTES", "1000000")
    record = _launch(TINY, tmp_path, data)
    with pytest.raises(InputError, match="no trained model"):
        open_test(run_dir(tmp_path, record.id), data)


def test_a_worker_ends_when_its_launcher_dies(tmp_path, data):
    code = (
        "import sys; from pathlib import Path; from bakeoff.runs.config import Run; from bakeoff.launch import launch;"
        "from bakeoff.runs import Stage; run = Run.model_validate_json(sys.argv[1]);"
        "launch(run, stage=Stage.TRAIN, out=Path(sys.argv[2]), data=Path(sys.argv[3]),"
        " on_progress=lambda event: print(event, flush=True))"
    )
    run = TINY.revised(train={"images": 10_000_000})
    arguments = [sys.executable, "-c", code, run.model_dump_json(), str(tmp_path), str(data)]
    driver = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    driver.stdout.readline()  # the worker is at work
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
