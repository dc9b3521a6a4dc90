"""The model as TensorFlow's SavedModel, a folder that TensorFlow Serving and the LiteRT converter read."""

from pathlib import Path

import keras

__all__ = ["write_saved_model"]


def write_saved_model(shipped: keras.Model, path: Path) -> None:
    """Write the folder `saved_model`; its signature is `serving_default`: `image` to `probability`, any number."""
    import tensorflow as tf

    # Keras' own export stores every weight twice: as its variable, and as TensorFlow's below it.
    archive = tf.Module()
    archive.weights = [weight.value for weight in shipped.weights]
    archive.answer = tf.function(
        lambda image: {"probability": shipped(image, training=False)},
        input_signature=[tf.TensorSpec([None, *shipped.input_shape[1:]], tf.uint8, name="image")],
        autograph=False,
    )
    tf.saved_model.save(archive, str(path), signatures={"serving_default": archive.answer})
