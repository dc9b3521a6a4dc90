"""Decodes image files to square uint8 RGB: one way for preparing, training, predicting and serving.

Pixels are sRGB values 0..255 in the order (row, column, channel). Files with a palette, CMYK, a colour profile, 16
bits, transparency, an EXIF rotation or several frames are converted to that (of several frames or pages, the first).

In import order:

    kinds.py      what a file is, by its first bytes
    metadata.py   rotation, profile, gamma and significant bits, read from the bytes
    depth.py      values of more than 8 bits become 8
    colour.py     colours become sRGB
    opened.py     opens files, refuses what is too large
    square.py     crops, pads or squashes
    reading.py    the functions that others call
"""

from bakeoff.data.pixels.kinds import HEAD_BYTES, IMAGE_SUFFIXES, is_image
from bakeoff.data.pixels.opened import PIXEL_LIMIT
from bakeoff.data.pixels.reading import DECODING, Checked, check, decode, read_rgb, read_size
from bakeoff.data.pixels.square import PAD_COLOUR, resize_to_square

__all__ = [
    "DECODING",
    "HEAD_BYTES",
    "IMAGE_SUFFIXES",
    "PAD_COLOUR",
    "PIXEL_LIMIT",
    "Checked",
    "check",
    "decode",
    "is_image",
    "read_rgb",
    "read_size",
    "resize_to_square",
]
