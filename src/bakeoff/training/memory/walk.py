"""A network as the operations that it runs, and what each of them keeps for its gradient.

Only shapes are read, so that a network may be walked before it has any variable (`keras.StatelessScope`). The rules
follow Keras 3 on TensorFlow, where batch normalisation is made of elementary operations.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from bakeoff.networks.graph import run_graph

__all__ = ["GraphStep", "Tensor", "walk"]


@dataclass(frozen=True, eq=False)
class Tensor:
    """Numbers of one buffer, for one image; equal to itself alone."""

    numbers: int


@dataclass(frozen=True)
class GraphStep:
    """One operation and what its gradient reads again; nothing if there is no gradient to compute."""

    operation: Any
    inputs: tuple[Tensor, ...]
    output: Tensor
    kept: tuple[Tensor, ...]
    weights: tuple[tuple[int, ...], ...]
    """Shapes of its trainable weights."""
    has_gradient: bool
    """Whether it or an operation before it learns."""


# What the gradient of an activation reads: its input, its output, and intermediate results of their size.
_ACTIVATIONS = {
    "linear": (False, False, 0),
    "relu": (False, True, 0),
    "relu6": (False, True, 0),
    "sigmoid": (False, True, 0),
    "tanh": (False, True, 0),
    "softmax": (False, True, 0),
    "silu": (True, False, 0),
    "hard_sigmoid": (False, False, 1),
    "hard_silu": (True, False, 2),
    "gelu": (False, False, 3),
}
_NORMALISATIONS = (layers.BatchNormalization, layers.LayerNormalization)


def walk(model: keras.Model, side: int, *, half: bool = False) -> list[GraphStep]:
    """The operations of a functional model of images, in order, those of the models inside it included.

    At `half` precision a number is two bytes, and a normalisation keeps its input as float32: twice the numbers.
    """
    steps: list[GraphStep] = []
    # Keras' symbolic tensors are told apart by their id, so they are held until the end.
    buffers: dict[int, tuple[Any, Tensor]] = {}
    learning: set[Tensor] = set()

    def visit(operation: Any) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            symbols_in = _list_symbols((args, kwargs))
            if _is_composite(operation):
                return run_graph(_open(operation, args, kwargs), symbols_in, visit, inner=True)
            symbol = operation.compute_output_spec(*args, **kwargs)
            inputs = [buffers[id(each)][1] for each in symbols_in]
            if _is_view(operation):
                buffers[id(symbol)] = symbol, inputs[0]
                return symbol
            symbols = _list_symbols(symbol)
            # Of an operation that splits a tensor, all parts count as one.
            output = Tensor(sum(math.prod(each.shape) for each in symbols))
            buffers.update({id(each): (each, output) for each in symbols})
            weights = tuple(tuple(weight.shape) for weight in getattr(operation, "trainable_weights", ()))
            flows = any(each in learning for each in inputs)
            if flows or weights:
                learning.add(output)
            if isinstance(operation, layers.MultiHeadAttention):
                inside = Tensor(_attention_numbers(operation, args, kwargs))
                kept = [*inputs, inside] if flows or weights else []
                # What is computed in it is alive when its output is.
                steps.append(GraphStep(operation, tuple(inputs), inside, tuple(kept), (), flows or bool(weights)))
                inputs = [inside]
            kept = _kept(operation, inputs, output, learns=bool(weights), flows=flows)
            if half and isinstance(operation, _NORMALISATIONS):
                kept = [Tensor(2 * each.numbers) for each in kept]
            steps.append(GraphStep(operation, tuple(inputs), output, tuple(kept), weights, flows or bool(weights)))
            return symbol

        return call

    images = keras.KerasTensor((1, side, side, 3), model.inputs[0].dtype)
    buffers[id(images)] = images, Tensor(math.prod(images.shape))
    run_graph(model, images, visit, inner=True)
    return steps


def _list_symbols(nested: Any) -> list[Any]:
    """The symbolic tensors among the arguments or the outputs of an operation."""
    return [each for each in keras.tree.flatten(nested) if isinstance(each, keras.KerasTensor)]


def _is_composite(operation: Any) -> bool:
    """Whether an operation is a layer that calls further layers, which only KerasHub's do."""
    return type(operation).__module__.startswith("keras_hub.")


def _open(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> keras.Model:
    """What a layer calls with these arguments, as a model of one image; its inputs are the tensors among them."""

    def as_input(each: Any) -> Any:
        return keras.Input(batch_shape=each.shape, dtype=each.dtype) if isinstance(each, keras.KerasTensor) else each

    args, kwargs = keras.tree.map_structure(as_input, (args, kwargs))
    return keras.Model(_list_symbols((args, kwargs)), layer.call(*args, **kwargs))


def _attention_numbers(attention: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Queries, keys, values, their mixture, and the scores of each head before and after the softmax."""
    given = dict(zip(("query", "value"), args, strict=False)) | kwargs
    # A class derived from it may have one input, of another name.
    query = given.get("query", _list_symbols((args, kwargs))[0])
    queries, keys = (int(math.prod(each.shape[1:-1])) for each in (query, given.get("value", query)))
    heads: int = attention.num_heads * attention.key_dim
    scores: int = attention.num_heads * queries * keys
    return 2 * queries * heads + 2 * keys * heads + 2 * scores


def _is_view(operation: Any) -> bool:
    """Whether the output is the input's buffer."""
    match operation:
        case layers.Flatten() | layers.Reshape() | layers.Identity():
            return True
        case layers.Activation():
            return operation.activation is keras.activations.linear
        case layers.Dropout():
            return not operation.rate
    return False


def _kept(operation: Any, inputs: list[Tensor], output: Tensor, *, learns: bool, flows: bool) -> list[Tensor]:
    """What the gradients of the weights (if it `learns`) and of the inputs (if one `flows` on) read again."""
    if not (learns or flows):
        return []
    match operation:
        case (
            layers.Conv2D()
            | layers.DepthwiseConv2D()
            | layers.SeparableConv2D()
            | layers.Dense()
            | layers.EinsumDense()
        ):
            kept = [*inputs] if learns else []
            if isinstance(operation, layers.SeparableConv2D) and learns:
                channels = math.prod(operation.depthwise_kernel.shape[2:])
                kept.append(Tensor(output.numbers // operation.filters * channels))  # between its two convolutions
            return kept + _kept_by_activation(operation.activation, Tensor(output.numbers), output)
        case layers.Activation():
            return _kept_by_activation(operation.activation, inputs[0], output)
        case layers.ReLU():
            return [output]
        case layers.MaxPooling2D():
            return [*inputs, output]
        case layers.LayerNormalization():
            # The reciprocal deviation times gamma is as large as the input.
            return [*inputs, Tensor(output.numbers)]
        case layers.Multiply():
            return [*inputs]
        case layers.Dropout():
            # One byte for each number; one number for each image if whole branches are dropped.
            return [Tensor(1 if operation.noise_shape else output.numbers // 4)]
    return [*inputs] if learns else []


def _kept_by_activation(function: Any, taken: Tensor, output: Tensor) -> list[Tensor]:
    keeps_input, keeps_output, intermediates = _ACTIVATIONS.get(getattr(function, "__name__", ""), (True, False, 0))
    kept = [Tensor(output.numbers) for _ in range(intermediates)]
    return kept + [taken] * keeps_input + [output] * keeps_output
