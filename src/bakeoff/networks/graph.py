"""The operations of a Keras model one by one, in order, and the layers inside layers: the only place that calls private
methods of Keras.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

__all__ = ["list_inner", "run_graph"]


def list_inner(layer: keras.layers.Layer, *, all_levels: bool = False) -> list[keras.layers.Layer]:
    """The layers directly inside a layer or a model, in the order in which they were made; or those inside them, too.

    `Layer._flatten_layers` has no public counterpart in Keras 3.15: only models have `layers`.
    """
    inner: list[keras.layers.Layer] = layer._flatten_layers(include_self=False, recursive=all_levels)
    return inner


def run_graph(model: keras.Model, inputs: Sequence[Any], visit: Callable[[Any], Callable[..., Any]]) -> Any:
    """Call every operation of a model and return the model's outputs.

    `Function._run_through_graph` has no public counterpart in Keras 3.15: `call` runs the layers as they are, and
    `keras.models.clone_model` copies weights. tests/test_graph.py checks that the installed Keras has it.

    Args:
        model: A functional or a sequential model.
        inputs: Its inputs, arrays or symbolic tensors.
        visit: Called with each operation (a layer, a model inside the model, an operation of `keras.ops`). It returns
            the function to call in its place.
    """
    if isinstance(model, keras.Sequential):
        (x,) = inputs
        for layer in model.layers:
            x = visit(layer)(x)
        return x
    return model._run_through_graph(inputs, visit)
