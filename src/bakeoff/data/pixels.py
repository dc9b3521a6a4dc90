"""Encoded image bytes to a square of uint8 RGB: the one decode that preparing, training and serving share.

Pixels are sRGB values 0..255 in the order (row, column, channel). Whatever a file holds (palette, CMYK,
16 bits, transparency, an EXIF rotation, several frames) has become that by the time it leaves this module.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bakeoff.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "PIXEL_LIMIT", "decode", "fit", "measure", "read_rgb"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")

PIXEL_LIMIT = 100_000_000
"""Width times height beyond which a file is refused unopened: it would need 300 MB as RGB."""

# Pillow would also try formats that start other programs (EPS) or that nobody puts in an image folder.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
_ORIENTATION = 0x0112
# The limit here is another, and Python would keep every one of these warnings, each with its own numbers, for ever.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
_SIDEWAYS = (5, 6, 7, 8)


def decode(data: bytes, side: int, limit: int = PIXEL_LIMIT) -> np.ndarray:
    """The central square of an encoded image: uint8 (side, side, 3), its shorter side resized to `side`.

    Raises DataError if the image cannot be read or has more than `limit` pixels.
    """
    with _opened(data, limit) as image:
        # A JPEG unpacks up to 8 times faster at a fraction of its size; twice the target loses nothing visible.
        image.draft(None, (2 * side, 2 * side))
        return np.asarray(_square(_rgb(image), side))


def read_rgb(data: bytes) -> np.ndarray:
    """An encoded image at its own size: uint8 (height, width, 3). Raises DataError as `decode` does."""
    with _opened(data) as image:
        return np.asarray(_rgb(image))


def fit(array: np.ndarray, side: int) -> np.ndarray:
    """The central square of uint8 (height, width, 3) pixels, resized as `decode` does: uint8 (side, side, 3)."""
    if array.shape[:2] == (side, side):
        return array
    return np.asarray(_square(Image.fromarray(array), side))


def measure(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels of an encoded image as it is seen, after its EXIF rotation. Raises DataError."""
    with _opened(data) as image:
        width, height = image.size
        return (height, width) if image.getexif().get(_ORIENTATION) in _SIDEWAYS else (width, height)


@contextmanager
def _opened(data: bytes, limit: int = PIXEL_LIMIT) -> Iterator[Image.Image]:
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
    except Exception as error:  # Pillow's parsers raise whatever they stumble over: struct.error, SyntaxError, KeyError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"the image cannot be read: {reason}; restore or remove it") from error


def _rgb(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        # Pillow clips 16-bit grey at 255 instead of scaling it.
        grey = np.clip(np.asarray(upright), 0, 65535) // 257
        upright = Image.fromarray(grey.astype(np.uint8))
    if upright.has_transparency_data:
        paper = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(paper, upright.convert("RGBA"))
    return upright.convert("RGB")


def _square(image: Image.Image, side: int) -> Image.Image:
    width, height = image.size
    if min(width, height) != side:
        scale = side / min(width, height)
        width, height = max(side, round(width * scale)), max(side, round(height * scale))
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))
