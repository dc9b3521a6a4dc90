"""Calls a functional model with fewer and faster operations, on the same weights and with the same results.

The model stays as Keras made it, so a saved model does not depend on this module. docs/why/speed.md has the
measurements.

- A batch normalisation in inference mode is folded into the convolution before it (Jacob et al. 2018, arXiv
  1712.05877, section 3.2). This saves one pass over the feature map forward and one backward.
- A 1x1 convolution is computed as a matrix product.
- Other batch normalisations and depthwise convolutions use the operations of `kernels.py`. A convolution with a group
  for each channel (ConvNeXt) is one of them; Keras compiles it with XLA, which takes time and memory.

Only layers of Keras' own classes are replaced. A class derived from one of them may compute something else, so its
layers are called as they are.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import layers

from bakeoff.networks.graph import run_graph
from bakeoff.networks.kernels import batch_norm_inference, batch_norm_training, depthwise_conv

__all__ = ["OnCall", "fuse"]

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)

OnCall = Callable[[list[Any], Any], None]
"""Called with the arguments of an operation, its input tensors among them, and its output."""


class _ConvolvedMap(NamedTuple):
    """The output of a convolution, with what is needed to compute it again with another kernel and bias."""

    layer: Any
    inputs: Any
    output: Any


class _FlatMap(NamedTuple):
    """A feature map (n, h, w, c) and the matrix (n * h * w, c) of which it is a reshaped view."""

    matrix: Any
    output: Any


def fuse(model: keras.Model, on_call: OnCall = lambda _inputs, _output: None) -> Callable[..., Any]:
    """Make a function of (images, training) that computes what `model(images, training=training)` does.

    Call it inside a `tf.function`. Results are equal up to rounding.

    Args:
        model: The model.
        on_call: Called while the function is traced, after each operation, in order, those of models inside too.
    """

    def call(images: Any, training: bool) -> Any:
        return _Pass(training, on_call).run(model, images)

    return call


class _Pass:
    """One trace through a model. Outputs are looked up by their `id`, so all are referenced until the end."""

    def __init__(self, training: bool, on_call: OnCall) -> None:
        self._training = training
        self._on_call = on_call
        self._convolved: dict[int, _ConvolvedMap] = {}
        self._flat: dict[int, _FlatMap] = {}

    def run(self, model: keras.Model, images: Any) -> Any:
        return run_graph(model, images, self._visit, inner=True)

    def _visit(self, operation: Any) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            given = keras.tree.flatten((args, kwargs))
            tensors = [each for each in given if keras.ops.is_tensor(each)]
            # With a second tensor, a mask, Keras computes something else.
            output = self._replace(operation, tensors[0]) if len(tensors) == 1 else None
            if output is None:
                output = self._call(operation, args, kwargs)
            self._on_call(given, output)
            return output

        return call

    def _call(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if isinstance(operation, layers.Layer):
            # Also where its own call does not name it: Keras hands it on to the layers inside.
            kwargs["training"] = self._training
        return operation(*args, **kwargs)

    def _replace(self, operation: Any, x: Any) -> Any:
        """What an operation computes, by faster ones; None if there are none."""
        if _is_convolution(operation):
            output = self._convolve(operation, x, _kernel(operation), operation.bias)
            self._convolved[id(output)] = _ConvolvedMap(operation, x, output)
            return output
        if _is_batch_norm_of_channels(operation, x):
            if not (self._training and operation.trainable):
                convolved = self._convolved.get(id(x))
                return self._fold(convolved, operation) if convolved else batch_norm_inference(operation, x)
            return None if operation.renorm or operation.synchronized else batch_norm_training(operation, x)
        if id(x) in self._flat and _is_elementwise(operation):
            return self._to_map(operation(self._flat[id(x)].matrix), x)
        return None

    def _fold(self, convolved: _ConvolvedMap, norm: layers.BatchNormalization) -> Any:
        """The convolution with the normalisation folded into its kernel and bias.

        The plain convolution was traced before. TensorFlow prunes it from the graph if nothing else reads it.
        """
        layer = convolved.layer
        scale = keras.ops.rsqrt(norm.moving_variance + norm.epsilon)
        if norm.scale:
            scale = scale * norm.gamma
        shift = 0.0 if layer.bias is None else layer.bias
        bias = (shift - norm.moving_mean) * scale
        if norm.center:
            bias = bias + norm.beta
        kernel = _kernel(layer)
        if isinstance(layer, layers.DepthwiseConv2D):
            scale = keras.ops.reshape(scale, kernel.shape[2:])
        return self._convolve(layer, convolved.inputs, kernel * scale, bias)

    def _convolve(self, layer: Any, x: Any, kernel: Any, bias: Any) -> Any:
        import tensorflow as tf

        dtype = layer.compute_dtype
        x, kernel = keras.ops.cast(x, dtype), keras.ops.cast(kernel, dtype)
        if isinstance(layer, layers.SeparableConv2D):
            x = depthwise_conv(layer, x, keras.ops.cast(layer.depthwise_kernel, dtype))
        if isinstance(layer, layers.DepthwiseConv2D):
            output = depthwise_conv(layer, x, kernel)
        elif _is_grouped_by_channel(layer):
            height, width, _, filters = kernel.shape
            by_channel = tf.reshape(kernel, [height, width, layer.groups, filters // layer.groups])
            output = depthwise_conv(layer, x, by_channel)
        elif _is_pointwise(layer):
            matrix = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), tf.reshape(kernel, kernel.shape[2:]))
            if bias is not None:
                matrix = tf.nn.bias_add(matrix, keras.ops.cast(bias, dtype))
            return self._to_map(matrix, x)
        else:
            output = layer.convolution_op(x, kernel)
        return output if bias is None else tf.nn.bias_add(output, keras.ops.cast(bias, dtype))

    def _to_map(self, matrix: Any, like: Any) -> Any:
        """The matrix (n * h * w, c) as a map (n, h, w, c) with the height and width of `like`."""
        import tensorflow as tf

        output = tf.reshape(matrix, [tf.shape(like)[0], *like.shape[1:3], matrix.shape[-1]])
        self._flat[id(output)] = _FlatMap(matrix, output)
        return output


def _is_convolution(operation: Any) -> bool:
    """Whether the operation is a convolution that `_convolve` supports, without an activation."""
    if type(operation) not in _CONVOLUTIONS:
        return False
    if type(operation) is layers.Conv2D and operation.groups > 1 and not _is_grouped_by_channel(operation):
        return False
    return operation.activation is keras.activations.linear and operation.data_format == "channels_last"


def _is_grouped_by_channel(layer: Any) -> bool:
    """Whether each channel of the input has a group of its own: a depthwise convolution, written as another layer."""
    return isinstance(layer, layers.Conv2D) and layer.groups > 1 and layer.kernel.shape[2] == 1


def _is_batch_norm_of_channels(operation: Any, x: Any) -> bool:
    return type(operation) is layers.BatchNormalization and len(x.shape) == 4 and operation.axis in (-1, 3)


def _is_elementwise(operation: Any) -> bool:
    """Whether the operation is an activation that reads no two positions together, as a user's own function may."""
    if type(operation) is layers.Activation:
        name = getattr(operation.activation, "__name__", "")
        return getattr(keras.activations, name, None) is operation.activation
    return type(operation) is layers.ReLU


def _is_pointwise(layer: Any) -> bool:
    if isinstance(layer, layers.SeparableConv2D):
        return True
    return tuple(layer.kernel_size) == tuple(layer.strides) == (1, 1)


def _kernel(layer: Any) -> Any:
    """The kernel that produces the layer's output channels: of a separable convolution, the pointwise one."""
    return layer.pointwise_kernel if isinstance(layer, layers.SeparableConv2D) else layer.kernel
