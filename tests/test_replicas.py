"""Training on two devices equals training on one. Without GPUs, the CPU is divided into two logical devices."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from bakeoff.launch import launch
from bakeoff.machine import tensorflow_environment
from bakeoff.runs.config import Run
from bakeoff.runs.folder import run_dir
from bakeoff.runs.history import read_history
from bakeoff.runs.record import Stage, State
from running import work_here

pytestmark = pytest.mark.kernels

# A batch that does not divide evenly, clipping (of the whole gradient, not of its parts), an average, slower layers.
STEPS = """
import json, os, sys
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from bakeoff.runs.config import Balance, Optim
from bakeoff.training.balance import balance_loss
from bakeoff.training.weight_copies import MovingAverage
from bakeoff.training.optimizer import build_optimizer
from bakeoff.training.replicas import Replicas
from bakeoff.training.step import compile_step

rng = np.random.default_rng(0)
images = rng.integers(0, 256, (9, 8, 8, 3), np.uint8)
targets = np.eye(5, dtype=np.float32)[rng.integers(0, 5, 9)]


def train(replicas, micro_batch, norm, balance=Balance.NONE):
    keras.utils.set_random_seed(0)
    with replicas.scope():
        layers = [keras.layers.Conv2D(8, 3, name="conv"), keras.layers.BatchNormalization(name="norm")]
        layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5, name="head")]
        inputs = x = keras.Input((8, 8, 3))
        for layer in layers[: 1] + layers[1 if norm else 2 :]:
            x = layer(x)
        model = keras.Model(inputs, x)
        config = Optim(name="adamw", ema=0.5, clip_norm=0.1)
        average = MovingAverage(model, config.ema)
        optimizer = build_optimizer(config)
        optimizer.build(model.trainable_variables)
        multipliers = {v.path: 0.5 for v in model.get_layer("conv").trainable_variables}
        loss_balance = balance_loss(balance, np.repeat(np.arange(5), [50, 20, 10, 5, 1]), 5)
        step = compile_step(
            model, optimizer, average, 0.1, micro_batch, multipliers, replicas, balance=loss_balance
        )
        losses = [step(images, targets, 0.01, average.next_decay()) for _ in range(5)]
        average.copy_to_model()
        return {"losses": losses, "weights": [w.tolist() for w in model.get_weights()]}


one, two = Replicas(), Replicas(["/cpu:0", "/cpu:1"])  # a process has one such pair
print(json.dumps({
    "one": train(one, 9, False), "two": train(two, 9, False), "parts": train(two, 4, False),
    "norm": train(two, 9, True),
    "weighted": [train(one, 9, False, Balance.WEIGHTS), train(two, 4, False, Balance.WEIGHTS)],
}))
"""


@pytest.fixture(scope="module")
def trained():
    environment = tensorflow_environment()
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("other", ["two", "parts"])
def test_two_devices_give_the_steps_of_one(trained, other):
    assert trained["one"]["losses"] == pytest.approx(trained[other]["losses"], rel=1e-5)
    assert trained["one"]["losses"][-1] < trained["one"]["losses"][0]
    for one, two in zip(trained["one"]["weights"], trained[other]["weights"], strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.slow
def test_two_devices_weigh_classes_as_one_does(trained):
    one, two = trained["weighted"]
    assert one["losses"] == pytest.approx(two["losses"], rel=1e-5)
    assert one["losses"][0] != pytest.approx(trained["one"]["losses"][0], rel=0.05)
    for alone, shared in zip(one["weights"], two["weights"], strict=True):
        np.testing.assert_allclose(alone, shared, atol=1e-5)


@pytest.mark.slow
def test_batch_statistics_that_are_learned_are_the_mean_of_the_devices(trained):
    assert np.isfinite(trained["norm"]["losses"]).all()
    *_, mean, variance, _, _ = trained["norm"]["weights"]
    # They have changed from 0 and 1.
    assert np.abs(mean).max() > 0.01
    assert np.abs(np.array(variance) - 1).max() > 0.01


@pytest.mark.slow
def test_a_run_on_two_devices_has_the_learning_curve_of_one_and_records_the_number(tmp_path, shards, monkeypatch):
    run = Run().revised(
        model={"name": "cnn-small", "size": 32, "dropout": 0.0},
        augment={"policy": "crop"},
        train={"epochs": None, "images": 640, "batch": 32, "evaluations": 4},
    )
    with monkeypatch.context() as patch:
        work_here(patch)
        one = launch(run, stage=Stage.TRAIN, out=tmp_path / "one", data=shards)
    monkeypatch.setenv("BAKEOFF_LOGICAL_CPUS", "2")
    monkeypatch.setenv("BAKEOFF_CHECKPOINT_SECONDS", "0")
    two = launch(run, stage=Stage.TRAIN, out=tmp_path / "two", data=shards)
    assert two.state is State.COMPLETE, two.reason
    assert (one.id, one.replicas, two.replicas) == (two.id, 1, 2)
    for alone, shared in zip(*(read_history(run_dir(tmp_path / name, one.id)) for name in ("one", "two")), strict=True):
        assert alone.images_seen == shared.images_seen
        assert alone.train_loss == pytest.approx(shared.train_loss, rel=2e-3)
    assert keras.models.load_model(run_dir(tmp_path / "two", two.id) / "model.keras").count_params() == 122_570
