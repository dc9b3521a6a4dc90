"""Values of more than 8 bits become 8: by what the file says is white, else by the range of the values.

Cameras and microscopes write values of 10 or 12 bits into files of 16, mostly without saying so. Pillow reads those
files as 16 bits, which makes them almost black, and clips or drops bits in some of its modes.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFile

from bakeoff.data.pixels.metadata import Metadata
from bakeoff.errors import DataError

__all__ = ["load_eight_bits"]

_Values = np.ndarray[Any, np.dtype[Any]]
_Loaded = tuple[Image.Image, list[str]]

# Where the file does not say it, values have the smallest of these numbers of bits that holds them all.
_BITS = (8, 10, 12, 14, 16)
# TIFF's tags.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANES, _MAX_VALUE, _SMAX_VALUE = 258, 262, 284, 281, 341
_SAMPLE_FORMAT, _SIGNED = 339, 2
# Forms of greys of a PNG whose values Pillow spreads to 8 bits, but not the one that is transparent.
_SPREAD_BITS = {"L;2": 2, "L;4": 4}


class _Depth(NamedTuple):
    """What a file says about its values."""

    white: int = 0
    """The value that is white; 0 if the file does not say it."""
    bits: int = 0
    """The number of bits that this comes from."""
    inverted: bool = False
    """Whether 0 is white, which Pillow heeds in files of 8 bits only."""


def load_eight_bits(image: ImageFile.ImageFile, found: Metadata, reopen: Callable[[], ImageFile.ImageFile]) -> _Loaded:
    """Decode an opened image to 8 bits a channel.

    Args:
        image: The image, not decoded yet.
        found: Its metadata.
        reopen: Opens the file again.

    Returns:
        The image, in a mode of at most 8 bits a channel, and remarks on how its values were scaled.

    Raises:
        DataError: Nothing says which values are black and white.
    """
    depth = _read_depth(image, found)
    tiles = image.tile
    form = _form(tiles)
    if image.mode == "F":
        return _from_floats(np.asarray(image), depth)
    if image.mode.startswith("I"):
        return _from_grey(image, depth)
    if form == "LA;16B":
        # Four bytes a pixel, of which Pillow would drop two.
        image.tile = _with_form(image.tile, "RGBA")
        pairs = np.asarray(image).astype(np.uint16)
        return _from_channels(pairs[..., 0::2] << 8 | pairs[..., 1::2], "LA", depth)
    image.load()
    if ";16" in form:
        return _from_high_bytes(image, tiles, depth, reopen)
    if form in _SPREAD_BITS and isinstance(transparent := image.info.get("transparency"), int):
        image.info["transparency"] = transparent * 255 // (2 ** _SPREAD_BITS[form] - 1)
    if 0 < depth.white < 255:
        return image.point([*_table(depth)[:256]] * len(image.getbands())), []
    return image, []


def _read_depth(image: ImageFile.ImageFile, found: Metadata) -> _Depth:
    if image.format == "TIFF":
        return _read_tiff_depth(image)
    if image.format == "PPM":
        return _read_ppm_depth(image)
    if image.format == "JPEG2000" and image.mode == "I;16":
        # The precision is in the codestream's header. Pillow moves the values up to 16 bits.
        start = found.data.find(b"\xff\x4f\xff\x51")
        bits = (found.data[start + 42] & 0x7F) + 1
        return _Depth((2**bits - 1) << (16 - bits), bits) if bits < 16 else _Depth()
    if 8 <= found.significant_bits < 16:
        return _Depth(2**found.significant_bits - 1, found.significant_bits)
    return _Depth()


def _read_tiff_depth(image: Any) -> _Depth:
    tags = image.tag_v2
    bits = max(tags.get(_BITS_PER_SAMPLE, (1,)))
    if bits > 8 and tags.get(_PLANES) == 2 and len(image.getbands()) > 1:
        raise DataError(
            f"a TIFF of {bits} bits with its channels one after the other, which cannot be read; save it interleaved"
        )
    if bits == 8 and _SIGNED in tags.get(_SAMPLE_FORMAT, ()):
        raise DataError("a TIFF of signed values of 8 bits; save it with values from 0 on")
    if bits == 16:
        values = tags.get(_SMAX_VALUE) or tags.get(_MAX_VALUE) or 0
        top = max(values) if isinstance(values, tuple) else values
        bits = max(8, int(top).bit_length()) if 0 < top < 2**15 else 0
    return _Depth(2**bits - 1 if 8 <= bits < 16 else 0, bits, tags.get(_PHOTOMETRIC, 0) == 0 and image.mode[0] in "IF")


def _read_ppm_depth(image: ImageFile.ImageFile) -> _Depth:
    (tile,) = image.tile
    if tile.codec_name == "raw" or not isinstance(tile.args, tuple):
        return _Depth()
    form, white = tile.args
    bits = int(white).bit_length()
    if tile.codec_name == "ppm_plain":  # Pillow scales them, to 16 bits if they are grey
        return _Depth(65535, bits) if 255 < white < 65535 else _Depth()
    # Pillow would scale them value by value, in Python.
    deep = {"L": "I;16B", "RGB": "RGB;16B"}
    image.tile = [tile._replace(codec_name="raw", args=(deep[form] if white > 255 else form, 0, 1))]
    return _Depth(white if white < 65535 else 0, bits)


def _from_grey(image: Image.Image, depth: _Depth) -> _Loaded:
    values = np.asarray(image)
    transparent = image.info.get("transparency")
    eight, remarks = _scale(values, depth)
    grey = Image.fromarray(eight)
    if isinstance(transparent, int):
        _hide(grey, values == transparent)
    return grey, remarks


def _hide(image: Image.Image, hidden: _Values) -> None:
    """Make pixels transparent: bool (height, width)."""
    image.putalpha(Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8)))


def _from_floats(values: _Values, depth: _Depth) -> _Loaded:
    low, top = float(values.min()), float(values.max())
    if not (low >= 0 and top <= 1):
        raise DataError(
            f"an image of floats from {low:g} to {top:g}; scale them to 0 to 1, or save it with 8 or 16 bits"
        )
    eight = np.rint(255 * (1 - values if depth.inverted else values)).astype(np.uint8)
    return Image.fromarray(eight), ["images of floats, of which 0 is black and 1 is white"]


def _from_high_bytes(
    image: Image.Image, tiles: list[Any], depth: _Depth, reopen: Callable[[], ImageFile.ImageFile]
) -> _Loaded:
    """Pillow keeps the high byte of each value. Small values are decoded again, to their low bytes."""
    colours = [band for name, band in zip(image.getbands(), image.split(), strict=True) if name != "A"]
    is_full = not depth.white and max(band.getextrema()[1] for band in colours) >= 2 ** (_BITS[-2] - 8)
    if is_full or "a;" in _form(tiles):  # "a": Pillow has divided by the opacity
        if isinstance(image.info.get("transparency"), tuple):
            image.info["transparency"] = tuple(value >> 8 for value in image.info["transparency"])
        return image, [_remark(16, said=False)]
    with reopen() as again:
        again.tile = _with_form(tiles, _swapped(_form(tiles)))
        low = np.asarray(again)
    values = np.asarray(image).astype(np.uint16) << 8 | low
    eight, remarks = _from_channels(values, image.mode, depth)
    if isinstance(transparent := image.info.get("transparency"), tuple):
        _hide(eight, (values == transparent).all(axis=-1))
    return eight, remarks


def _from_channels(values: _Values, mode: str, depth: _Depth) -> _Loaded:
    if not mode.endswith("A"):
        eight, remarks = _scale(values, depth)
    else:
        colours, remarks = _scale(values[..., :-1], depth)
        eight = np.concatenate([colours, _scale(values[..., -1:], depth)[0]], axis=-1)
    height, width = values.shape[:2]
    return Image.frombytes(mode, (width, height), eight.tobytes()), remarks


def _scale(values: _Values, depth: _Depth) -> tuple[_Values, list[str]]:
    low, top = int(values.min()), int(values.max())
    if low < 0 or top > 65535:
        raise DataError(f"an image of values from {low:,} to {top:,}; save it with 8 or 16 bits, from 0 on")
    said = 0 < top <= depth.white
    if not said:
        bits = next(bits for bits in _BITS if top < 2**bits)
        # Values of 8 bits that were spread to 16 are dark rather than small.
        if bits < 16 and not ((values % 257).any() and (values % 256).any()):
            bits = 16
        depth = _Depth(2**bits - 1, bits, depth.inverted)
    return _table(depth)[values], [_remark(depth.bits, said=said)]


def _table(depth: _Depth) -> _Values:
    """The value of 8 bits for each value of 16, rounded."""
    table = np.minimum((np.arange(65536) * 255 + depth.white // 2) // depth.white, 255).astype(np.uint8)
    return 255 - table if depth.inverted else table


def _remark(bits: int, *, said: bool) -> str:
    return f"16-bit images scaled as {bits} bits, {'as their files say' if said else 'by the range of their values'}"


def _form(tiles: list[Any]) -> str:
    """Pillow's name of the order of bits in the file ("raw mode"), such as RGB;16B."""
    args = tiles[0].args if tiles else ""
    form = args[0] if isinstance(args, tuple) and args else args
    return form if isinstance(form, str) else ""


def _with_form(tiles: list[Any], form: str) -> list[Any]:
    return [tile._replace(args=(form, *tile.args[1:]) if isinstance(tile.args, tuple) else form) for tile in tiles]


def _swapped(form: str) -> str:
    """The same form with the bytes of each value in the other order: little, big, or N for this machine's."""
    is_little = form.endswith("L") or (form.endswith("N") and sys.byteorder == "little")
    return form[:-1] + ("B" if is_little else "L")
