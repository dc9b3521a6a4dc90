"""Operations of TensorFlow that LiteRT does not have, written with those that it has.

They can be anywhere in a network, also inside layers that are not Keras' own: Swin moves its windows with `roll`.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["known_operations"]

_roll = tf.roll


@contextlib.contextmanager
def known_operations() -> Iterator[None]:
    """For the block, let TensorFlow, and Keras with it, trace networks with operations that LiteRT has."""
    tf.roll = _roll_by_slices
    try:
        yield
    finally:
        tf.roll = _roll


def _roll_by_slices(input: Any, shift: Any, axis: Any, name: str | None = None) -> Any:  # noqa: A002
    """What `tf.roll` does, as one concatenation of two slices for each axis. Arguments are those of `tf.roll`."""
    if tf.is_tensor(shift) or tf.is_tensor(axis):
        return _roll(input, shift, axis, name)
    shifts: Sequence[int] = np.atleast_1d(shift).tolist()
    axes: Sequence[int] = np.atleast_1d(axis).tolist()
    for steps, along in zip(shifts, axes, strict=True):
        length = input.shape[along]
        if length is None:
            input = _roll(input, steps, along)  # noqa: A001
        elif first := -steps % length:
            input = tf.concat(tf.split(input, [first, length - first], along)[::-1], along)  # noqa: A001
    return input
