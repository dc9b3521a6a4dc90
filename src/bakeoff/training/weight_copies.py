"""Copies of a model's weights kept beside it: the first, the best, and the moving average."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

__all__ = ["BestWeights", "MovingAverage", "StartingWeights"]


class MovingAverage:
    """Exponential moving average of all floating-point variables, batch statistics included (Polyak 1992).

    With decay 0 there is no copy and every method leaves the model as it is.
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        import tensorflow as tf

        self._decay = decay
        self._steps = 0
        self._variables = [v.value for v in model.variables if "float" in v.dtype] if decay else []
        self._copies = [tf.Variable(variable, trainable=False) for variable in self._variables]

    def next_decay(self) -> float:
        """The decay of the coming step: short at first, so that the start is forgotten."""
        self._steps += 1
        return min(self._decay, self._steps / (10 + self._steps))

    def update(self, decay: Any) -> None:
        """Move the copies towards the variables; called inside the compiled step."""
        for copy, variable in zip(self._copies, self._variables, strict=True):
            copy.assign_sub((copy - variable) * (1 - decay))

    @contextlib.contextmanager
    def swapped_in(self) -> Iterator[None]:
        """The model holds the average inside the block, and its own weights again after it."""
        own = [variable.numpy() for variable in self._variables]
        self.keep()
        try:
            yield
        finally:
            _assign(self._variables, own)

    def keep(self) -> None:
        """Give the average to the model for good."""
        _assign(self._variables, self._copies)

    def state(self) -> list[Any]:
        """The number of steps, and the average."""
        return [np.array(self._steps), *(copy.numpy() for copy in self._copies)]

    def set_state(self, arrays: Sequence[Any]) -> None:
        """Go on from such a state."""
        self._steps = int(arrays[0])
        _assign(self._copies, arrays[1:])


class StartingWeights:
    """The weights that a run began with, and how well they did: a run too short for its schedule may end below them."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._weights = model.get_weights()
        self.hits = 0
        """Validation images that they named rightly."""

    def restore(self) -> None:
        """Give the starting weights back to the model."""
        self._model.set_weights(self._weights)

    def state(self) -> list[Any]:
        """The hits, and the weights."""
        return [np.array(self.hits), *self._weights]

    def set_state(self, arrays: Sequence[Any]) -> None:
        """Go on from such a state."""
        self.hits, self._weights = int(arrays[0]), list(arrays[1:])


class BestWeights:
    """The weights with the best validation score so far, and how many looks ago that was."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._merit = float("-inf")
        self._weights: list[Any] = []
        self.stale = 0

    def look(self, merit: float) -> None:
        """Take the model's present weights if their merit is the highest yet."""
        self.stale += 1
        if merit > self._merit:
            self._merit, self._weights, self.stale = merit, self._model.get_weights(), 0

    def restore(self) -> None:
        """Give the best weights back to the model."""
        self._model.set_weights(self._weights)

    def state(self) -> list[Any]:
        """The best merit, the looks since, and the weights, if there are any yet."""
        return [np.array([self._merit, self.stale]), *self._weights]

    def set_state(self, arrays: Sequence[Any]) -> None:
        """Go on from such a state."""
        self._merit, self.stale, self._weights = float(arrays[0][0]), int(arrays[0][1]), list(arrays[1:])


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
