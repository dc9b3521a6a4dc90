"""A functional model's own weights and mathematics in fewer and faster operations, for every pass through it.

The model itself stays as Keras made it, so what is saved needs nothing of this. docs/speed.md has what it gains:

- a batch normalisation in inference mode is multiplied into the convolution before it (Jacob et al., arXiv 1712.05877,
  section 3.2), which spares a pass over the map forward and another backward;
- a 1x1 convolution is a matrix product;
- other normalisations and depthwise convolutions go by the operations of `kernels.py`.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import layers

from bakeoff.networks.graph import run_graph
from bakeoff.networks.kernels import depthwise_convolve, normalise, normalise_and_learn

__all__ = ["fuse"]

_ELEMENTWISE = (layers.ReLU, layers.Activation)


class _Convolved(NamedTuple):
    """How a map came about: what to do again with another kernel and bias."""

    layer: Any
    inputs: Any
    output: Any


class _Flat(NamedTuple):
    """A map (n, h, w, c) and the matrix (n * h * w, c) that it is a view of."""

    matrix: Any
    output: Any


def fuse(model: keras.Model) -> Callable[..., Any]:
    """The model as a function of (images, training), to be called inside a `tf.function`.

    Equal to calling the model but for rounding.
    """

    def call(images: Any, training: bool) -> Any:
        return _Pass(training).run(model, images)

    return call


class _Pass:
    """One trace of a model. Results are found again by identity, so they are held until the end."""

    def __init__(self, training: bool) -> None:
        self._training = training
        self._convolved: dict[int, _Convolved] = {}
        self._flat: dict[int, _Flat] = {}

    def run(self, model: keras.Model, *inputs: Any) -> Any:
        return run_graph(model, inputs, self._visit)

    def _visit(self, operation: Any) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if isinstance(operation, keras.Model):
                return self.run(operation, *args)
            if _is_convolution(operation):
                output = self._convolve(operation, args[0], _kernel(operation), operation.bias)
                self._convolved[id(output)] = _Convolved(operation, args[0], output)
                return output
            if id(args[0]) in self._convolved and self._is_fixed_norm(operation):
                return self._fold(self._convolved[id(args[0])], operation)
            if _is_batch_norm_of_maps(operation, args[0]):
                learns = self._training and operation.trainable
                return normalise_and_learn(operation, args[0]) if learns else normalise(operation, args[0])
            if isinstance(operation, _ELEMENTWISE) and id(args[0]) in self._flat:
                return self._shape(operation(self._flat[id(args[0])].matrix), args[0])
            if "training" in inspect.signature(operation.call).parameters:
                kwargs["training"] = self._training
            return operation(*args, **kwargs)

        return call

    def _is_fixed_norm(self, operation: Any) -> bool:
        is_norm = isinstance(operation, layers.BatchNormalization)
        return is_norm and not (self._training and operation.trainable)

    def _fold(self, convolved: _Convolved, norm: layers.BatchNormalization) -> Any:
        """The convolution with the normalisation multiplied into it; what came before is not computed any more."""
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
            x = depthwise_convolve(layer, x, keras.ops.cast(layer.depthwise_kernel, dtype))
        if isinstance(layer, layers.DepthwiseConv2D):
            output = depthwise_convolve(layer, x, kernel)
        elif _is_pointwise(layer):
            matrix = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), tf.reshape(kernel, kernel.shape[2:]))
            if bias is not None:
                matrix = tf.nn.bias_add(matrix, keras.ops.cast(bias, dtype))
            return self._shape(matrix, x)
        else:
            output = layer.convolution_op(x, kernel)
        return output if bias is None else tf.nn.bias_add(output, keras.ops.cast(bias, dtype))

    def _shape(self, matrix: Any, like: Any) -> Any:
        """The matrix as a map with the places of another."""
        import tensorflow as tf

        output = tf.reshape(matrix, [tf.shape(like)[0], *like.shape[1:3], matrix.shape[-1]])
        self._flat[id(output)] = _Flat(matrix, output)
        return output


def _is_convolution(operation: Any) -> bool:
    """Whether its output is all that it computes, and is computed here as well."""
    match operation:
        case layers.SeparableConv2D() | layers.DepthwiseConv2D() | layers.Conv2D(groups=1):
            is_linear = operation.activation is keras.activations.linear
            return is_linear and operation.data_format == "channels_last"
    return False


def _is_batch_norm_of_maps(operation: Any, x: Any) -> bool:
    if not isinstance(operation, layers.BatchNormalization) or operation.renorm or operation.synchronized:
        return False
    return len(x.shape) == 4 and operation.axis in (-1, 3)


def _is_pointwise(layer: Any) -> bool:
    if isinstance(layer, layers.SeparableConv2D):
        return True
    return tuple(layer.kernel_size) == tuple(layer.strides) == (1, 1)


def _kernel(layer: Any) -> Any:
    """The kernel that is applied last, whose outputs are the layer's."""
    return layer.pointwise_kernel if isinstance(layer, layers.SeparableConv2D) else layer.kernel
