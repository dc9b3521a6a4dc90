"""From the bytes of an image file to its pixels."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from bakeoff.data.pixels.colour import to_srgb
from bakeoff.data.pixels.depth import load_eight_bits
from bakeoff.data.pixels.opened import PIXEL_LIMIT, Opened, opened
from bakeoff.data.pixels.square import make_square
from bakeoff.runs.config import Fit

__all__ = ["DECODING", "Checked", "check", "decode", "read_rgb", "read_size"]

DECODING = 2
"""Raise it whenever a file would be decoded to other pixels: what is kept of decoded files is keyed by it."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of an image file that has been decoded once."""

    shape: tuple[int, int]
    """(height, width) in pixels after the EXIF rotation, at full size."""
    remarks: tuple[str, ...]
    """What was assumed, converted or left out: plural phrases from a fixed list, to be counted by kind."""


def decode(data: bytes, side: int, fit: Fit = Fit.CROP, limit: int = PIXEL_LIMIT) -> np.ndarray:
    """Decode an image file and make it square.

    Args:
        data: The bytes of the file.
        side: Side of the result in pixels.
        fit: CROP resizes the shorter side to `side` and crops the central square; PAD resizes the longer side and adds
            bars of PAD_COLOUR; SQUASH resizes both.
        limit: The largest number of pixels to decode. A JPEG of up to 8 times as many (2 times, if it is progressive)
            is decoded at a reduced size.

    Returns:
        uint8 (side, side, 3).

    Raises:
        DataError: The image cannot be read, or is too large.
    """
    # A JPEG decodes up to 8 times faster at a reduced size. Twice the target size loses nothing visible.
    with opened(data, limit, shorter=2 * side) as file:
        return np.asarray(make_square(_to_rgb(file), side, fit))


def read_rgb(data: bytes) -> np.ndarray:
    """Decode an image file: uint8 (height, width, 3). Raises DataError as `decode` does.

    A JPEG of more than PIXEL_LIMIT pixels is decoded at the largest reduced size that has no more.
    """
    with opened(data) as file:
        return np.asarray(_to_rgb(file))


def check(data: bytes) -> Checked:
    """Decode all of an image file, at a reduced size if it can be. Raises DataError as `decode` does."""
    with opened(data, shorter=1) as file:
        remarks = _count_frames(file)
        image, scaled = load_eight_bits(file.image, file.found, file.reopen)
        colours, opacity = _split_opacity(image)
        # One pixel tells how all are converted.
        remarks += [*scaled, *to_srgb(colours.crop((0, 0, 1, 1)), file.found)[1]]
        if opacity:
            remarks.append("images with transparent pixels, which become white")
        if file.is_reduced:
            remarks.append(f"images of more than {PIXEL_LIMIT // 10**6} megapixels, decoded at a reduced size")
        return Checked(file.shape, tuple(remarks))


def read_size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels of an image file after its EXIF rotation. Raises DataError as `decode` does."""
    with opened(data) as file:
        height, width = file.shape
        return width, height


def _to_rgb(file: Opened) -> Image.Image:
    """The upright image in sRGB, with transparent pixels white."""
    image, _ = load_eight_bits(file.image, file.found, file.reopen)
    colours, opacity = _split_opacity(file.turn(image))
    image, _ = to_srgb(colours, file.found)
    if opacity is None:
        return image
    image.putalpha(opacity)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _split_opacity(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours of an image without transparency, and its opacity; None if it is opaque."""
    if not image.has_transparency_data:
        return image, None
    # Pillow converts premultiplied grey ("La") to LA only.
    whole = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    opacity = whole.getchannel("A")
    colours = whole.getchannel("R") if image.mode in ("1", "L", "LA", "La") else whole.convert("RGB")
    return colours, None if opacity.getextrema()[0] == 255 else opacity


def _count_frames(file: Opened) -> list[str]:
    try:
        several = file.found.is_animated or getattr(file.image, "is_animated", False)
    except Exception:  # what follows the first frame is not read, so it may be damaged
        several = False
    return ["images of several frames or pages, of which the first is read"] if several else []
