"""Copies of a model's weights: the moving average, the best and the starting weights."""

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from bakeoff.cache import mark_used
from bakeoff.files import cache_dir, hash_json, read_json, write_json

__all__ = ["BestWeights", "MovingAverage", "StartingWeights"]


class MovingAverage:
    """Exponential moving average (EMA) of all floating-point variables, batch statistics included.

    Averaging the iterates of stochastic gradient descent: Polyak & Juditsky 1992. With decay 0 there is no average, and
    every method leaves the model unchanged.
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        import tensorflow as tf

        self._decay = decay
        self._steps = 0
        self._variables = [v.value for v in model.variables if "float" in v.dtype] if decay else []
        self._averages = [tf.Variable(variable, trainable=False) for variable in self._variables]

    def next_decay(self) -> float:
        """Count a step and return its decay, which rises to the configured one so that the start is forgotten."""
        self._steps += 1
        return min(self._decay, self._steps / (10 + self._steps))

    def update(self, decay: Any) -> None:
        """Move the average towards the model's variables; called inside the compiled step."""
        share = 1 - decay
        for average, variable in zip(self._averages, self._variables, strict=True):
            average.assign_sub((average - variable) * share)

    @contextlib.contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Put the average into the model for the duration of the block."""
        weights = [variable.numpy() for variable in self._variables]
        self.copy_to_model()
        try:
            yield
        finally:
            _assign(self._variables, weights)

    def copy_to_model(self) -> None:
        """Replace the model's variables by their average."""
        _assign(self._variables, self._averages)

    def state(self) -> list[Any]:
        """The number of steps, and the averages."""
        return [np.array(self._steps), *(average.numpy() for average in self._averages)]

    def set_state(self, arrays: Sequence[Any]) -> None:
        """Restore a state."""
        self._steps = int(arrays[0])
        _assign(self._averages, arrays[1:])


class StartingWeights:
    """The weights that training starts from, and their score: a run that is too short may end with worse weights."""

    def __init__(self, model: keras.Model, images: int) -> None:
        """Take the present weights of a model, which are scored on so many images."""
        self._model, self._images = model, images
        self._weights = model.get_weights()
        self.merit = 0.0
        """Their score on validation images; more is better."""

    def score(self, images: Sequence[Any], measure: Callable[[], float], *, cached: bool = True) -> None:
        """Set `merit`: measured, or read from the cache if these weights have been scored on these images before.

        Args:
            images: What the score depends on besides the model: the metric, the images, and the precision.
            measure: Scores the model.
            cached: Whether a score from the cache will do.
        """
        digest = hashlib.sha256()
        for array in self._weights:
            digest.update(np.ascontiguousarray(array).data)
        key = hash_json([self._model.name, digest.hexdigest(), *images])
        path = cache_dir() / "features" / f"{key[:32]}-start.json"
        try:
            known = float(read_json(path)["merit"])
        except (OSError, ValueError, TypeError, KeyError):  # missing or damaged
            known = None
        if known is None or not cached:
            self.merit = measure()
            if math.isfinite(self.merit):  # else the metric is not defined on these images
                write_json(path, {"merit": self.merit})
        else:
            self.merit = known
            mark_used(path)

    def restore(self) -> None:
        """Put the starting weights back into the model."""
        self._model.set_weights(self._weights)

    def state(self) -> list[Any]:
        """The score, and the weights."""
        return [np.array(self.merit), *self._weights]

    def set_state(self, arrays: Sequence[Any]) -> None:
        """Restore a state."""
        merit, *self._weights = arrays
        # Earlier versions stored the number of images that were classified correctly.
        self.merit = int(merit) / self._images if merit.dtype.kind in "iu" else float(merit)


class BestWeights:
    """The weights with the best validation score so far, for early stopping."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._score = float("-inf")
        self._weights: list[Any] = []
        self.evaluations_without_improvement = 0

    def update(self, score: float) -> None:
        """Store the model's weights if their score is the highest so far."""
        self.evaluations_without_improvement += 1
        if score > self._score:
            self._score, self._weights = score, self._model.get_weights()
            self.evaluations_without_improvement = 0

    def restore(self) -> None:
        """Put the best weights back into the model."""
        self._model.set_weights(self._weights)

    def state(self) -> list[Any]:
        """The best score and the evaluations since then in one array, and the weights, if there are any yet."""
        return [np.array([self._score, self.evaluations_without_improvement]), *self._weights]

    def set_state(self, arrays: Sequence[Any]) -> None:
        """Restore a state."""
        score, evaluations = arrays[0]
        self._score, self.evaluations_without_improvement = float(score), int(evaluations)
        self._weights = list(arrays[1:])


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
