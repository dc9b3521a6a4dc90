"""Faster implementations of single operations than those of Keras. Results are equal up to rounding.

Keras 3 computes batch normalisation from separate sums and products, each of which reads and writes the whole feature
map; TensorFlow has fused kernels. And oneDNN has no fast kernel for the gradient of a depthwise convolution whose
kernel is larger than its feature map: one layer with 3x3 maps took a tenth of a training step of EfficientNet-Lite0.
"""

from typing import Any

import keras
from keras import layers

__all__ = ["batch_norm_inference", "batch_norm_training", "depthwise_conv"]


def batch_norm_inference(norm: layers.BatchNormalization, x: Any) -> Any:
    """Batch normalisation of a map (n, h, w, c) in inference mode: normalises with the moving averages.

    The gradient flows to `x` alone, not to gamma and beta.
    """
    import tensorflow as tf

    gamma, beta = _scale_and_shift(norm, x.shape[-1])
    mean, variance = tf.convert_to_tensor(norm.moving_mean.value), tf.convert_to_tensor(norm.moving_variance.value)
    scale = gamma * tf.math.rsqrt(variance + norm.epsilon)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def apply(x: Any) -> Any:
        y = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=norm.epsilon, is_training=False
        ).y
        return y, lambda upstream: upstream * tf.cast(scale, upstream.dtype)

    return apply(tf.cast(x, norm.compute_dtype))


def batch_norm_training(norm: layers.BatchNormalization, x: Any) -> Any:
    """Batch normalisation of a map (n, h, w, c) in training mode.

    Normalises with batch statistics and updates the moving averages.
    """
    import tensorflow as tf

    gamma, beta = _scale_and_shift(norm, x.shape[-1])
    x = tf.cast(x, norm.compute_dtype)
    unused = tf.zeros([0], tf.float32)  # In training mode the kernel takes no statistics.
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=unused, variance=unused, epsilon=norm.epsilon, is_training=True
    )
    # The kernel returns the unbiased variance (divided by n - 1); Keras averages the biased one (divided by n).
    count = tf.cast(tf.size(x) / x.shape[-1], tf.float32)
    variance = variance * (count - 1) / count
    for moving, value in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
        moving.assign(moving * norm.momentum + value * (1 - norm.momentum))
    return y


def _scale_and_shift(norm: layers.BatchNormalization, channels: int) -> tuple[Any, Any]:
    import tensorflow as tf

    gamma = norm.gamma.value if norm.scale else tf.ones(channels)
    beta = norm.beta.value if norm.center else tf.zeros(channels)
    # Tensors, not variables: a function under `tf.custom_gradient` may not read variables.
    return tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta)


def depthwise_conv(layer: Any, x: Any, kernel: Any) -> Any:
    """Depthwise convolution of a map (n, h, w, c) with a kernel (kh, kw, c, m), to (n, h', w', c * m).

    Strides, padding and dilation are those of `layer`. Where the kernel is larger than the map, the gradient of the
    kernel is computed by a convolution instead of oneDNN's slow kernel.
    """
    import tensorflow as tf

    settings = {"strides": layer.strides, "padding": layer.padding, "dilation_rate": layer.dilation_rate}
    height, width, _, multiplier = kernel.shape
    is_plain = tuple(layer.strides) == tuple(layer.dilation_rate) == (1, 1) and layer.padding == "same"
    if not (is_plain and multiplier == 1 and x.shape[1] and (height > x.shape[1] or width > x.shape[2])):
        return keras.ops.depthwise_conv(x, kernel, data_format="channels_last", **settings)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def convolve(x: Any, kernel: Any) -> Any:
        def backward(upstream: Any) -> Any:
            input_gradient = tf.nn.depthwise_conv2d_backprop_input(
                tf.shape(x), kernel, upstream, strides=[1, 1, 1, 1], padding="SAME"
            )
            return input_gradient, _kernel_gradient(x, upstream, height, width)

        return tf.nn.depthwise_conv2d(x, kernel, strides=[1, 1, 1, 1], padding="SAME"), backward

    return convolve(x, kernel)


def _kernel_gradient(x: Any, upstream: Any, height: int, width: int) -> Any:
    """Gradient (height, width, c, 1) of the kernel of a depthwise convolution with padding "same" and stride 1.

    It is the map of each image convolved with the upstream gradient of that image, summed over the batch. One
    depthwise convolution computes it for all: its channels are all pairs of an image and a channel.
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
