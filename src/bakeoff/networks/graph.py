"""The operations of a Keras model one by one, in order, and the layers inside layers: the only place that calls private
methods of Keras.
"""

from collections.abc import Callable
from typing import Any

import keras

__all__ = ["list_inner", "run_graph"]


def list_inner(layer: keras.layers.Layer, *, all_levels: bool = False) -> list[keras.layers.Layer]:
    """The layers directly inside a layer or a model, in the order in which they were made; or those inside them, too.

    `Layer._flatten_layers` has no public counterpart in Keras 3.15: only models have `layers`.
    """
    inner: list[keras.layers.Layer] = layer._flatten_layers(include_self=False, recursive=all_levels)
    return inner


def run_graph(
    model: keras.Model, inputs: Any, visit: Callable[[Any], Callable[..., Any]], *, inner: bool = False
) -> Any:
    """Call every operation of a model and return the model's outputs.

    `Function._run_through_graph` has no public counterpart in Keras 3.15: `call` runs the layers as they are, and
    `keras.models.clone_model` copies weights. tests/test_graph.py checks that the installed Keras has it.

    Args:
        model: A functional or a sequential model.
        inputs: What it is called with: arrays or symbolic tensors; one, a list, or a dict.
        visit: Called with each operation (a layer, a model inside the model, an operation of `keras.ops`). It returns
            the function to call in its place.
        inner: Whether the operations of models inside are visited too, instead of these models.
    """

    def enter(operation: Any) -> Callable[..., Any]:
        if not (inner and _computes_its_graph(operation)):
            return visit(operation)
        return lambda *args, **kwargs: run_graph(operation, args[0] if args else kwargs["inputs"], visit, inner=True)

    if isinstance(model, keras.Sequential):
        (x,) = keras.tree.flatten(inputs)
        for layer in model.layers:
            x = enter(layer)(x)
        return x
    if isinstance(inputs, dict) and not isinstance(model.input, dict):
        # Keras takes a dict of the names of the inputs as well.
        inputs = [inputs[each.name] for each in model.inputs]
    return model._run_through_graph(inputs, enter)


def _computes_its_graph(operation: Any) -> bool:
    """Whether an operation is a model that only calls its operations: a user's class may have a `call` of its own."""
    if not isinstance(operation, keras.Model):
        return False
    called = next(kind for kind in type(operation).__mro__ if "call" in vars(kind))
    return called.__module__.partition(".")[0] == "keras"
