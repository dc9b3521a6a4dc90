import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from bakeoff.errors import ConfigError
from bakeoff.networks.backbone import Scaling
from bakeoff.networks.blocks import freeze
from bakeoff.networks.find import find_network
from bakeoff.networks.model import Network, _scale_input, build_network, count_parameters
from bakeoff.networks.table import TABLE
from bakeoff.networks.weights import load_weights, locate_weights
from bakeoff.runs.config import BatchNorm, Model
from keras_calls import without_xla

SMALL = ["lenet", "cnn-small", "cnn-custom", "efficientnet-lite0"]


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)


@functools.cache
def _network(name, size=32, classes=7):
    """A network that all tests share; a test that trains it makes one of its own with `_network.__wrapped__`."""
    keras.utils.set_random_seed(0)
    row = find_network(name)
    network = build_network(row, Model(name=name, size=size), side=32, classes=classes)
    if row.weights_package:
        # Random weights shrink activations to nothing, and then all answers are the same.
        load_weights(network.backbone, row, locate_weights(row, "auto"))
    return network


@pytest.mark.parametrize("name", ["lenet", "cnn-small", "cnn-custom"])
def test_a_scratch_net_with_a_hundred_classes_has_the_parameters_of_the_table(name):
    model = _network(name, classes=100).model(32)
    assert count_parameters(model) == (find_network(name).params_total,) * 2


@pytest.mark.kernels
@pytest.mark.parametrize("name", SMALL)
def test_all_ways_to_ask_a_model_give_the_same_numbers(name, images, tmp_path):
    size = 48 if name.startswith("efficientnet") else 32  # so that one of them resizes
    model = _network(name, size).model(size)
    asked = tf.function(lambda batch: model(batch, training=False))(images).numpy()
    assert asked.std() > 0.01
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    for other in (
        model.predict(images, verbose=0),
        model(images, training=False).numpy(),
        without_xla(reloaded).predict(images, verbose=0),
        reloaded(images, training=False).numpy(),
    ):
        assert np.allclose(asked, other, atol=1e-4)


@pytest.mark.kernels
def test_a_plain_call_of_a_resizing_model_is_inference(images):
    model = _network("efficientnet-lite0", 48).model(48)
    before = [np.array(weight) for weight in model.weights]
    assert np.allclose(model(images).numpy(), without_xla(model).predict(images, verbose=0), atol=1e-4)
    for weight, old in zip(model.weights, before, strict=True):
        assert np.array_equal(weight, old)


def test_models_of_two_sizes_share_their_weights(images):
    network = _network("efficientnet-lite0", 48)
    small, large = map(without_xla, (network.model(32), network.model(48)))
    assert [id(weight) for weight in small.weights] == [id(weight) for weight in large.weights]
    assert not np.allclose(small.predict(images, verbose=0), large.predict(images, verbose=0))


@pytest.mark.kernels
def test_weights_copied_from_another_model_are_those_that_the_network_computes_with(images):
    def network():
        inputs = keras.Input((32, 32, 3))
        # As in EfficientNet: the layer computes with copies of its mean and variance.
        backbone = keras.Model(inputs, keras.layers.Conv2D(2, 3)(keras.layers.Normalization()(inputs)))
        head, dropout = keras.layers.Dense(3), keras.layers.Dropout(0.1)
        return Network(find_network("efficientnet-b0"), backbone, dropout, head, side=32)

    source, copy = network(), network()
    normalize = source.backbone.layers[1]
    normalize.set_weights([np.float32([9, 8, 7]), np.float32([4, 5, 6]), np.int32(0)])
    normalize.finalize_state()
    copy.copy_weights(source.model(32), 32)
    np.testing.assert_array_equal(copy.model(32)(images), source.model(32)(images))


