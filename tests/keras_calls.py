"""Calls of Keras' own methods, as tests make them to compare with."""

from typing import Any

__all__ = ["without_xla"]


def without_xla(model: Any) -> Any:
    """The model; its `predict`, `fit` and the like are no longer compiled by XLA.

    For a network of many layers that takes seconds. bakeoff never calls these methods, and compiles without XLA.
    """
    model.jit_compile = False
    return model
