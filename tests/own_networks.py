"""Modules with networks of a user's own, for tests."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from bakeoff.networks.plugin import find, forget_plugins

__all__ = ["NETWORK", "SCALE", "look_here", "write_module"]

NETWORK = """
    import keras
    from bakeoff.networks import Backbone, Scaling

    def build(input_shape):
        images = keras.Input(input_shape)
        x = keras.layers.Conv2D(8, 3, strides=4, activation="relu", name="conv1")(images)
        return keras.Model(images, keras.layers.Conv2D(12, 3, strides=2, activation="relu", name="conv2")(x))

    NET = Backbone(builder=build, scaling=Scaling.UNIT, native_size=32)
"""

SCALE = """
    import keras
    from bakeoff.networks import Backbone, Scaling

    class Scale(keras.layers.Layer):
        def __init__(self, start=1.0, **settings):
            super().__init__(**settings)
            self.start = start

        def build(self, shape):
            start = keras.initializers.Constant(self.start)
            self.scale = self.add_weight(shape=shape[-1:], initializer=start, name="scale")

        def call(self, x):
            return x * self.scale

        def get_config(self):
            return super().get_config() | {"start": self.start}

    def build(input_shape):
        images = keras.Input(input_shape)
        x = keras.layers.Conv2D(8, 3, strides=4, name="conv1")(images)
        return keras.Model(images, keras.layers.ReLU()(Scale(2.0, name="scaled")(x)))

    NET = Backbone(builder=build, scaling=Scaling.UNIT, native_size=32, licence="MIT")
"""


def write_module(folder: Path, name: str, text: str) -> Path:
    """Write a module, and forget one of that name that was imported."""
    path = folder / f"{name.replace('.', '/')}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text), encoding="utf-8")
    # Python takes a file of the same size and second for the one that it has compiled.
    for cached in path.parent.glob("__pycache__/*"):
        cached.unlink()
    sys.modules.pop(name, None)
    forget_plugins()
    return path


def look_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at networks in this process, where TensorFlow has been started."""

    def look(target: str, folder: Path) -> None:
        from bakeoff.networks.examine import examine

        examine(target, folder)

    monkeypatch.setattr(find, "_look", look)
