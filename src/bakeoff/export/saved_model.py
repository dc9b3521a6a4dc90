"""The model as TensorFlow's SavedModel, a folder that TensorFlow Serving and the LiteRT converter read."""

import contextlib
import sys
from pathlib import Path

import keras

__all__ = ["write_saved_model"]


def write_saved_model(shipped: keras.Model, path: Path) -> None:
    """Write the folder `saved_model`; its signature is `serving_default`, for any number of images."""
    # Keras reports the export on standard output, which is not the place for it.
    with contextlib.redirect_stdout(sys.stderr):
        shipped.export(path, format="tf_saved_model", verbose=False)
