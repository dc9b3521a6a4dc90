"""Write the model in the Keras format; plain Keras opens it."""

from pathlib import Path

import keras

__all__ = ["write_keras"]


def write_keras(model: keras.Model, path: Path) -> None:
    """Write `model.keras`."""
    model.save(path)
