"""Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): the parts of the last feature map that raised a class's score."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bakeoff.deploy.bundle import Floats, Images
from bakeoff.networks.fuse import fuse

__all__ = ["GradCam", "compile_grad_cam"]

GradCam = Callable[[Images, NDArray[np.int32]], Floats]
"""Images (n, side, side, 3) and a class of each -> how much each part raised its score, (n, rows, columns), >= 0."""

# A map of fewer rows or columns shows no place.
_LEAST_SIDE = 4


class _NoMapError(Exception):
    """The network has no feature map that the method is for."""


def compile_grad_cam(model: keras.Model) -> GradCam | None:
    """Compile Grad-CAM for a network.

    Args:
        model: uint8 images (n, side, side, 3) -> logits (n, classes).

    Returns:
        The function; None if the last feature map is smaller than 4x4, or if there is no single feature map that alone
        decides about the logits, as in a network of tokens.
    """
    import tensorflow as tf

    def compute(images: Any, labels: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            calls = _Calls(tape)
            logits = fuse(model, calls.note)(images, training=False)
            scores = tf.gather(logits, labels, batch_dims=1)
        feature_map = calls.find_last_map()
        slopes = tape.gradient(scores, feature_map)
        weights = tf.reduce_mean(slopes, axis=(1, 2), keepdims=True)
        return tf.nn.relu(tf.reduce_sum(weights * feature_map, axis=-1))

    # XLA stays off: its bilinear resize is wrong on CPUs in TF 2.21.
    graph = tf.function(
        compute,
        autograph=False,
        jit_compile=False,
        input_signature=[tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8), tf.TensorSpec([None], tf.int32)],
    )
    try:
        traced = graph.get_concrete_function()
    except _NoMapError:
        return None

    def run(images: Images, labels: NDArray[np.int32]) -> Floats:
        maps: Floats = traced(tf.constant(images), tf.constant(labels)).numpy().astype(np.float32)
        return maps

    return run


class _Calls:
    """The operations of a network in their order, while it is traced."""

    def __init__(self, tape: Any) -> None:
        self._tape = tape
        self._calls: list[tuple[list[Any], list[Any]]] = []
        """Inputs and outputs of each."""

    def note(self, inputs: list[Any], output: Any) -> None:
        """Note an operation, and watch its output, so that there is a gradient for it."""
        outputs = keras.tree.flatten(output)
        for tensor in outputs:
            if _is_map(tensor) and tensor.dtype.is_floating:
                self._tape.watch(tensor)
        self._calls.append((inputs, outputs))

    def find_last_map(self) -> Any:
        """The map that is pooled or flattened before the head. Raises _NoMapError if there is none to use."""
        last = max((place for place, (_, outputs) in enumerate(self._calls) if any(map(_is_map, outputs))), default=-1)
        after = self._calls[last + 1 :]
        # All are referenced, so an id stands for one tensor.
        pooled = {id(tensor): tensor for inputs, _ in after for tensor in inputs if _is_map(tensor)}
        has_tokens = any(len(tensor.shape) > 2 for _, outputs in after for tensor in outputs)
        if len(pooled) != 1 or has_tokens:
            raise _NoMapError
        (feature_map,) = pooled.values()
        if min(side or 0 for side in feature_map.shape[1:3]) < _LEAST_SIDE:
            raise _NoMapError
        return feature_map


def _is_map(tensor: Any) -> bool:
    """Whether a tensor is a feature map (n, rows, columns, channels)."""
    return len(getattr(tensor, "shape", ())) == 4
