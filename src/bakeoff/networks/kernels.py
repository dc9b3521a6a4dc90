"""Single operations of a convolutional network by faster kernels than Keras picks, equal but for rounding.

Keras 3 composes batch normalisation of single sums and products, each of which goes through memory; TensorFlow has
kernels that do it at once. And oneDNN has no fast kernel for the gradient of a depthwise kernel that is larger than its
map: one layer of 3x3 maps took a tenth of a training step of EfficientNet-Lite0.
"""

from typing import Any

import keras
from keras import layers

__all__ = ["depthwise_convolve", "normalise", "normalise_and_learn"]


def normalise(norm: layers.BatchNormalization, x: Any) -> Any:
    """A batch normalisation (n, h, w, c) in inference mode. Its own weights get no gradient."""
    import tensorflow as tf

    gamma, beta = _scale_and_shift(norm, x.shape[-1])
    mean, variance = tf.convert_to_tensor(norm.moving_mean.value), tf.convert_to_tensor(norm.moving_variance.value)
    slope = gamma * tf.math.rsqrt(variance + norm.epsilon)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def apply(x: Any) -> Any:
        y = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=norm.epsilon, is_training=False
        ).y
        return y, lambda upstream: upstream * tf.cast(slope, upstream.dtype)

    return apply(tf.cast(x, norm.compute_dtype))


def normalise_and_learn(norm: layers.BatchNormalization, x: Any) -> Any:
    """A batch normalisation (n, h, w, c) by the batch's statistics, of which the moving ones take note."""
    import tensorflow as tf

    gamma, beta = _scale_and_shift(norm, x.shape[-1])
    x = tf.cast(x, norm.compute_dtype)
    nothing = tf.zeros([0], tf.float32)
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=nothing, variance=nothing, epsilon=norm.epsilon, is_training=True
    )
    # The kernel's variance is that of a sample (n - 1), Keras' that of the batch.
    count = tf.cast(tf.size(x) / x.shape[-1], tf.float32)
    variance = variance * (count - 1) / count
    for moving, value in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
        moving.assign(moving * norm.momentum + value * (1 - norm.momentum))
    return y


def _scale_and_shift(norm: layers.BatchNormalization, channels: int) -> tuple[Any, Any]:
    import tensorflow as tf

    gamma = norm.gamma.value if norm.scale else tf.ones(channels)
    beta = norm.beta.value if norm.center else tf.zeros(channels)
    # Tensors, not variables: a function with a gradient of its own may not read variables.
    return tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta)


def depthwise_convolve(layer: Any, x: Any, kernel: Any) -> Any:
    """A depthwise convolution (n, h, w, c) with kernel (k, k, c, m)."""
    import tensorflow as tf

    settings = {"strides": layer.strides, "padding": layer.padding, "dilation_rate": layer.dilation_rate}
    height, width, _, multiplier = kernel.shape
    is_plain = tuple(layer.strides) == tuple(layer.dilation_rate) == (1, 1) and layer.padding == "same"
    if not (is_plain and multiplier == 1 and x.shape[1] and (height > x.shape[1] or width > x.shape[2])):
        return keras.ops.depthwise_conv(x, kernel, data_format="channels_last", **settings)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def convolve(x: Any, kernel: Any) -> Any:
        def differentiate(upstream: Any) -> Any:
            to_inputs = tf.nn.depthwise_conv2d_backprop_input(
                tf.shape(x), kernel, upstream, strides=[1, 1, 1, 1], padding="SAME"
            )
            return to_inputs, _differentiate_kernel(x, upstream, height, width)

        return tf.nn.depthwise_conv2d(x, kernel, strides=[1, 1, 1, 1], padding="SAME"), differentiate

    return convolve(x, kernel)


def _differentiate_kernel(x: Any, upstream: Any, height: int, width: int) -> Any:
    """Gradient (height, width, c, 1) of a "same" depthwise convolution: each image's map, convolved with its gradient.

    Images and channels are both the channels of that convolution.
    """
    import tensorflow as tf

    _, rows, columns, channels = x.shape
    images = tf.shape(x)[0]
    pads = [[(size - 1) // 2, size // 2] for size in (height, width)]
    padded = tf.pad(tf.transpose(x, [1, 2, 0, 3]), [*pads, [0, 0], [0, 0]])
    maps = tf.reshape(padded, [1, rows + height - 1, columns + width - 1, images * channels])
    kernels = tf.reshape(tf.transpose(upstream, [1, 2, 0, 3]), [rows, columns, images * channels, 1])
    products = tf.nn.depthwise_conv2d(maps, kernels, strides=[1, 1, 1, 1], padding="VALID")
    return tf.reduce_sum(tf.reshape(products, [height, width, images, channels]), axis=2)[..., tf.newaxis]
