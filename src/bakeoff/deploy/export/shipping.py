"""The model that is shipped: the run's own, with what evaluation does to its logits inside."""

from typing import Any

import keras
import numpy as np

__all__ = ["make_shipped"]


def make_shipped(model: keras.Model, *, flip: bool, temperature: float) -> keras.Model:
    """uint8 images (n, side, side, 3) -> probabilities (n, classes), float32; only Keras' own layers and operations.

    With `flip`, the logits are the log of the mean of the probabilities of the image and its mirror image, as
    `predict_logits` has them. A temperature leaves the order of the classes as it is.
    """
    # The wrapper pins inference mode: Keras' image layers would otherwise carry training mode into an export.
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
