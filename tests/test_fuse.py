"""A fused model gives the same logits and the same gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from bakeoff.networks.blocks import freeze
from bakeoff.networks.find import find_network
from bakeoff.networks.fuse import fuse
from bakeoff.networks.model import build_network
from bakeoff.runs.config import BatchNorm, Model

pytestmark = pytest.mark.kernels

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (6, 32, 32, 3), np.uint8)
LABELS = np.arange(6) % 5


def _network(name, size, batch_norm):
    keras.utils.set_random_seed(0)
    network = build_network(find_network(name), Model(name=name, size=size, dropout=0.0), side=32, classes=5)
    for layer in network.backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([weight + 0.2 * rng.random(weight.shape) for weight in layer.get_weights()])
    freeze(network.backbone, 1.0, batch_norm)
    return network.model(size)


def _loss_and_gradients(model, call):
    variables = [weight.value for weight in model.trainable_variables]

    @tf.function
    def differentiate():
        with tf.GradientTape() as tape:
            logits = call(tf.constant(IMAGES), training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, logits))
        return loss, tape.gradient(loss, variables)

    return differentiate()


def _assert_same(model, gradients_too=True):
    before = model.get_weights()
    loss, gradients = _loss_and_gradients(model, model)
    moved = model.get_weights()
    model.set_weights(before)
    fused_loss, fused_gradients = _loss_and_gradients(model, fuse(model))
    assert float(fused_loss) == pytest.approx(float(loss), rel=1e-4)
    for plain, fused in zip(moved, model.get_weights(), strict=True):
        np.testing.assert_allclose(plain, fused, rtol=1e-3, atol=1e-5)
    if gradients_too:
        distance = sum(float(tf.reduce_sum((a - b) ** 2)) for a, b in zip(gradients, fused_gradients, strict=True))
        norm = sum(float(tf.reduce_sum(a**2)) for a in gradients)
        assert norm > 0
        assert distance < 1e-6 * norm
    plain = model(IMAGES, training=False).numpy()
    fused = tf.function(lambda: fuse(model)(tf.constant(IMAGES), training=False))().numpy()
    np.testing.assert_allclose(fused, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("batch_norm", [BatchNorm.FROZEN, BatchNorm.TRAIN])
# 64 pixels leave maps of 2 x 2, smaller than the kernels of 5 x 5 and 3 x 3.
@pytest.mark.parametrize("name", ["efficientnet-lite0", "mobilenet-v3-small"])
def test_a_network_of_depthwise_convolutions(name, batch_norm):
    # Batch statistics of 6 x 2 x 2 numbers amplify rounding: there, gradients are not compared.
    _assert_same(_network(name, 64, batch_norm), gradients_too=batch_norm is BatchNorm.FROZEN)


# Strided separable convolutions, layers with several inputs, and grouped convolutions.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["nasnet-mobile", "inception-resnet-v2", "convnext-small", "efficientnet-v2-s"])
def test_a_network_of_another_family(name):
    size = max(64, find_network(name).min_size)
    _assert_same(_network(name, size, BatchNorm.FROZEN))


@pytest.mark.parametrize("name", ["lenet", "cnn-custom"])
def test_a_network_with_nothing_to_fuse(name):
    _assert_same(_network(name, 32, BatchNorm.TRAIN))


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(8, 3, strides=2, padding="same"),
        layers.Conv2D(8, 1, use_bias=False),
        layers.Conv2D(8, 1, strides=2),
        layers.Conv2D(8, 3, dilation_rate=2, activation="relu"),
        layers.Conv2D(9, 3, groups=3),
        layers.Conv2D(3, 7, groups=3, padding="same"),
        layers.DepthwiseConv2D(5, depth_multiplier=2, padding="same"),
        layers.DepthwiseConv2D(3, strides=2, use_bias=False),
        layers.SeparableConv2D(8, 3, padding="same"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_one_convolution_and_a_normalisation_with_a_second_reader(layer, trainable):
    images = keras.Input((32, 32, 3), dtype="uint8")
    mapped = type(layer).from_config(layer.get_config())(layers.Rescaling(1 / 255)(images))
    norm = layers.BatchNormalization(
        beta_initializer="random_normal", moving_mean_initializer="random_normal", trainable=trainable
    )
    both = layers.Concatenate()([layers.ReLU()(norm(mapped)), mapped])
    logits = layers.Dense(5)(layers.GlobalAveragePooling2D()(both))
    _assert_same(keras.Model(images, logits))


@pytest.mark.parametrize(("side", "kernel"), [(1, 3), (2, 5), (3, 5), (4, 5), (2, 4)])
def test_a_depthwise_kernel_larger_than_its_map(side, kernel):
    images = keras.Input((32, 32, 3), dtype="uint8")
    small = layers.AveragePooling2D(32 // side)(layers.Rescaling(1 / 255)(images))
    mapped = layers.DepthwiseConv2D(kernel, padding="same")(small)
    logits = layers.Dense(5)(layers.Flatten()(mapped))
    _assert_same(keras.Model(images, logits))


class Inside(layers.Layer):
    """A layer that draws numbers in training, inside one whose call does not name `training`."""

    def __init__(self):
        super().__init__()
        self.drop = layers.Dropout(0.5)

    def call(self, x):
        return self.drop(x)


def test_what_is_inside_a_layer_is_told_of_training():
    images = keras.Input((32, 32, 3), dtype="uint8")
    fused = fuse(keras.Model(images, Inside()(layers.Rescaling(1.0, offset=1.0)(images))))
    outputs = {training: tf.function(fused)(tf.constant(IMAGES), training).numpy() for training in (True, False)}
    assert 0.4 < (outputs[True] == 0.0).mean() < 0.6
    assert (outputs[False] > 0.0).all()


class Standardised(layers.Conv2D):
    """Weight standardisation (Qiao et al. 2019)."""

    def call(self, x):
        centred = self.kernel - keras.ops.mean(self.kernel, (0, 1, 2), keepdims=True)
        return self.convolution_op(x, centred / keras.ops.std(self.kernel, (0, 1, 2), keepdims=True))


class Doubled(layers.BatchNormalization):
    def call(self, x, training=None):
        return 2 * super().call(x, training=training)


class Centred(layers.ReLU):
    def call(self, x):
        return _centre(super().call(x))


def _centre(x):
    return x - keras.ops.mean(x, (1, 2), keepdims=True)


def _random_norm(**settings):
    return layers.BatchNormalization(moving_mean_initializer="random_normal", **settings)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: _random_norm()(Standardised(8, 3, use_bias=False)(x)),
        lambda x: Doubled()(layers.Conv2D(8, 1)(x)),
        lambda x: Centred()(layers.Conv2D(8, 1)(x)),
        lambda x: layers.Activation(_centre)(layers.Conv2D(8, 1)(x)),
        # As many rows as channels, which are not normalised.
        lambda x: _random_norm(axis=1)(layers.Conv2D(32, 1)(x)),
    ],
    ids=["convolution", "normalisation", "activation", "function", "axis"],
)
def test_what_only_looks_like_a_layer_that_can_be_fused_is_called_as_it_is(make):
    images = keras.Input((32, 32, 3), dtype="uint8")
    mapped = make(layers.Rescaling(1 / 255)(images))
    _assert_same(keras.Model(images, layers.Dense(5)(layers.Flatten()(mapped))))


class Sum(layers.Layer):
    def call(self, first, second):
        return first + second


def test_layers_that_are_called_with_keywords_alone():
    images = keras.Input((32, 32, 3), dtype="uint8")
    x = layers.Conv2D(8, 4, strides=4)(inputs=layers.Rescaling(1 / 255)(inputs=images))
    x = layers.Reshape((64, 8))(inputs=Sum()(first=x, second=_random_norm()(inputs=x)))
    x = layers.Flatten()(layers.MultiHeadAttention(2, 4)(query=x, value=x))
    _assert_same(keras.Model(images, layers.Dense(5)(inputs=x)))


def test_half_precision_stays_half():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = _network("efficientnet-lite0", 64, BatchNorm.FROZEN)
        plain = model(IMAGES, training=False).numpy()
        graph = tf.function(lambda: fuse(model)(tf.constant(IMAGES), training=False)).get_concrete_function()
        products = [node for node in graph.graph.get_operations() if node.type == "MatMul"]
        assert sum(node.outputs[0].dtype == tf.bfloat16 for node in products) > 30
        np.testing.assert_allclose(graph().numpy(), plain, atol=0.1 * np.abs(plain).max())
    finally:
        keras.config.set_dtype_policy("float32")
