"""Three small convolutional networks of the LeNet family, trained from scratch on small images.

Each builder returns a keras.Model from scaled float32 images (n, h, w, 3) to flat features (n, d). `model.py` adds the
classifier. This module imports Keras, so it is imported only when such a network is built.
"""

from typing import Any

import keras
from keras import layers

__all__ = ["build_cnn_custom", "build_cnn_small", "build_lenet"]


def build_lenet(input_shape: tuple[int, int, int]) -> Any:
    """Two convolutions and two dense layers, after LeNet-5 (LeCun et al. 1998) but with ReLU. d = 200."""
    stack = [
        layers.Conv2D(32, 3, activation="relu", name="conv1"),
        layers.MaxPooling2D(2, name="pool1"),
        layers.Conv2D(32, 3, activation="relu", name="conv2"),
        layers.MaxPooling2D(2, name="pool2"),
        layers.Flatten(name="flatten"),
        layers.Dense(512, activation="relu", name="dense1"),
        layers.Dense(200, activation="relu", name="dense2"),
    ]
    return _chain("lenet", input_shape, stack)


def build_cnn_small(input_shape: tuple[int, int, int]) -> Any:
    """Three 3x3 convolutions and one dense layer. d = 64."""
    stack = [
        layers.Conv2D(32, 3, activation="relu", name="conv1"),
        layers.MaxPooling2D(2, name="pool1"),
        layers.Conv2D(64, 3, activation="relu", name="conv2"),
        layers.MaxPooling2D(2, name="pool2"),
        layers.Conv2D(64, 3, activation="relu", name="conv3"),
        layers.Flatten(name="flatten"),
        layers.Dense(64, activation="relu", name="dense1"),
    ]
    return _chain("cnn-small", input_shape, stack)


def build_cnn_custom(input_shape: tuple[int, int, int]) -> Any:
    """Three padded convolutions with kernels of 6, 3 and 2, average pooling, two wide dense layers. d = 200."""
    stack = [
        layers.Conv2D(32, 6, padding="same", activation="relu", name="conv1"),
        layers.AveragePooling2D(2, name="pool1"),
        layers.Conv2D(16, 3, padding="same", activation="relu", name="conv2"),
        layers.AveragePooling2D(2, name="pool2"),
        layers.Conv2D(32, 2, padding="same", activation="relu", name="conv3"),
        layers.Flatten(name="flatten"),
        layers.Dense(1024, activation="relu", name="dense1"),
        layers.Dense(200, activation="relu", name="dense2"),
    ]
    return _chain("cnn-custom", input_shape, stack)


def _chain(name: str, input_shape: tuple[int, int, int], stack: list[Any]) -> Any:
    inputs = x = keras.Input(input_shape, name="image")
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x, name=name)
