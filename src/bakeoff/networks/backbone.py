"""What the package knows of a network, and how it is built. TensorFlow is imported only when a network is built.

build_backbone(find_network("lenet"), (32, 32, 3))
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from bakeoff.errors import ConfigError
from bakeoff.runs.plugin import Plugin

__all__ = [
    "Affine",
    "Backbone",
    "Features",
    "Origin",
    "Scaling",
    "build_backbone",
    "check_size",
    "fit_size",
]


# Fine-tuning a few of 24 blocks came close to fine-tuning all (He et al. 2022, arXiv 2111.06377, figure 9).
TRANSFORMER_SHARE = 0.5


class Scaling(StrEnum):
    """The range of input values that a network was trained on; `model.py` converts RGB pixels in 0..255 to it."""

    UNIT = "unit"
    """0..1."""
    SYMMETRIC = "symmetric"
    """-1..1."""
    TORCH = "torch"
    """0..1, minus ImageNet's mean, divided by its standard deviation, for each channel."""
    CAFFE = "caffe"
    """BGR in 0..255, minus ImageNet's mean for each channel."""
    NONE = "none"
    """0..255 unchanged: the network's first layers scale them."""


@dataclass(frozen=True)
class Affine:
    """A range of input values that has no name: pixels in 0..255 times `scale` plus `offset`, for red, green, blue."""

    scale: tuple[float, float, float]
    offset: tuple[float, float, float]


class Origin(StrEnum):
    """Where ImageNet weights can come from."""

    PACKAGE = "package"
    """A Python package that is installed with bakeoff and holds the file."""
    HUB = "hub"
    """The file that Keras downloads and keeps in its cache."""
    PRESET = "preset"
    """A preset of a hub: a folder with the network's configuration and its weights."""
    FILE = "file"
    """The file that a network of the user's own comes with."""
    NONE = "none"
    """Nowhere: the network is trained from scratch."""


class Features(StrEnum):
    """How the output of a network becomes one vector for each image. Flat features (n, d) stay as they are."""

    AVERAGE = "average"
    """The average over a map (n, h, w, d), or over tokens (n, t, d)."""
    CLASS_TOKEN = "class-token"
    """The first of the tokens (n, t, d)."""


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """The facts of one network, without its classifier.

    For a network of one's own, `builder` and `scaling` are enough: what else is needed is counted when it is first
    built.
    """

    name: str = ""
    family: str = ""
    """Networks of a family are expected to be alike in pace and memory."""
    builder: str | Callable[[tuple[int | None, int | None, int]], Any]
    """The function, or `module:function`, that returns the keras.Model for an input of (height, width, 3), where the
    sides may be None; see `build_backbone`. It is imported when the network is built."""
    scaling: Scaling | Affine
    min_size: int = 32
    """Smallest side of the input in pixels."""
    native_size: int = 96
    """Side of the input, in pixels, that the network was designed for."""
    params_total: int = 0
    """Number of parameters with a head of 100 classes (average pooling and a dense layer). Networks that are trained
    from scratch have a dense layer alone, counted at the native size: their flat features grow with the input."""
    imagenet_top1: float | None = None
    """Percent; None without ImageNet weights."""
    licence: str = "not stated"
    """Licence of the weights, or of the code if there are no weights."""
    weight_origins: tuple[Origin, ...] = (Origin.NONE,)
    weights: str | Path | Callable[[Any], object] | None = None
    """Pretrained weights of a network of one's own: a Keras file, whose path may begin at the module's folder, or a
    function that puts them into the keras.Model that it is given. None: it is trained from scratch."""
    weights_package: str | None = None
    """Import name of the package that carries the weights."""
    hub_file: str | None = None
    """Name of the file, in Keras' cache, of the weights without classifier."""
    multiply_adds: int | None = None
    """Multiplications of convolutions and dense layers for one image at the native size, without the head; the plan of
    a study predicts paces from it. None: not known, so they are predicted from the parameters."""
    size_step: int = 1
    """The side of the input is a multiple of so many pixels."""
    features: Features = Features.AVERAGE
    transformer: bool = False
    """Whether it is made of blocks with attention, which are fine-tuned by another recipe than convolutions."""
    source: str = ""
    """SHA-256 of the source, or of the configuration, that the network is built from: a part of a run's identity. Empty
    for the networks of the table."""
    download_bytes: int | None = None
    """Size of the file that `Origin.HUB` downloads; None: not known."""
    interpolation: str = "bilinear"
    """How its images are resized: `bilinear` or `bicubic`."""
    one_size: bool = False
    """Whether it is built for one input size, as networks are that learned a vector for each position."""
    preset: str = ""
    """The folder of the preset that it is built from; empty for other networks."""
    plugin: Plugin | None = None
    """Where a network of the user's own, or of an installed package, is imported from. Set by bakeoff."""

    @property
    def from_scratch(self) -> bool:
        """Whether the network has no pretrained weights. It then returns flat features (n, d) instead of a map."""
        return self.weight_origins == (Origin.NONE,)

    @property
    def trained_share(self) -> float:
        """The share of its layers or blocks that its default recipe trains, if it starts from pretrained weights."""
        return TRANSFORMER_SHARE if self.transformer else 1.0


def check_size(spec: Backbone, size: int) -> None:
    """Raise ConfigError if a network cannot take an input of `size` x `size` pixels."""
    if size < spec.min_size:
        raise ConfigError(f"{spec.name}@{size}: the input is too small; its smallest size is {spec.min_size}")
    if size % spec.size_step:
        near = [size // spec.size_step * spec.size_step, (size // spec.size_step + 1) * spec.size_step]
        choice = " or ".join(str(each) for each in near if each >= spec.min_size)
        raise ConfigError(
            f"{spec.name}@{size}: the side of its input is a multiple of {spec.size_step} pixels; give {choice}"
        )


def fit_size(spec: Backbone, size: int) -> int:
    """The largest side in pixels that a network takes and that is not above `size`; else its smallest."""
    step = spec.size_step
    return max(-(-spec.min_size // step) * step, size // step * step)


def build_backbone(spec: Backbone, input_shape: tuple[int | None, int | None, int]) -> Any:
    """Build a network with random weights and without classifier.

    Args:
        spec: The network.
        input_shape: (height, width, 3). A side of None accepts any size; a network that is trained from scratch needs
            both sides.

    Returns:
        A keras.Model from scaled float32 images (n, height, width, 3) to a map (n, h, w, d), to tokens (n, t, d), or to
        flat features (n, d), as of the networks that are trained from scratch.

    Raises:
        ConfigError: The input is too small for the network.
    """
    for side in input_shape[:2]:
        if side is not None:
            check_size(spec, side)
    if not isinstance(spec.builder, str):
        return spec.builder(input_shape)
    module, _, function = spec.builder.partition(":")
    build = getattr(importlib.import_module(module), function)
    if spec.preset:
        return build(Path(spec.preset), input_shape)
    if module != "keras.applications":
        return build(input_shape)
    if spec.size_step > 1 and None in input_shape:
        side = 2 * spec.size_step
        return _open_sides(build(include_top=False, weights=None, input_shape=(side, side, 3)))
    return build(include_top=False, weights=None, input_shape=input_shape)


def _open_sides(model: Any) -> Any:
    """The same layers for images of any side that Keras would have built the same layers for.

    Keras builds NASNet for one side: its padding depends on whether the side of each map is even, and where the sides
    are not known it leaves out the layers that make two maps equally large.
    """
    import keras

    from bakeoff.networks.graph import run_graph

    images = keras.Input((None, None, 3))
    return keras.Model(images, run_graph(model, images, lambda operation: operation), name=model.name)
