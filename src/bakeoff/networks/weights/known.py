"""Recognises the network in a weight file by its convolutions, which a classifier around it rarely changes."""

import math

from bakeoff.networks.table import TABLE
from bakeoff.networks.weights.keras_file import StoredModel

__all__ = ["CONVOLUTIONS", "recognise"]

CONVOLUTIONS = {
    "ConvNeXtBase": (40, 3_643_008),
    "ConvNeXtLarge": (40, 7_528_896),
    "ConvNeXtSmall": (40, 2_216_160),
    "ConvNeXtTiny": (22, 1_877_472),
    "ConvNeXtXLarge": (40, 12_791_040),
    "DenseNet121": (120, 6_870_208),
    "DenseNet169": (168, 12_326_080),
    "DenseNet201": (200, 17_863_872),
    "EfficientNetB0": (81, 3_956_192),
    "EfficientNetB1": (115, 6_436_976),
    "EfficientNetB2": (115, 7_618_016),
    "EfficientNetB3": (130, 10_588_856),
    "EfficientNetB4": (160, 17_394_376),
    "EfficientNetB5": (194, 28_127_728),
    "EfficientNetB6": (224, 40_458_672),
    "EfficientNetB7": (273, 63_403_040),
    "EfficientNetV2B0": (91, 5_784_576),
    "EfficientNetV2B1": (111, 6_773_152),
    "EfficientNetV2B2": (116, 8_586_384),
    "EfficientNetV2B3": (136, 12_687_448),
    "EfficientNetV2L": (339, 116_602_144),
    "EfficientNetV2M": (245, 52_498_504),
    "EfficientNetV2S": (170, 19_988_424),
    "InceptionResNetV2": (244, 54_200_160),
    "InceptionV3": (94, 21_751_136),
    "MobileNet": (27, 3_185_088),
    "MobileNetV2": (52, 2_189_760),
    "MobileNetV3Large": (62, 2_942_472),
    "MobileNetV3Small": (52, 912_008),
    "NASNetLarge": (488, 84_523_482),
    "NASNetMobile": (356, 4_196_240),
    "ResNet101": (104, 42_394_816),
    "ResNet101V2": (104, 42_394_816),
    "ResNet152": (155, 57_992_384),
    "ResNet152V2": (155, 57_992_384),
    "ResNet50": (53, 23_454_912),
    "ResNet50V2": (53, 23_454_912),
    "VGG16": (13, 14_710_464),
    "VGG19": (16, 20_018_880),
    "Xception": (74, 20_752_424),
}
"""Number of convolution kernels, and of the numbers in them, of networks by the function that builds them."""


def recognise(model: StoredModel) -> str | None:
    """The network that a model in a file looks like: its name in the table, else in Keras; None if none is known."""
    sizes = [math.prod(t.shape) for layer in model.layers for t in layer.tensors if len(t.shape) == 4]
    ours = {spec.builder.partition(":")[2]: spec.name for spec in TABLE}
    same = [ours.get(name, name) for name, counts in CONVOLUTIONS.items() if counts == (len(sizes), sum(sizes))]
    return " or ".join(same) or None
