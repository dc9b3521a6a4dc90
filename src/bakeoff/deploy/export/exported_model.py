"""The exported model: the trained network with all steps of evaluation as layers, from pixels to probabilities."""

from typing import Any

import keras
import numpy as np

__all__ = ["build_exported_model"]


def build_exported_model(model: keras.Model, *, flip: bool, temperature: float) -> keras.Model:
    """Build the exported model. It consists only of Keras' own layers and operations.

    Args:
        model: The trained network: uint8 images (n, side, side, 3) -> logits (n, classes).
        flip: Average the probabilities of the image and its mirror image, as `predict_logits` does.
        temperature: The logits are divided by it, which does not change the order of the classes.

    Returns:
        uint8 images (n, side, side, 3) -> probabilities (n, classes), float32.
    """
    # `training=False` is fixed here because Keras' image layers would otherwise export their training mode.
    images = keras.Input(model.input_shape[1:], dtype="uint8", name="image")
    logits = model(images, training=False)
    if flip:
        mirrored = model(keras.ops.flip(images, axis=2), training=False)
        logits = _log_mean(logits, mirrored)
    scaled = keras.layers.Rescaling(1 / temperature, dtype="float32", name="temperature")(logits)
    probabilities = keras.layers.Softmax(dtype="float32", name="probability")(scaled)
    return keras.Model(images, probabilities, name=model.name)


def _log_mean(logits: Any, mirrored: Any) -> Any:
    softmax = keras.layers.Softmax(dtype="float32", name="softmax")
    mean = keras.layers.Average(dtype="float32", name="mean_of_mirrored")([softmax(logits), softmax(mirrored)])
    return keras.ops.log(mean + float(np.finfo(np.float32).tiny))
