"""Layers in a form that the converters to ONNX and LiteRT know; they fail on some of Keras' own."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

__all__ = ["make_convertible"]


def make_convertible(model: keras.Model) -> keras.Model:
    """A model of the same layers and weights, with other operations where a converter does not know Keras' own.

    A model of known layers is returned as it is.
    """
    if all(_replace(layer) is layer for layer in _flatten(model)):
        return model
    return keras.models.clone_model(model, clone_function=_replace, recursive=True)


def _flatten(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _flatten(layer)
        else:
            yield layer


def _replace(layer: keras.layers.Layer) -> keras.layers.Layer:
    match layer:
        case keras.layers.Resizing() if layer.antialias or layer.interpolation == "bicubic":
            return _Resize(layer)
        case keras.layers.Normalization():
            return _Normalize(layer)
        case keras.layers.Conv2D() if layer.groups == layer.kernel.shape[2] * layer.groups > 1:
            return _ConvolveDepthwise(layer)
        case keras.layers.Conv2D() if layer.groups > 1:
            return _ConvolveGroups(layer)
        case keras.layers.LayerNormalization(axis=[-1]) if len(layer.input.shape) == 4:
            return _NormalizeRows(layer)
    return layer


class _Resize(keras.layers.Layer):  # type: ignore[misc]
    """Antialiased or bicubic resizing of square images, which is linear along each axis, as matrix products."""

    def __init__(self, resizing: keras.layers.Resizing) -> None:
        super().__init__(name=resizing.name, dtype=resizing.dtype_policy)
        side = resizing.input.shape[1]
        # Each row of pixels alone: what becomes of it are its weights in the rows of the result.
        rows = np.repeat(np.eye(side, dtype=np.float32)[..., None, None], side, axis=2)
        self._weights = np.asarray(resizing(rows))[:, :, 0, 0].T

    def call(self, images: Any) -> Any:
        """Images (n, side, side, c) to (n, size, size, c)."""
        # Channels first, so that the products are of whole images.
        low = keras.ops.matmul(self._weights, keras.ops.transpose(images, (0, 3, 1, 2)))
        small = keras.ops.matmul(self._weights, keras.ops.transpose(low, (0, 1, 3, 2)))
        return keras.ops.transpose(small, (0, 3, 2, 1))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(n, size, size, c)."""
        return shape[0], len(self._weights), len(self._weights), shape[3]


class _Normalize(keras.layers.Layer):  # type: ignore[misc]
    """Normalisation by constants. Keras' layer has tensors, which tf2onnx takes for further inputs of the model."""

    def __init__(self, layer: keras.layers.Normalization) -> None:
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        deviation = np.sqrt(np.asarray(layer.variance, np.float32))
        self._mean = np.asarray(layer.mean, np.float32)
        self._deviation = np.maximum(deviation, np.float32(keras.config.epsilon()))

    def call(self, images: Any) -> Any:
        """Images (n, h, w, c) to the same shape."""
        return (images - self._mean) / self._deviation


class _NormalizeRows(keras.layers.Layer):  # type: ignore[misc]
    """Layer normalisation of the pixels of maps, as rows: in a map of one, tf2onnx takes channels for its width."""

    def __init__(self, normalization: keras.layers.LayerNormalization) -> None:
        super().__init__(name=normalization.name, dtype=normalization.dtype_policy)
        self._normalization = normalization

    def call(self, maps: Any) -> Any:
        """Maps (n, h, w, c) to the same shape."""
        rows = keras.ops.reshape(maps, (-1, maps.shape[-1]))
        return keras.ops.reshape(self._normalization.call(rows), keras.ops.shape(maps))


class _ConvolveGroups(keras.layers.Layer):  # type: ignore[misc]
    """A convolution in groups. Keras compiles it with XLA, because TensorFlow cannot run it on a CPU; converters read
    TensorFlow's own, and their runtimes can."""

    def __init__(self, convolution: keras.layers.Conv2D) -> None:
        super().__init__(name=convolution.name, dtype=convolution.dtype_policy)
        self._convolution = convolution

    def call(self, images: Any) -> Any:
        """Images (n, h, w, c) to (n, h', w', filters)."""
        layer = self._convolution
        outputs = self._convolve(images)
        return layer.activation(outputs if layer.bias is None else outputs + layer.bias)

    def _convolve(self, images: Any) -> Any:
        import tensorflow as tf

        layer = self._convolution
        return tf.nn.convolution(
            images, layer.kernel, strides=layer.strides, padding=layer.padding.upper(), dilations=layer.dilation_rate
        )

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> Any:
        """(n, h', w', filters)."""
        return self._convolution.compute_output_shape(shape)


class _ConvolveDepthwise(_ConvolveGroups):
    """A convolution with one group for each channel."""

    def _convolve(self, images: Any) -> Any:
        layer = self._convolution
        height, width, _, filters = layer.kernel.shape
        return keras.ops.depthwise_conv(
            images,
            keras.ops.reshape(layer.kernel, (height, width, layer.groups, filters // layer.groups)),
            strides=layer.strides,
            padding=layer.padding,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
        )
