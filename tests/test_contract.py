"""What every network of the table must do, pretrained or not: learn, keep still what is frozen, and survive a save."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from bakeoff.networks.model import build_network, freeze
from bakeoff.networks.table import TABLE
from bakeoff.runs.config import BatchNorm, Model

pytestmark = pytest.mark.kernels

QUICK = {"lenet", "cnn-small", "cnn-custom", "efficientnet-lite0", "mobilenet-v3-small", "vgg-16"}
# Larger ones take up to 10 GB to train, and have the layers of smaller ones.
MAX_PARAMS = 150_000_000
IMAGES = 8
STEPS = 3
# Small, so that a step follows the gradient and does not leap across the valley.
RATE = 1e-5


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(row, id=row.name, marks=() if row.name in QUICK else pytest.mark.slow)
        for row in TABLE
        if row.params_total <= MAX_PARAMS
    ],
)
def network(request):
    """The network with random weights, at 32 pixels or the least that it takes, fed digits of 8 pixels."""
    keras.utils.set_random_seed(0)
    row = request.param
    network = build_network(row, Model(name=row.name, size=_size(row), dropout=0.0), side=8, classes=10)
    for layer in network.backbone.layers:
        match layer:
            case keras.layers.BatchNormalization():
                # A few steps are too few for moving averages, and without them inference is arbitrarily far off.
                layer.momentum = 0.0
            case keras.layers.Dropout():
                # EfficientNets drop whole blocks: a loss through other blocks each time is no measure of learning.
                layer.rate = 0.0
    return network


@pytest.fixture(scope="module")
def batch():
    digits = load_digits()
    grey = (digits.images[:IMAGES] * 15.9).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1), digits.target[:IMAGES]


def _size(row):
    return max(32, row.min_size)


def _step(model, optimizer, batch):
    """One step of gradient descent, uncompiled: compiling a large network takes longer than its few steps."""
    images, labels = batch
    with tf.GradientTape() as tape:
        logits = model(images, training=True)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
    weights = model.trainable_variables
    optimizer.apply(tape.gradient(loss, [weight.value for weight in weights]), weights)
    return float(loss)


def _values(weights):
    return [np.array(weight) for weight in weights]


def test_a_few_steps_on_one_batch_lower_its_loss(network, batch):
    freeze(network.backbone, 1.0, BatchNorm.TRAIN)
    model = network.model(_size(network.spec))
    optimizer = keras.optimizers.Adam(RATE)
    losses = [_step(model, optimizer, batch) for _ in range(STEPS)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("unfreeze", [0.0, 0.1, 0.2])
def test_a_step_moves_what_learns_and_not_a_bit_of_what_is_frozen(network, batch, unfreeze):
    freeze(network.backbone, unfreeze, BatchNorm.TRAIN)
    model = network.model(_size(network.spec))
    frozen = [weight for layer in network.backbone.layers if not layer.trainable for weight in layer.weights]
    learning = model.trainable_weights
    if unfreeze == 0.0:
        assert len(frozen) == len(network.backbone.weights)
        assert [id(weight) for weight in learning] == [id(weight) for weight in network.head.weights]
    old_frozen, old_learning = _values(frozen), _values(learning)
    _step(model, keras.optimizers.Adam(RATE), batch)
    for weight, old in zip(frozen, old_frozen, strict=True):
        assert np.array_equal(weight, old), weight.path
    moved = [not np.array_equal(weight, old) for weight, old in zip(learning, old_learning, strict=True)]
    assert sum(moved) > 0.9 * len(moved)


def test_a_saved_model_opens_with_the_same_weights_and_gives_the_same_logits(network, batch, tmp_path):
    images, _ = batch
    model = network.model(_size(network.spec))
    logits = np.array(model(images, training=False))
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    for weight, again in zip(model.weights, reloaded.weights, strict=True):
        assert np.array_equal(weight, again), weight.path
    assert np.allclose(reloaded(images, training=False), logits, atol=1e-4)
