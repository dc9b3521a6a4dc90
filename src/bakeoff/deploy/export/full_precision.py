"""The trained network computed in float32: a run under mixed precision has float32 weights, but 16-bit operations."""

import keras

from bakeoff.networks.model import build_network
from bakeoff.networks.table import find_network
from bakeoff.runs.config import Model, Precision

__all__ = ["build_in_float32"]


def build_in_float32(model: keras.Model, config: Model, classes: int) -> keras.Model:
    """Build the network of a run again under float32, with the weights that the run trained.

    Args:
        model: The trained network, of any precision: uint8 images (n, side, side, 3) -> logits (n, classes).
        config: Its name and input size.
        classes: Number of logits.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(Precision.FLOAT32.value)
    try:
        network = build_network(find_network(config.name), config, side=model.input_shape[1], classes=classes)
        network.copy_weights(model, config.size)
        return network.model(config.size)
    finally:
        keras.config.set_dtype_policy(policy)
