"""Recognises the network in a weight file by its convolutions, which a classifier around it rarely changes."""

import math

from bakeoff.networks.weights.keras_file import StoredModel

__all__ = ["CONVOLUTIONS", "recognise"]

CONVOLUTIONS = {
    "vgg-16": (13, 14_710_464),
    "vgg-19": (16, 20_018_880),
    "mobilenet-v1": (27, 3_185_088),
    "mobilenet-v2": (52, 2_189_760),
    "mobilenet-v3-small": (52, 912_008),
    "mobilenet-v3-large": (62, 2_942_472),
    "resnet-50": (53, 23_454_912),
    "resnet-101": (104, 42_394_816),
    "resnet-152": (155, 57_992_384),
    "resnet-50-v2": (53, 23_454_912),
    "resnet-101-v2": (104, 42_394_816),
    "resnet-152-v2": (155, 57_992_384),
    "xception": (74, 20_752_424),
    "inception-v3": (94, 21_751_136),
    "inception-resnet-v2": (244, 54_200_160),
    "densenet-121": (120, 6_870_208),
    "densenet-169": (168, 12_326_080),
    "densenet-201": (200, 17_863_872),
    "nasnet-mobile": (356, 4_196_240),
    "nasnet-large": (488, 84_523_482),
    "efficientnet-b0": (81, 3_956_192),
    "efficientnet-b1": (115, 6_436_976),
    "efficientnet-b2": (115, 7_618_016),
    "efficientnet-b3": (130, 10_588_856),
    "efficientnet-b4": (160, 17_394_376),
    "efficientnet-b5": (194, 28_127_728),
    "efficientnet-b6": (224, 40_458_672),
    "efficientnet-b7": (273, 63_403_040),
    "efficientnet-v2-b0": (91, 5_784_576),
    "efficientnet-v2-b1": (111, 6_773_152),
    "efficientnet-v2-b2": (116, 8_586_384),
    "efficientnet-v2-b3": (136, 12_687_448),
    "efficientnet-v2-s": (170, 19_988_424),
    "efficientnet-v2-m": (245, 52_498_504),
    "efficientnet-v2-l": (339, 116_602_144),
    "convnext-tiny": (22, 1_877_472),
    "convnext-small": (40, 2_216_160),
    "convnext-base": (40, 3_643_008),
    "convnext-large": (40, 7_528_896),
    "convnext-xlarge": (40, 12_791_040),
}
"""Number of convolution kernels, and of the numbers in them, of the networks of keras.applications."""


def recognise(model: StoredModel) -> str | None:
    """The names of the networks that a model in a file looks like; None if none is known."""
    sizes = [math.prod(t.shape) for layer in model.layers for t in layer.tensors if len(t.shape) == 4]
    return " or ".join(name for name, counts in CONVOLUTIONS.items() if counts == (len(sizes), sum(sizes))) or None
