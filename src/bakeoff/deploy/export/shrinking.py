"""Antialiased resizing as matrix products: converters to ONNX and LiteRT do not know TensorFlow's operation for it."""

from typing import Any

import keras
import numpy as np

__all__ = ["replace_shrinking"]


def replace_shrinking(model: keras.Model) -> keras.Model:
    """A model of the same layers and weights, in which matrix products make large images smaller.

    A model that makes no image smaller is returned as it is.
    """

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        return _Shrink(layer) if _shrinks(layer) else layer

    inner = [layer for part in model.layers for layer in (part, *getattr(part, "layers", ()))]
    if not any(map(_shrinks, inner)):
        return model
    return keras.models.clone_model(model, clone_function=replace, recursive=True)


def _shrinks(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.Resizing) and bool(layer.antialias)


class _Shrink(keras.layers.Layer):  # type: ignore[misc]
    """Does what a square Resizing layer does, which is linear along each axis."""

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
