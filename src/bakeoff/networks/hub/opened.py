"""KerasHub's convolutional networks with layers of Keras alone, so that saved models open without KerasHub.

Some of its networks have layers of their own, which call Keras' layers in turn. Here what they call takes their place,
level by level. Blocks keep their names, and so do the layers in them.
"""

from collections.abc import Callable
from typing import Any

__all__ = ["open_layers"]


def open_layers(model: Any, *, copies: bool = False, symmetric: bool = False) -> Any:
    """The same network, sharing the weights of the layers of Keras.

    Args:
        model: A convolutional network of KerasHub: scaled images (n, h, w, 3) to a map, or to maps of which the last
            one counts.
        copies: Whether layers that have no counterpart in Keras are copied with their weights; else they are random.
        symmetric: Whether layers with strides pad both sides alike, as PyTorch does; Keras' `same` pads the last side
            more. KerasHub pads DenseNet as Keras does, also with weights that PyTorch has trained.

    Returns:
        A functional keras.Model from the images to the (last) map, (n, h', w', d).
    """
    import keras

    from bakeoff.networks.graph import run_graph

    visitor = _Visitor(copies, symmetric)
    while True:
        images = keras.Input(model.inputs[0].shape[1:], name="image")
        outputs = run_graph(model, images, visitor.visit)
        if isinstance(outputs, dict):
            outputs = list(outputs.values())[-1]
        model = keras.Model(images, outputs, name=model.name)
        visitor.symmetric = False
        if not any(map(_is_hubs, model.layers)):
            return model


class _Visitor:
    """What is called in place of each operation of a network."""

    def __init__(self, copies: bool, symmetric: bool) -> None:
        self._copies = copies
        self.symmetric = symmetric

    def visit(self, operation: Any) -> Callable[..., Any]:
        if type(operation).__name__ == "HGNetV2LearnableAffineBlock":
            return lambda x: self._scale(operation, x)
        if type(operation).__name__ == "Identity":
            # It does nothing, and KerasHub makes it in a way in which Keras cannot save it.
            return lambda x, **_: x
        if self.symmetric and _pads_one_side(operation):
            return lambda x: self._pad(operation, x)
        if type(operation).__name__ == "Pad":
            return lambda x, constant_values=None: _pad_finitely(operation, x, constant_values)
        called = operation.call if _is_hubs(operation) else operation

        def call(*args: Any, **kwargs: Any) -> Any:
            # Some pass it on, also to layers that do not take it. It is decided where the whole model is called.
            kwargs.pop("training", None)
            return called(*args, **kwargs)

        return call

    def _pad(self, layer: Any, x: Any) -> Any:
        """A convolution, or a pooling of numbers that are not negative, on a map with a border of zeros."""
        import keras

        height, width = getattr(layer, "kernel_size", None) or layer.pool_size
        pad = keras.layers.ZeroPadding2D(((height - 1) // 2, (width - 1) // 2), name=f"{layer.name}_pad")
        alone = type(layer).from_config({**layer.get_config(), "padding": "valid"})
        output = alone(pad(x))
        if self._copies:
            alone.set_weights(layer.get_weights())
        return output

    def _scale(self, block: Any, x: Any) -> Any:
        """One scale and one shift of a whole map, as a scale and a shift of each channel: Keras has no other layer."""
        import keras
        import numpy as np

        constant = keras.initializers.Constant
        layer = keras.layers.DepthwiseConv2D(
            1,
            depthwise_initializer=constant(block.scale_value),
            bias_initializer=constant(block.bias_value),
            dtype=block.dtype_policy,
            name=block.name,
        )
        output = layer(x)
        if self._copies:
            values = (block.scale, block.bias)
            full = zip(layer.weights, values, strict=True)
            numbers = [(weight.shape, keras.ops.convert_to_numpy(value)) for weight, value in full]
            layer.set_weights([np.full(shape, number, np.float32) for shape, number in numbers])
        return output


def _pad_finitely(operation: Any, x: Any, value: float | None) -> Any:
    """A border around a map. One of -inf before a maximum of windows becomes a mirrored one, which gives the same.

    A window that reaches over the edge by one pixel has the pixel that is mirrored as well. The infinity would be part
    of the map's range, from which the scale of 8 bits is made.
    """
    import keras

    wide = all(side is None or side > 1 for side in x.shape[1:3])
    if value == float("-inf") and wide and max(max(sides) for sides in operation.pad_width) == 1:
        return keras.ops.pad(x, operation.pad_width, mode="reflect")
    return operation(x, constant_values=value)


def _pads_one_side(operation: Any) -> bool:
    from keras import layers

    padded = isinstance(operation, (layers.Conv2D, layers.DepthwiseConv2D, layers.MaxPooling2D))
    return padded and operation.padding == "same" and max(operation.strides) > 1


def _is_hubs(operation: Any) -> bool:
    """Whether an operation is a layer of KerasHub's own."""
    return type(operation).__module__.partition(".")[0] == "keras_hub"