def test_features_are_what_the_head_receives(images):
    network = _network("efficientnet-lite0", 32)
    model = without_xla(network.model(32))
    kernel, bias = network.head.get_weights()
    logits = without_xla(network.features(32)).predict(images, verbose=0) @ kernel + bias
    assert np.allclose(logits, model.predict(images, verbose=0), atol=1e-4)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        (Scaling.NONE, [255.0, 0.0, 51.0]),
        (Scaling.UNIT, [1.0, 0.0, 0.2]),
        (Scaling.SYMMETRIC, [1.0, -1.0, -0.6]),
        (Scaling.TORCH, [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]),
        (Scaling.CAFFE, [51 - 103.939, -116.779, 255 - 123.68]),
    ],
)
def test_every_scaling_is_its_authors_formula(scaling, expected):
    pixel = keras.Input((1, 1, 3))
    model = without_xla(keras.Model(pixel, _scale_input(pixel, scaling)))
    scaled = model.predict(np.array([255, 0, 51], np.float32).reshape(1, 1, 1, 3), verbose=0)
    assert np.allclose(scaled.ravel(), expected, atol=1e-4)


def test_too_small_an_input_is_refused_with_the_minimum():
    with pytest.raises(ConfigError, match="71"):
        _network("xception", 64)


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("fraction", "batch_norm"),
    [
        (0.3, "train"),
        pytest.param(1.0, "frozen", marks=pytest.mark.slow),
        pytest.param(0.0, "train", marks=pytest.mark.slow),
        pytest.param(1.0, "train", marks=pytest.mark.slow),
    ],
)
def test_frozen_weights_do_not_move_by_a_bit(fraction, batch_norm, images):
    network = _network.__wrapped__("efficientnet-lite0", 32)
    freeze(network.backbone, fraction, BatchNorm(batch_norm))
    model = network.model(32)
    loss = keras.losses.SparseCategoricalCrossentropy(True)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    frozen = [layer for layer in network.backbone.layers if not layer.trainable]
    before = [[np.array(weight) for weight in layer.weights] for layer in frozen]
    learning = [np.array(weight) for weight in model.trainable_weights]
    model.train_on_batch(images, np.arange(5))
    for layer, old in zip(frozen, before, strict=True):
        assert all(np.array_equal(weight, value) for weight, value in zip(layer.weights, old, strict=True)), layer.name
    moved = [not np.array_equal(weight, old) for weight, old in zip(model.trainable_weights, learning, strict=True)]
    assert sum(moved) > 0.9 * len(moved)
    assert count_parameters(model)[1] == sum(value.size for value in learning)


@pytest.mark.parametrize(
    ("name", "block", "first"),
    [
        ("lenet", "dense1", "dense1"),
        ("cnn-small", "conv3", "conv3"),
        ("efficientnet-lite0", "block1", "block1a_depthwise_conv"),
        ("efficientnet-lite0", "block7", "block7a_expand_conv"),
    ],
)
def test_a_block_learns_from_its_first_layer_on(name, block, first):
    network = _network(name)
    freeze(network.backbone, block, BatchNorm.TRAIN)
    learning = [layer.name for layer in network.backbone.layers if layer.trainable]
    assert learning[0] == first
    assert learning == [layer.name for layer in network.backbone.layers][-len(learning) :]


def test_the_tenth_block_is_not_the_first():
    inputs = x = keras.Input((4,))
    for number in (14, 1):
        x = keras.layers.Dense(4, name=f"block{number}_dense")(x)
    backbone = keras.Model(inputs, x)
    freeze(backbone, "block1", BatchNorm.TRAIN)
    assert [layer.trainable for layer in backbone.layers] == [False, False, True]


def test_an_unknown_block_names_those_there_are():
    with pytest.raises(ConfigError, match=r"no block 'block9'.*block6d, block7a"):
        freeze(_network("efficientnet-lite0").backbone, "block9", BatchNorm.TRAIN)


def test_the_table_names_a_scaling_that_the_model_knows():
    for row in TABLE:
        pixel = keras.Input((1, 1, 3))
        assert _scale_input(pixel, row.scaling).shape == (None, 1, 1, 3)
