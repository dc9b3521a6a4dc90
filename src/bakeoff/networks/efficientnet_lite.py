"""EfficientNet-Lite0, 1 and 2 without their classifier, with the layers of the published ImageNet weights.

EfficientNet (Tan & Le 2019, arXiv 1905.11946) as the tensorflow/tpu repository changed it for phones: no
squeeze-and-excitation, ReLU6 instead of swish, no wider stem and head convolutions, and no deeper first and last stage.
Drop-connect is left out, because fine-tuning here is too short to need it.

Each builder returns a keras.Model from float32 images (n, h, w, 3) in -1..1 to a map (n, h/32, w/32, 1280).
"""

import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["build_lite0", "build_lite1", "build_lite2", "torch_prefixes"]


Shape = tuple[int | None, int | None, int]


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expand: int
    filters: int


# Table 1 of arXiv 1905.11946.
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_STEM_FILTERS = 32
_HEAD_FILTERS = 1280


def build_lite0(input_shape: Shape) -> Any:
    """EfficientNet-Lite0: width and depth 1.0."""
    return _build("efficientnet-lite0", input_shape, width=1.0, depth=1.0)


def build_lite1(input_shape: Shape) -> Any:
    """EfficientNet-Lite1: width 1.0, depth 1.1."""
    return _build("efficientnet-lite1", input_shape, width=1.0, depth=1.1)


def build_lite2(input_shape: Shape) -> Any:
    """EfficientNet-Lite2: width 1.1, depth 1.2."""
    return _build("efficientnet-lite2", input_shape, width=1.1, depth=1.2)


def torch_prefixes(layer_names: Iterable[str]) -> dict[str, str]:
    """The prefix of each layer's tensors in the published PyTorch checkpoints.

    Args:
        layer_names: Names of all layers, in the model's order.

    Returns:
        The prefix by layer name, for the layers that have weights.
    """
    prefixes = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}
    parts = {
        "expand_conv": "_expand_conv",
        "expand_bn": "_bn0",
        "depthwise_conv": "_depthwise_conv",
        "depthwise_bn": "_bn1",
        "project_conv": "_project_conv",
        "project_bn": "_bn2",
    }
    blocks: dict[str, int] = {}
    for name in layer_names:
        match = re.fullmatch(r"(block\d+[a-z])_(\w+)", name)
        if match and match[2] in parts:
            block = blocks.setdefault(match[1], len(blocks))
            prefixes[name] = f"_blocks.{block}.{parts[match[2]]}"
    return prefixes


def _build(name: str, input_shape: Shape, width: float, depth: float) -> Any:
    import keras

    inputs = keras.Input(input_shape, name="image")
    x = _conv(inputs, _STEM_FILTERS, 3, 2, "stem", relu=True)
    for number, stage in enumerate(_STAGES, 1):
        fixed_depth = number in (1, len(_STAGES))
        repeats = stage.repeats if fixed_depth else math.ceil(stage.repeats * depth)
        filters = _round_filters(stage.filters * width)
        for repeat in range(repeats):
            stride = stage.stride if repeat == 0 else 1
            x = _block(x, stage, filters, stride, f"block{number}{chr(ord('a') + repeat)}")
    x = _conv(x, _HEAD_FILTERS, 1, 1, "top", relu=True)
    return keras.Model(inputs, x, name=name)


def _block(x: Any, stage: _Stage, filters: int, stride: int, name: str) -> Any:
    from keras import layers

    shortcut = x
    channels = x.shape[-1]
    if stage.expand != 1:
        x = _conv(x, channels * stage.expand, 1, 1, f"{name}_expand", relu=True)
    x = _conv(x, None, stage.kernel, stride, f"{name}_depthwise", relu=True)
    x = _conv(x, filters, 1, 1, f"{name}_project", relu=False)
    return layers.Add(name=f"{name}_add")([x, shortcut]) if stride == 1 and channels == filters else x


def _conv(x: Any, filters: int | None, kernel: int, stride: int, name: str, relu: bool) -> Any:
    """Convolution (depthwise if `filters` is None), batch normalisation and, if asked for, ReLU6."""
    from keras import layers

    # With stride 2, "same" pads more on the right and below. The network was trained with that; symmetric padding would
    # shift every map by half a pixel.
    settings: dict[str, Any] = {"strides": stride, "padding": "same", "use_bias": False, "name": f"{name}_conv"}
    if filters is None:
        x = layers.DepthwiseConv2D(kernel, depthwise_initializer="he_normal", **settings)(x)
    else:
        x = layers.Conv2D(filters, kernel, kernel_initializer="he_normal", **settings)(x)
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_activation")(x) if relu else x


def _round_filters(filters: float) -> int:
    """The nearest multiple of 8, but never more than 10 % below `filters`."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded
