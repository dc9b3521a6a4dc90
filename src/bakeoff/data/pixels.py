"""Decodes image files to square uint8 RGB: one function for preparing, training and serving.

Pixels are sRGB values 0..255 in the order (row, column, channel). Files with a palette, CMYK, 16 bits, transparency, an
EXIF rotation or several frames are converted to that (of several frames, the first).
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bakeoff.errors import DataError
from bakeoff.runs.config import Fit

__all__ = ["IMAGE_SUFFIXES", "PAD_COLOUR", "PIXEL_LIMIT", "decode", "read_rgb", "read_size", "resize_to_square"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")

PIXEL_LIMIT = 100_000_000
"""Largest width times height. A larger image is refused before it is decoded: as RGB it would take over 300 MB."""

PAD_COLOUR = (124, 116, 104)
"""The mean colour of ImageNet, which most networks scale to about zero: the colour of the bars of padded pictures."""

# Pillow knows more formats. Some start other programs (EPS), and the others are not expected in an image folder.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
# The EXIF tag of the orientation, and its values that swap width and height.
_ORIENTATION = 0x0112
_ROTATED_BY_90 = (5, 6, 7, 8)
# Our limit differs from Pillow's. Its warning is silenced because its text varies, and Python stores each variant.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode(data: bytes, side: int, fit: Fit = Fit.CROP, limit: int = PIXEL_LIMIT) -> np.ndarray:
    """Decode an image file and make it square.

    Args:
        data: The bytes of the file.
        side: Side of the result in pixels.
        fit: CROP resizes the shorter side to `side` and crops the central square; PAD resizes the longer side and adds
            bars of PAD_COLOUR; SQUASH resizes both.
        limit: The largest number of pixels that is accepted.

    Returns:
        uint8 (side, side, 3).

    Raises:
        DataError: The image cannot be read, or has more than `limit` pixels.
    """
    with _open_image(data, limit) as image:
        # A JPEG decodes up to 8 times faster at a reduced size. Twice the target size loses nothing visible.
        image.draft(None, (2 * side, 2 * side))
        return np.asarray(_resize_to_square(_to_rgb(image), side, fit))


def read_rgb(data: bytes) -> np.ndarray:
    """Decode an image file at its full size: uint8 (height, width, 3). Raises DataError as `decode` does."""
    with _open_image(data) as image:
        return np.asarray(_to_rgb(image))


def resize_to_square(array: np.ndarray, side: int, fit: Fit = Fit.CROP) -> np.ndarray:
    """Make decoded pixels square as `decode` does: uint8 (height, width, 3) to (side, side, 3)."""
    if array.shape[:2] == (side, side):
        return array
    return np.asarray(_resize_to_square(Image.fromarray(array), side, fit))


def read_size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels of an image file after its EXIF rotation. Raises DataError as `decode` does."""
    with _open_image(data) as image:
        width, height = image.size
        return (height, width) if image.getexif().get(_ORIENTATION) in _ROTATED_BY_90 else (width, height)


@contextmanager
def _open_image(data: bytes, limit: int = PIXEL_LIMIT) -> Iterator[Image.Image]:
    if not data:
        raise DataError("the image is empty (0 bytes); restore or remove it")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > limit:
                raise DataError(f"the image has {width}x{height} pixels, more than {limit:,}; make it smaller")
            yield image
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"the image has more than {limit:,} pixels; make it smaller") from error
    except UnidentifiedImageError as error:
        raise DataError("not a PNG, JPEG, BMP, GIF or WebP image; convert or remove it") from error
    except Exception as error:  # Pillow's parsers raise many kinds of errors: struct.error, SyntaxError, KeyError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"the image cannot be read: {reason}; restore or remove it") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        # Pillow clips 16-bit grey at 255 instead of scaling it.
        grey = np.clip(np.asarray(upright), 0, 65535) // 257
        upright = Image.fromarray(grey.astype(np.uint8))
    if upright.has_transparency_data:
        background = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(background, upright.convert("RGBA"))
    return upright.convert("RGB")


def _resize_to_square(image: Image.Image, side: int, fit: Fit) -> Image.Image:
    if fit is Fit.AUTO:
        raise ValueError("the fit must be decided by the data before pictures are resized")
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
    left, top = (width - side) // 2, (height - side) // 2
    if fit is not Fit.PAD:
        return image.crop((left, top, left + side, top + side))
    padded = Image.new("RGB", (side, side), PAD_COLOUR)
    padded.paste(image, (-left, -top))
    return padded
