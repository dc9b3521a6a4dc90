"""Gradient accumulation: a batch in parts gives the same step as the whole batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bakeoff.networks.blocks import freeze
from bakeoff.networks.find import find_network
from bakeoff.networks.model import RESIZE, build_network
from bakeoff.runs.config import Balance, BatchNorm, Model, Optim, Optimizer, Precision
from bakeoff.training.balance import balance_loss
from bakeoff.training.optimizer import build_optimizer
from bakeoff.training.step import compile_step
from bakeoff.training.weight_copies import MovingAverage

pytestmark = pytest.mark.kernels

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (10, 32, 32, 3), np.uint8)
TARGETS = np.eye(5, dtype=np.float32)[rng.integers(0, 5, 10)]


def _train(name, micro_batch, steps=3, optimizer=Optimizer.SGD, multiplier=None, balance=Balance.NONE):
    keras.utils.set_random_seed(0)
    network = build_network(find_network(name), Model(name=name, size=32, dropout=0.0), side=32, classes=5)
    freeze(network.backbone, 1.0, BatchNorm.FROZEN)
    model = network.model(32)
    config = Optim(name=optimizer, ema=0.5)
    average = MovingAverage(model, config.ema)
    keras_optimizer = build_optimizer(config)
    keras_optimizer.build(model.trainable_variables)
    multipliers = {} if multiplier is None else {weight.path: multiplier for weight in model.trainable_variables}
    loss_balance = balance_loss(balance, TARGETS.argmax(axis=1), 5)
    step = compile_step(model, keras_optimizer, average, 0.1, micro_batch, multipliers, balance=loss_balance)
    losses = [step(IMAGES, TARGETS, 0.01, average.next_decay()) for _ in range(steps)]
    average.copy_to_model()
    return losses, model.get_weights()


@pytest.mark.parametrize(
    ("micro_batch", "balance"),
    [(5, Balance.NONE), (4, Balance.NONE), (1, Balance.NONE), (4, Balance.WEIGHTS), (4, Balance.LOGITS)],
)
def test_accumulated_gradients_are_those_of_the_batch(micro_batch, balance):
    losses, weights = _train("cnn-small", 10, balance=balance)
    its_losses, its_weights = _train("cnn-small", micro_batch, balance=balance)
    assert losses == pytest.approx(its_losses, rel=1e-4)
    assert losses[-1] < losses[0]
    for whole, summed in zip(weights, its_weights, strict=True):
        np.testing.assert_allclose(whole, summed, atol=1e-5)


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT16])
def test_weights_that_no_gradient_reaches_stay_as_they_are_in_parts_too(precision):
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.AveragePooling2D(8)(keras.layers.Rescaling(1 / 255)(pixels))
    stopped = keras.layers.Lambda(tf.stop_gradient)(keras.layers.Conv2D(3, 1, name="unreached")(x))
    model = keras.Model(pixels, keras.layers.Dense(5)(keras.layers.Flatten()(keras.layers.Add()([x, stopped]))))
    start, found = model.get_weights(), []
    for micro_batch in (10, 4):
        model.set_weights(start)
        optimizer = build_optimizer(Optim(name=Optimizer.ADAMW, weight_decay=0.1), precision)
        optimizer.build(model.trainable_variables)
        step = compile_step(model, optimizer, MovingAverage(model, 0.0), 0.1, micro_batch)
        step(IMAGES, TARGETS, 0.01, 0.0)
        found.append(model.get_weights())
        assert (found[-1][0] == start[0]).all()
        assert (found[-1][2] != start[2]).any()
    for whole, summed in zip(*found, strict=True):
        np.testing.assert_allclose(whole, summed, atol=1e-5)


def test_a_learning_rate_multiplier_scales_the_step_of_a_variable():
    _, start = _train("cnn-small", 10, steps=0)
    moved, slowed = (_train("cnn-small", 10, steps=1, multiplier=multiplier)[1] for multiplier in (None, 0.25))
    for before, whole, part in zip(start, moved, slowed, strict=True):
        np.testing.assert_allclose(part - before, 0.25 * (whole - before), atol=1e-6)
    assert any(np.abs(whole - before).max() > 1e-4 for before, whole in zip(start, moved, strict=True))


def test_float16_keeps_gradients_that_are_too_small_for_it():
    """Gradients of a thousand-millionth are zero in float16, unless the loss is scaled."""
    images, targets = IMAGES[:2], TARGETS[:2]
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(Precision.FLOAT16.value)
    try:
        keras.utils.set_random_seed(0)
        pixels = keras.Input((32, 32, 3), dtype="uint8")
        x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))
        for scale in (0.01, 2.0**-13, 2.0**-13):
            x = keras.layers.Dense(4, kernel_initializer=keras.initializers.Constant(scale))(x)
        model = keras.Model(pixels, keras.layers.Dense(5, dtype="float32")(x))
    finally:
        keras.config.set_dtype_policy(policy)
    moved = {}
    start = model.get_weights()
    for precision in (Precision.FLOAT32, Precision.FLOAT16):
        model.set_weights(start)
        optimizer = build_optimizer(Optim(name=Optimizer.SGD, weight_decay=0.0, clip_norm=0.0), precision)
        optimizer.build(model.trainable_variables)
        average = MovingAverage(model, 0.0)
        loss = compile_step(model, optimizer, average, 0.0, 2)(images, targets, 1e4, average.next_decay())
        assert loss == pytest.approx(np.log(5), rel=0.01)
        moved[precision] = np.abs(model.get_weights()[0] - start[0]).max()
    assert moved[Precision.FLOAT16] > 0
    assert moved[Precision.FLOAT32] == 0


def test_xla_compiles_the_step_of_images_that_are_made_smaller_which_it_cannot_do_by_itself():
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    floats = keras.layers.Rescaling(1 / 255)(pixels)
    small = keras.layers.Resizing(4, 4, antialias=True, name=RESIZE)(floats, training=False)
    model = keras.Model(pixels, keras.layers.Dense(5)(keras.layers.Flatten()(small)))
    start, found = model.get_weights(), []
    for jit_compile, micro_batch in ((False, 10), (True, 10), (True, 6)):
        model.set_weights(start)
        average = MovingAverage(model, 0.0)
        optimizer = build_optimizer(Optim(name=Optimizer.SGD))
        optimizer.build(model.trainable_variables)
        step = compile_step(model, optimizer, average, 0.1, micro_batch, jit_compile=jit_compile)
        losses = [step(IMAGES, TARGETS, 0.1, average.next_decay()) for _ in range(2)]
        found.append([*losses, *model.get_weights()[1]])
    assert found[0] == pytest.approx(found[1], rel=1e-3)
    assert found[0] == pytest.approx(found[2], rel=1e-3)
    assert found[0][1] < found[0][0]
