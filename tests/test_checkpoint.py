"""A run that is killed resumes from its checkpoint, and ends like an uninterrupted run."""

import os
import signal
from pathlib import Path

import keras
import numpy as np
import pytest

from bakeoff.errors import ConfigError, OutputError
from bakeoff.files import read_arrays
from bakeoff.launch import launch
from bakeoff.runs.config import override
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.history import read_curve, read_history
from bakeoff.runs.record import Stage, State
from bakeoff.training import checkpoint
from bakeoff.training.checkpoint import Checkpoint, Variables
from bakeoff.training.loop import train
from bakeoff.training.task import open_task
from bakeoff.training.weight_copies import BestWeights, MovingAverage, StartingWeights
from learned import TINY


def _model(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)])


def test_a_checkpoint_is_restored_as_it_was_written(tmp_path):
    def parts(seed):
        model = _model(seed)
        average, best, start = MovingAverage(model, 0.9), BestWeights(model), StartingWeights(model, 20)
        return (
            model,
            average,
            best,
            start,
            {
                "model": Variables(model.variables),
                "average": average,
                "best": best,
                "start": start,
            },
        )

    model, average, best, start, own = parts(0)
    average.next_decay()
    best.update(-0.5)
    best.update(-0.7)
    start.merit = 0.6
    Checkpoint(RunFolder(tmp_path).checkpoint, own).write({"batches": 7, "losses": [0.25, 1e-9]})

    other, its_average, its_best, its_start, its = parts(1)
    assert Checkpoint(RunFolder(tmp_path).checkpoint, its).read() == {"batches": 7, "losses": [0.25, 1e-9]}
    for one, another in zip(model.variables, other.variables, strict=True):
        assert np.array_equal(one, another)
    assert its_average.next_decay() == average.next_decay()
    assert (its_best.evaluations_without_improvement, its_start.merit) == (1, 0.6)
    its_best.restore()
    assert np.array_equal(other.get_weights()[0], model.get_weights()[0])


def test_without_a_file_there_is_no_checkpoint(tmp_path):
    assert Checkpoint(RunFolder(tmp_path).checkpoint, {}).read() is None


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda _: b"", lambda raw: b"x" * len(raw)])
def test_a_damaged_file_is_an_error_and_restores_nothing(tmp_path, damage):
    path = RunFolder(tmp_path).checkpoint
    Checkpoint(path, {"model": Variables(_model(0).variables)}).write({})
    path.write_bytes(damage(path.read_bytes()))
    other = _model(1)
    before = other.get_weights()
    with pytest.raises(OutputError, match="cannot resume from"):
        Checkpoint(path, {"model": Variables(other.variables)}).read()
    for one, another in zip(before, other.get_weights(), strict=True):
        assert np.array_equal(one, another)


def test_the_next_checkpoint_waits_for_the_interval(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    kept = Checkpoint(RunFolder(tmp_path).checkpoint, {})
    assert not kept.is_due
    now[0] = checkpoint.INTERVAL
    assert kept.is_due
    kept.write({})
    assert not kept.is_due


class _KilledError(Exception):
    pass


def _train(folder, data, run, *, killed_after=None):
    """Train in this process; after `killed_after` steps an exception stands in for a kill."""
    steps = 0

    def report(progress):
        nonlocal steps
        steps += progress.doing == "train"
        if killed_after is not None and steps > killed_after:
            raise _KilledError

    return train(open_task(run, folder, data, report))


@pytest.mark.parametrize(
    ("changes", "killed_after"),
    [
        ({}, 1),
        ({"optim": {"name": "sgd", "ema": 0.0}}, 9),
        pytest.param({"train": {"patience": 50, "evaluations": 6}}, 11, marks=pytest.mark.slow),
        pytest.param(
            {"model": {"name": "lenet"}, "optim": {"first_layer": 0.5, "name": "lion", "learning_rate": 1e-4}},
            10,
            marks=pytest.mark.slow,
        ),
    ],
)
@pytest.mark.kernels
def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path, shards, monkeypatch, changes, killed_after):
    run = TINY.revised(**changes).revised(train={"deterministic": False})
    whole_folder, torn_folder = tmp_path / "runs" / "whole", tmp_path / "runs" / "torn"
    for folder in (whole_folder, torn_folder):
        folder.mkdir(parents=True)
    whole = _train(whole_folder, shards, run)
    monkeypatch.setenv("BAKEOFF_CHECKPOINT_SECONDS", "0")
    with pytest.raises(_KilledError):
        _train(torn_folder, shards, run, killed_after=killed_after)
    assert RunFolder(torn_folder).checkpoint.is_file()
    torn = _train(torn_folder, shards, run)
    assert torn.images_seen == whole.images_seen
    np.testing.assert_allclose(torn.val_logits, whole.val_logits, atol=2e-3)
    for one, other in zip(read_history(torn_folder), read_history(whole_folder), strict=True):
        assert (one.images_seen, one.progress) == (other.images_seen, other.progress)
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-3)
    for one, other in zip(read_curve(torn_folder), read_curve(whole_folder), strict=True):
        assert (one.images_seen, one.progress) == (other.images_seen, other.progress)
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-3)


