"""Single operations give the results of Keras, up to rounding."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from bakeoff.networks.kernels import batch_norm_inference, batch_norm_training

pytestmark = pytest.mark.kernels

rng = np.random.default_rng(0)
IMAGES = rng.normal(2.0, 3.0, (4, 5, 6, 8)).astype(np.float32)


def _norm(policy="float32", **changes):
    # With a seed, for means that happen to be almost 0 are not the same to five digits.
    means = keras.initializers.RandomNormal(seed=0)
    norm = layers.BatchNormalization(dtype=policy, moving_mean_initializer=means, **changes)
    norm.build(IMAGES.shape)
    return norm


def _with_gradient(call, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = call(x)
        loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 3)
    return y, tape.gradient(loss, x)


@pytest.mark.parametrize("changes", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.1, "momentum": 0.5}])
def test_a_learning_normalisation_takes_note_of_the_batch_as_keras_does(changes):
    plain, fast = _norm(**changes), _norm(**changes)
    fast.set_weights(plain.get_weights())
    x = tf.constant(IMAGES)
    expected = _with_gradient(lambda x: plain(x, training=True), x)
    found = _with_gradient(lambda x: batch_norm_training(fast, x), x)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-3)
    for mine, its in zip(fast.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5)


def test_a_fixed_normalisation_and_its_gradient():
    norm, x = _norm(), tf.constant(IMAGES)
    before = norm.get_weights()
    expected = _with_gradient(norm, x)
    found = _with_gradient(lambda x: batch_norm_inference(norm, x), x)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4)
    assert all(np.array_equal(*pair) for pair in zip(before, norm.get_weights(), strict=True))


@pytest.mark.parametrize("call", [batch_norm_inference, batch_norm_training])
def test_half_precision_stays_half(call):
    norm = _norm("mixed_bfloat16")
    y, gradient = _with_gradient(lambda x: call(norm, x), tf.constant(IMAGES))
    assert y.dtype == tf.bfloat16
    assert gradient.dtype == tf.float32
    expected = _norm()
    expected.set_weights(norm.get_weights())
    if call is batch_norm_inference:
        np.testing.assert_allclose(tf.cast(y, tf.float32), expected(tf.constant(IMAGES)), atol=0.2)
    assert keras.backend.standardize_dtype(norm.moving_mean.dtype) == "float32"


def test_a_batch_of_one_number_has_no_variance():
    norm = _norm()
    y = batch_norm_training(norm, tf.constant(IMAGES[:1, :1, :1]))
    assert np.isfinite(y.numpy()).all()
    assert all(np.isfinite(weight).all() for weight in norm.get_weights())
