"""Values of more than 8 bits, as cameras, microscopes and scanners write them."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.pixels import check, read_rgb
from bakeoff.errors import DataError

BY_RANGE = "16-bit images scaled as {} bits, by the range of their values"
BY_FILE = "16-bit images scaled as {} bits, as their files say"


def picture(channels: int = 3) -> np.ndarray:
    y, x = np.mgrid[:24, :32]
    pixels = np.stack([20 + 7 * x, 20 + 9 * y, 130 + 80 * np.sin(x / 4), np.full(x.shape, 255)], axis=-1)
    return pixels.astype(np.uint8)[..., :channels]


def spread(pixels: np.ndarray, bits: int) -> np.ndarray:
    return ((pixels.astype(np.uint32) * (2**bits - 1) + 127) // 255).astype(np.uint16)


def png(values: np.ndarray, *chunks: bytes, bits: int = 16) -> bytes:
    """A PNG of 16 bits, or of fewer if it is grey and its width fills whole bytes."""
    height, width = values.shape[:2]
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    single = values.astype(">u2")[..., None].view(np.uint8)
    rows = b"".join(b"\0" + np.packbits(np.unpackbits(row, axis=-1)[..., -bits:]).tobytes() for row in single)
    parts = [b"IHDR" + header, *chunks, b"IDAT" + zlib.compress(rows), b"IEND"]
    packed = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def tiff(values: np.ndarray, order: str = "<", bits: int = 16, **tags: int) -> bytes:
    """A TIFF of one strip; `tags` go over what it would say, by name."""
    height, width, channels = values.shape
    numbers = {"photometric": 262, "planes": 284, "largest": 281, "preview": 254, "form": 339}
    numbers |= {"tile_width": 322, "tile_height": 323}
    says = {
        256: width,
        257: height,
        258: bits,
        259: 1,
        262: 2 if channels > 1 else 1,
        273: 8,
        277: channels,
        278: height,
    }
    says |= {numbers[name]: value for name, value in tags.items()}
    body = pack_12(values) if bits == 12 else values.astype(values.dtype.newbyteorder(order)).tobytes()
    says[279] = len(body)
    start, extra = 8 + len(body) + len(body) % 2, b""
    entries = b""
    for tag, value in sorted(says.items()):
        if tag in (258, 339) and channels > 2:
            place = start + 2 + 12 * len(says) + 4 + len(extra)
            extra += struct.pack(f"{order}{channels}H", *[value] * channels)
            entries += struct.pack(order + "HHII", tag, 3, channels, place)
        else:
            entries += struct.pack(order + "HHIH2x", tag, 3, 1, value)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", start)
    return head + body + bytes(len(body) % 2) + struct.pack(order + "H", len(says)) + entries + bytes(4) + extra


def pack_12(values: np.ndarray) -> bytes:
    first, second = values.reshape(-1, 2).T.astype(np.uint32)
    both = first << 12 | second
    return np.stack([both >> 16, both >> 8 & 255, both & 255], axis=-1).astype(np.uint8).tobytes()


def pnm(values: np.ndarray, white: int) -> bytes:
    height, width, channels = values.shape
    head = f"P{6 if channels == 3 else 5}\n{width} {height}\n{white}\n".encode()
    return head + values.astype(">u2" if white > 255 else np.uint8).tobytes()


def assert_like(data: bytes, expected: np.ndarray, within: int = 1) -> None:
    shown = np.repeat(expected[..., :1], 3, axis=-1) if expected.shape[2] < 3 else expected[..., :3]
    assert np.abs(read_rgb(data).astype(int) - shown).max() <= within


WRITERS: dict[str, Callable[[np.ndarray], bytes]] = {
    "PNG": png,
    "TIFF": tiff,
    "TIFF of a Mac": lambda values: tiff(values, ">"),
}


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("writer", list(WRITERS))
def test_values_of_fewer_bits_are_scaled_by_their_range(writer: str, channels: int, bits: int) -> None:
    data = WRITERS[writer](spread(picture(channels), bits))
    assert_like(data, picture(channels))
    assert check(data).remarks == (BY_RANGE.format(bits),)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("bits", [12, 16])
def test_opacity_is_scaled_beside_colours(channels: int, bits: int) -> None:
    values = spread(picture(4)[..., 4 - channels :], bits)
    values[..., -1] = 65535 // 5 * 2
    expected = 0.4 * picture(4)[..., 4 - channels : 3] + 0.6 * 255
    assert_like(png(values), expected.round())


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_compressed_values_are_scaled(compression: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(spread(picture(1), 12)[..., 0]).save(stream, "TIFF", compression=compression)
    assert_like(stream.getvalue(), picture(1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("white", [15, 100, 255, 1000, 1023, 4095, 65535])
def test_the_largest_value_of_a_pgm_or_ppm_is_white(white: int, channels: int) -> None:
    values = np.rint(picture(channels) * (white / 255)).astype(np.uint16)
    assert_like(pnm(values, white), picture(channels), within=max(1, 128 // white + 1))


def test_a_dark_pgm_stays_dark_because_it_says_its_white() -> None:
    data = pnm(spread(picture(1) // 8, 12), 4095)
    assert_like(data, picture(1) // 8)
    assert check(data).remarks == (BY_FILE.format(12),)


def test_a_tiff_may_say_its_largest_value() -> None:
    data = tiff(spread(picture(1) // 8, 12), largest=4095)
    assert_like(data, picture(1) // 8)
    assert check(data).remarks == (BY_FILE.format(12),)


def test_a_tiff_of_12_bits_is_read() -> None:
    data = tiff(spread(picture(1), 12), bits=12)
    assert_like(data, picture(1))
    assert check(data).remarks == (BY_FILE.format(12),)


def test_a_png_may_say_its_significant_bits() -> None:
    data = png(spread(picture(1) // 8, 12), b"sBIT\x0c")
    assert_like(data, picture(1) // 8)
    assert check(data).remarks == (BY_FILE.format(12),)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_dark_picture_of_8_bits_stays_dark_in_16(channels: int) -> None:
    dark = picture(channels) // 5
    assert_like(png(spread(dark, 16)), dark)


def test_zero_is_white_where_a_tiff_says_so() -> None:
    for bits in (12, 16):
        assert_like(tiff(2**bits - 1 - spread(picture(1), bits), photometric=0), picture(1))


def test_floats_from_0_to_1_are_scaled() -> None:
    data = tiff((picture(1) / 255).astype(np.float32), bits=32, form=3)
    assert_like(data, picture(1))
    assert check(data).remarks == ("images of floats, of which 0 is black and 1 is white",)


REFUSED: dict[str, tuple[bytes, str]] = {
    "floats to 255": (tiff(picture(1).astype(np.float32), bits=32, form=3), "floats from 20 to 23"),
    "no number": (tiff(np.full((4, 4, 1), np.nan, np.float32), bits=32, form=3), "floats from nan to nan"),
    "negative": (tiff(picture(1).astype(np.int16) - 30, form=2), "values from -10 to 20"),
    "signed bytes": (tiff(picture(1), bits=8, form=2), "signed values of 8 bits"),
    "32 bits": (tiff(picture(1).astype(np.uint32) * 70_000, bits=32), "values from 1,400,000 to"),
    "planes": (tiff(spread(picture(3), 16), planes=2), "its channels one after the other"),
    "doubles": (tiff(picture(1).astype(np.float64), bits=64, form=3), "of a rare form"),
    "tiles": (
        tiff(picture(3), bits=8, tile_width=40_000, tile_height=40_000),
        "40000x40000 pixels, more than 100,000,000",
    ),
    "preview": (tiff(picture(3), bits=8, preview=1), "first page is a preview"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_a_tiff_that_cannot_be_shown_is_refused(name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(DataError, match=message) as caught:
        read_rgb(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_transparency_of_a_grey_value_is_white(bits: int) -> None:
    values: Any = spread(picture(1), bits)
    data = png(values, b"tRNS" + struct.pack(">H", values[0, 0, 0]), bits=bits)
    expected = np.where(values == values[0, 0, 0], 255, values * 255.0 / (2**bits - 1))
    assert_like(data, expected.round())
    assert "images with transparent pixels, which become white" in check(data).remarks


@pytest.mark.parametrize("bits", [12, 16])
def test_transparency_of_a_colour_of_16_bits_is_white(bits: int) -> None:
    values: Any = spread(picture(), bits)
    data = png(values, b"tRNS" + struct.pack(">HHH", *values[0, 0]))
    hidden = (values == values[0, 0]).all(axis=-1, keepdims=True)
    assert hidden.any()
    assert_like(data, np.where(hidden, 255, picture()))