def _kill_at(evaluations):
    """Kill the worker, a child of this process, after that many evaluations."""

    def watch(event):
        if event.evaluations >= evaluations and not watch.done:
            watch.done = True
            for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)

    watch.done = False
    return watch


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds children through /proc")
@pytest.mark.kernels
@pytest.mark.slow
def test_a_deterministic_run_that_was_killed_has_the_same_bits(tmp_path, shards, finished, monkeypatch):
    whole = finished.record
    assert whole.config == TINY
    assert whole.state is State.COMPLETE, whole.reason
    monkeypatch.setenv("BAKEOFF_CHECKPOINT_SECONDS", "0")
    again = launch(TINY, stage=Stage.TRAIN, out=tmp_path, data=shards, on_progress=_kill_at(2))
    assert again.state is State.COMPLETE, again.reason
    assert again.id == whole.id
    assert again.val == whole.val
    models = [keras.models.load_model(run_dir(out, whole.id) / "model.keras") for out in (finished.out, tmp_path)]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        assert np.array_equal(one, other)
    assert not RunFolder(run_dir(tmp_path, again.id)).checkpoint.exists()


def test_a_run_with_a_damaged_checkpoint_starts_from_the_beginning_and_notes_it(tmp_path, shards):
    RunFolder(tmp_path).checkpoint.write_bytes(b"half a file")
    outcome = _train(tmp_path, shards, TINY.revised(train={"images": 64, "evaluations": 1}))
    assert "started from the beginning" in outcome.note
    assert outcome.images_seen == 64


@pytest.mark.parametrize(
    "change", ["optimizer", *(pytest.param(each, marks=pytest.mark.slow) for each in ("model", "facts"))]
)
def test_a_run_with_a_checkpoint_of_another_version_starts_from_the_beginning_and_notes_it(
    tmp_path, shards, monkeypatch, change
):
    """As a run under mixed_float16 of a version that did not scale the loss: its optimiser had fewer variables."""
    run = TINY.revised(train={"images": 64, "evaluations": 1, "precision": "mixed_float16"})
    monkeypatch.setenv("BAKEOFF_CHECKPOINT_SECONDS", "0")
    with pytest.raises(_KilledError):
        _train(tmp_path, shards, run, killed_after=1)
    path = RunFolder(tmp_path).checkpoint
    arrays = read_arrays(path)
    if change == "facts":
        arrays["facts"] = np.array('{"batches": 1, "unknown": 2}')
    else:
        del arrays[max((key for key in arrays if key.startswith(change)), key=lambda key: int(key.split("/")[1]))]
    np.savez(path, **arrays)
    outcome = _train(tmp_path, shards, run)
    assert outcome.note.startswith("its checkpoint is of another version of bakeoff or Keras, so it started from")
    assert outcome.images_seen == 64


def test_a_deterministic_run_cannot_end_by_the_clock():
    with pytest.raises(ValueError, match="cannot end by the clock"):
        TINY.revised(train={"images": None, "seconds": 5.0})
    with pytest.raises(ConfigError, match="cannot end by the clock"):
        override(TINY, ["train.seconds=5"])


def test_starting_weights_that_were_scored_before_are_not_scored_again():
    def measure(merit):
        return lambda: calls.append(merit) or merit

    calls = []
    start, other = StartingWeights(_model(0), 20), StartingWeights(_model(1), 20)
    start.score(["images"], measure(0.7))
    start.score(["images"], measure(0.8))
    assert (start.merit, calls) == (0.7, [0.7])
    other.score(["images"], measure(0.9))
    start.score(["other images"], measure(0.5))
    assert (other.merit, start.merit) == (0.9, 0.5)
    start.score(["images"], measure(0.6), cached=False)
    assert (start.merit, calls) == (0.6, [0.7, 0.9, 0.5, 0.6])
    # A metric that is not defined on the images.
    start.score(["one class"], measure(float("-inf")))
    assert start.merit == float("-inf")


def test_a_checkpoint_of_a_version_that_counted_correct_images_is_understood():
    start = StartingWeights(_model(0), 20)
    start.set_state([np.array(12), *start.state()[1:]])
    assert start.merit == 0.6
