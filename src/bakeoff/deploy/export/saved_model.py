"""Write the model as a SavedModel, the folder that TensorFlow Serving and the LiteRT converter read."""

from pathlib import Path

import keras

__all__ = ["write_saved_model"]


def write_saved_model(model: keras.Model, path: Path) -> None:
    """Write the folder `saved_model`. Its signature `serving_default` maps `image` to `probability`, for any n."""
    import tensorflow as tf

    # Keras' export stores every weight twice: as the Keras variable, and as the TensorFlow variable inside it.
    archive = tf.Module()
    archive.weights = [weight.value for weight in model.weights]
    archive.predict = tf.function(
        lambda image: {"probability": model(image, training=False)},
        input_signature=[tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8, name="image")],
        autograph=False,
    )
    tf.saved_model.save(archive, str(path), signatures={"serving_default": archive.predict})
