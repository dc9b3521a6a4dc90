"""The model as Keras saves it; it opens with plain Keras."""

from pathlib import Path

import keras

__all__ = ["write_keras"]


def write_keras(shipped: keras.Model, path: Path) -> None:
    """Write `model.keras`."""
    shipped.save(path)
