"""The trained network computed in float32: a run under mixed precision has float32 weights, but 16-bit operations."""

import keras

from bakeoff.networks.find import find_network, require_known
from bakeoff.networks.model import build_network
from bakeoff.runs.config import Precision, Run

__all__ = ["build_in_float32"]


def build_in_float32(model: keras.Model, run: Run) -> keras.Model:
    """Build the network of a run again under float32, with the weights that the run trained.

    Args:
        model: The trained network, of any precision: uint8 images (n, side, side, 3) -> logits (n, classes).
        run: The config that it was trained by.

    Returns:
        The network; `model` itself if the run computes in float32.
    """
    if run.train.precision is Precision.FLOAT32:
        return model
    require_known(run.model.name, "the run's record")
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(Precision.FLOAT32.value)
    try:
        spec, (_, side, *_), (_, classes) = find_network(run.model.name), model.input_shape, model.output_shape
        network = build_network(spec, run.model, side=side, classes=classes)
        network.copy_weights(model, run.model.size)
        return network.model(run.model.size)
    finally:
        keras.config.set_dtype_policy(policy)
