"""RandAugment (Cubuk et al. 2020, arXiv 1909.13719): a few operations drawn for every image, all at one magnitude.

Computed with Pillow, image by image. Keras' RandAugment layer draws the operations once for a whole batch, and
computes all of them to use a few.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from bakeoff.runs.config import Augment

__all__ = ["OPERATIONS", "randaugment"]

Picture = Image.Image
# A function of an image and a strength in [-1, 1]. Operations without a direction use the absolute value; operations
# without a strength ignore it.
Operation = Callable[[Picture, float], Picture]

# At strength 1: rotation in degrees, shear factor, translation as a fraction of the side, and how much the factor of a
# Pillow enhancement differs from 1 (no change).
MAX_ROTATION, MAX_SHEAR, MAX_TRANSLATION, MAX_ENHANCEMENT = 30.0, 0.3, 0.33, 0.9
# Fills what lies outside the image.
FILL = (128, 128, 128)


def _affine(matrix: Callable[[Picture, float], tuple[float, ...]]) -> Operation:
    def apply(picture: Picture, strength: float) -> Picture:
        coefficients = matrix(picture, strength)
        return picture.transform(
            picture.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR, fillcolor=FILL
        )

    return apply


def _enhance(kind: Callable[[Picture], ImageEnhance._Enhance]) -> Operation:
    return lambda picture, strength: kind(picture).enhance(1 + MAX_ENHANCEMENT * strength)


OPERATIONS: dict[str, Operation] = {
    "identity": lambda picture, _: picture,
    "auto-contrast": lambda picture, _: ImageOps.autocontrast(picture),
    "equalize": lambda picture, _: ImageOps.equalize(picture),
    "rotate": lambda picture, strength: picture.rotate(
        MAX_ROTATION * strength, Image.Resampling.BILINEAR, fillcolor=FILL
    ),
    "solarize": lambda picture, strength: ImageOps.solarize(picture, round(256 * (1 - abs(strength)))),
    "posterize": lambda picture, strength: ImageOps.posterize(picture, 8 - round(4 * abs(strength))),
    "color": _enhance(ImageEnhance.Color),
    "contrast": _enhance(ImageEnhance.Contrast),
    "brightness": _enhance(ImageEnhance.Brightness),
    "sharpness": _enhance(ImageEnhance.Sharpness),
    "shear-x": _affine(
        lambda picture, strength: (1, MAX_SHEAR * strength, -MAX_SHEAR * strength * picture.height / 2, 0, 1, 0)
    ),
    "shear-y": _affine(
        lambda picture, strength: (1, 0, 0, MAX_SHEAR * strength, 1, -MAX_SHEAR * strength * picture.width / 2)
    ),
    "translate-x": _affine(lambda picture, strength: (1, 0, MAX_TRANSLATION * strength * picture.width, 0, 1, 0)),
    "translate-y": _affine(lambda picture, strength: (1, 0, 0, 0, 1, MAX_TRANSLATION * strength * picture.height)),
}


def randaugment(images: NDArray[np.uint8], rng: np.random.Generator, settings: Augment) -> NDArray[np.uint8]:
    """Apply `settings.operations` random operations to every image.

    Each has the strength `settings.magnitude` (0..1) and a random sign. Images are uint8 (n, side, side, 3).
    """
    operations = list(OPERATIONS.values())
    drawn = rng.integers(len(operations), size=(len(images), settings.operations))
    strengths = settings.magnitude * rng.choice((-1.0, 1.0), size=drawn.shape)
    out = np.empty_like(images)
    for position, image in enumerate(images):
        picture = Image.fromarray(image)
        for number, strength in zip(drawn[position], strengths[position], strict=True):
            picture = operations[number](picture, float(strength))
        out[position] = np.asarray(picture)
    return out
