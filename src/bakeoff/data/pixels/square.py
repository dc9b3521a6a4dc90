"""Makes pictures square."""

import numpy as np
from PIL import Image

from bakeoff.runs.config import Fit

__all__ = ["PAD_COLOUR", "make_square", "resize_to_square"]

# In multiples of the shorter side: pictures that are longer are shortened first.
_LONG = 256

PAD_COLOUR = (124, 116, 104)
"""The mean colour of ImageNet, which most networks scale to about zero: the colour of the bars of padded pictures."""


def resize_to_square(array: np.ndarray, side: int, fit: Fit = Fit.CROP) -> np.ndarray:
    """Make decoded pixels square as `decode` does: uint8 (height, width, 3) to (side, side, 3)."""
    if array.shape[:2] == (side, side):
        return array
    return np.asarray(make_square(Image.fromarray(array), side, fit))


def make_square(image: Image.Image, side: int, fit: Fit) -> Image.Image:
    """Make a picture square: `side` pixels on each side."""
    if fit is Fit.AUTO:
        raise ValueError("the fit must be decided by the data before pictures are resized")
    if fit is Fit.CROP:
        image = _cut_ends(image)
    width, height = image.size
    if fit is Fit.SQUASH or width == height:
        width = height = side
    elif fit is Fit.CROP:
        scale = side / min(width, height)
        width, height = max(side, round(width * scale)), max(side, round(height * scale))
    else:
        scale = side / max(width, height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    if (width, height) == (side, side):
        return image
    left, top = (width - side) // 2, (height - side) // 2
    if fit is not Fit.PAD:
        return image.crop((left, top, left + side, top + side))
    padded = Image.new("RGB", (side, side), PAD_COLOUR)
    padded.paste(image, (-left, -top))
    return padded


def _cut_ends(image: Image.Image) -> Image.Image:
    """A very long picture without its ends: resized as a whole, it could take any amount of memory."""
    width, height = image.size
    most = _LONG * min(width, height)
    left, top = max(width - most, 0) // 2, max(height - most, 0) // 2
    return image.crop((left, top, width - left, height - top)) if left or top else image
