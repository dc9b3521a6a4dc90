"""RandAugment (Cubuk et al., arXiv 1909.13719): a few operations drawn for every image, all of one strength.

Pillow, image by image. Keras' layer draws the operations for a whole batch and computes all of them to use a few.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from bakeoff.runs.config import Augment

__all__ = ["OPERATIONS", "randaugment"]

Picture = Image.Image
# Takes a strength in [-1, 1]: operations without a direction go by its size, those without a strength ignore it.
Operation = Callable[[Picture, float], Picture]

# Strongest turn in degrees, shear, shift as a fraction of the side, and change of an enhancement's factor.
TURN, SHEAR, SHIFT, ENHANCE = 30.0, 0.3, 0.33, 0.9
# Comes in from outside.
GREY = (128, 128, 128)


def _affine(matrix: Callable[[Picture, float], tuple[float, ...]]) -> Operation:
    def apply(picture: Picture, strength: float) -> Picture:
        coefficients = matrix(picture, strength)
        return picture.transform(
            picture.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR, fillcolor=GREY
        )

    return apply


def _enhance(kind: Callable[[Picture], ImageEnhance._Enhance]) -> Operation:
    return lambda picture, strength: kind(picture).enhance(1 + ENHANCE * strength)


OPERATIONS: dict[str, Operation] = {
    "identity": lambda picture, _: picture,
    "auto-contrast": lambda picture, _: ImageOps.autocontrast(picture),
    "equalize": lambda picture, _: ImageOps.equalize(picture),
    "rotate": lambda picture, strength: picture.rotate(TURN * strength, Image.Resampling.BILINEAR, fillcolor=GREY),
    "solarize": lambda picture, strength: ImageOps.solarize(picture, round(256 * (1 - abs(strength)))),
    "posterize": lambda picture, strength: ImageOps.posterize(picture, 8 - round(4 * abs(strength))),
    "color": _enhance(ImageEnhance.Color),
    "contrast": _enhance(ImageEnhance.Contrast),
    "brightness": _enhance(ImageEnhance.Brightness),
    "sharpness": _enhance(ImageEnhance.Sharpness),
    "shear-x": _affine(
        lambda picture, strength: (1, SHEAR * strength, -SHEAR * strength * picture.height / 2, 0, 1, 0)
    ),
    "shear-y": _affine(lambda picture, strength: (1, 0, 0, SHEAR * strength, 1, -SHEAR * strength * picture.width / 2)),
    "translate-x": _affine(lambda picture, strength: (1, 0, SHIFT * strength * picture.width, 0, 1, 0)),
    "translate-y": _affine(lambda picture, strength: (1, 0, 0, 0, 1, SHIFT * strength * picture.height)),
}


def randaugment(images: NDArray[np.uint8], rng: np.random.Generator, settings: Augment) -> NDArray[np.uint8]:
    """Draw `settings.operations` for every image, each to `settings.magnitude` in a direction of its own."""
    operations = list(OPERATIONS.values())
    drawn = rng.integers(len(operations), size=(len(images), settings.operations))
    strengths = settings.magnitude * rng.choice((-1.0, 1.0), size=drawn.shape)
    out = np.empty_like(images)
    for position, image in enumerate(images):
        picture = Image.fromarray(image)
        for which, strength in zip(drawn[position], strengths[position], strict=True):
            picture = operations[which](picture, float(strength))
        out[position] = np.asarray(picture)
    return out
