"""What files are by their content, and that metadata lose no picture."""

import io
import struct
import sys
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from bakeoff.data.pixels import HEAD_BYTES, check, decode, is_image, read_rgb, read_size
from bakeoff.errors import DataError

LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "BMP": {},
    "DIB": {},
    "TIFF": {"compression": "tiff_lzw"},
    "WEBP": {"lossless": True},
    "JPEG2000": {},
    "PPM": {},
}
LOSSY: dict[str, dict[str, Any]] = {"JPEG": {"quality": 98}, "MPO": {"quality": 98}, "AVIF": {"quality": 98}}
UPRIGHT, TURNED = (24, 32), (32, 24)


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def picture(width: int = 32, height: int = 24) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([250 * x / width, 250 * y / height, 0 * x + 90], axis=-1).astype(np.uint8))


def jpeg_with(exif: bytes) -> bytes:
    data = save(picture(), "JPEG")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif + data[2:]


def tags(*entries: tuple[int, int, int, bytes], rest: bytes = b"") -> bytes:
    packed = b"".join(struct.pack("<HHI", tag, form, count) + value for tag, form, count, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(4) + rest


def png_with(*chunks: bytes) -> bytes:
    data = save(picture(), "PNG")
    packed = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return data[:33] + b"".join(packed) + data[33:]


@pytest.mark.parametrize("kind", [*LOSSLESS, *LOSSY])
def test_every_format_is_read_by_its_content(kind: str) -> None:
    data = save(picture(), kind, **LOSSLESS.get(kind, LOSSY.get(kind, {})))
    assert is_image(data[:HEAD_BYTES])
    difference = np.abs(read_rgb(data).astype(int) - np.asarray(picture()))
    assert difference.max() <= (0 if kind in LOSSLESS else 16)
    assert check(data).shape == UPRIGHT
    assert read_size(data) == (32, 24)


def test_the_first_frame_or_page_is_read_and_that_is_said() -> None:
    frames = [picture(), picture().transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    for kind in ("PNG", "TIFF", "WEBP", "AVIF", "GIF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = save(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert read_rgb(data)[:, :8, 0].mean() < 80
        assert check(data).remarks == ("images of several frames or pages, of which the first is read",)


def test_heic_is_an_image_that_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
    assert is_image(head[:HEAD_BYTES])
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DataError, match=r"pip install 'bakeoff\[heic\]'"):
        read_rgb(head)


def test_heic_is_read_upright_and_in_srgb() -> None:
    heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    heif.from_pillow(picture()).save(stream, quality=-1, chroma=444, exif=exif.tobytes())
    expected = picture().transpose(Image.Transpose.ROTATE_270)
    assert np.abs(read_rgb(stream.getvalue()).astype(int) - np.asarray(expected)).max() <= 2
    assert read_size(stream.getvalue()) == (24, 32)


OTHERS = {
    "a page of an error": (b"\n<!DOCTYPE html><html><body>404 Not Found</body></html>", "an HTML page"),
    "a page without a type": (b"<html><body>404 Not Found</body></html>", "an HTML page"),
    "an answer of a store": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML text"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n", "git lfs pull"),
    "a drawing": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    "a document": (b"%PDF-1.7 and more", "a PDF document"),
    "a video": (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "a video"),
    "an archive": (b"PK\3\4" + bytes(30), "an archive"),
    "zeros": (bytes(3000), "nothing but zero bytes"),
    "a mail": (b"BMW sells cars, and this is a text about that", "not a JPEG, PNG"),
    "a list": (b"P1 and P2 are people", "not a JPEG, PNG"),
}


@pytest.mark.parametrize("name", list(OTHERS))
def test_what_is_no_image_is_named(name: str) -> None:
    data, message = OTHERS[name]
    assert not is_image(data[:HEAD_BYTES])
    with pytest.raises(DataError, match=message):
        decode(data, 8)


ORIENTED = (0x0112, 3, 1, b"\6\0\0\0")
AFTER_TWO = struct.pack("<I", 38)
EXIF = {
    "a fraction of -1/0": (tags(ORIENTED, (0x9201, 10, 1, AFTER_TWO), rest=struct.pack("<ii", -1, 0)), TURNED),
    "a fraction of 1/0": (tags(ORIENTED, (0x829A, 5, 1, AFTER_TWO), rest=struct.pack("<II", 1, 0)), TURNED),
    "its header twice": (b"Exif\0\0" + tags(ORIENTED), TURNED),
    "cut short": (tags(ORIENTED)[:14], UPRIGHT),
    "an offset that leads nowhere": (tags(ORIENTED, (0x9286, 7, 5, b"\x60\xea\0\0")), TURNED),
    "a text that is none": (tags(ORIENTED, (0x0132, 2, 4, b"\xff\xfe\xfd\0")), TURNED),
    "a table in itself": (tags(ORIENTED, (0x8769, 4, 1, b"\x08\0\0\0")), TURNED),
    "an unknown type": (tags(ORIENTED, (0x9000, 99, 4, b"0230")), TURNED),
    "a resolution that is no number": (
        tags(ORIENTED, (0x011A, 12, 1, AFTER_TWO), rest=b"\0" * 6 + b"\xf8\x7f"),
        TURNED,
    ),
    "an orientation of 9": (tags((0x0112, 3, 1, b"\x09\0\0\0")), UPRIGHT),
    "an orientation in words": (tags((0x0112, 2, 2, b"6\0\0\0")), UPRIGHT),
    "nothing": (b"", UPRIGHT),
    "garbage": (b"MM\0*garbage garbage", UPRIGHT),
    "Motorola's order": (b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0", TURNED),
    "a count of entries beyond its end": (b"II*\0\x08\0\0\0\xff\xff", UPRIGHT),
}


@pytest.mark.parametrize("name", list(EXIF))
def test_broken_exif_loses_no_picture(name: str) -> None:
    exif, shape = EXIF[name]
    files = [jpeg_with(exif), png_with(b"eXIf" + exif), save(picture(), "WEBP", exif=b"Exif\0\0" + exif)]
    for data in files:
        assert read_rgb(data).shape[:2] == check(data).shape == shape
        assert decode(data, 8).shape == (8, 8, 3)


TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@pytest.mark.parametrize("value", list(TURNS))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_orientation_is_applied(kind: str, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    turn = TURNS[value]
    expected = picture() if turn is None else picture().transpose(turn)
    data = save(picture(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert np.abs(read_rgb(data).astype(int) - np.asarray(expected)).max() <= (16 if kind == "JPEG" else 0)


TEXTS = {
    "3 MB of XMP, compressed": b"iTXtXML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"x" * 3_000_000),
    "3 MB of plain text": b"tEXtparameters\0" + b"x" * 3_000_000,
    "100 MB of text, compressed": b"zTXtbomb\0\0" + zlib.compress(bytes(100_000_000), 9),
    "a broken profile": b"iCCPname\0\0not compressed at all",
    "a profile of 100 MB": b"iCCPname\0\0" + zlib.compress(bytes(100_000_000), 9),
    "an animation that is none": b"acTL\0\0\0\0\0\0\0\0",
    "a gamma cut short": b"gAMA\0\0",
}


@pytest.mark.parametrize("name", list(TEXTS))
def test_what_a_png_carries_beside_its_pixels_loses_no_picture(name: str) -> None:
    data = png_with(TEXTS[name])
    tracemalloc.start()
    assert np.array_equal(read_rgb(data), np.asarray(picture()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40_000_000


@pytest.mark.parametrize(("gamma", "shown"), [(45_455, 125), (100_000, 186), (55_556, 144)])
def test_a_gamma_is_converted_unless_it_stands_for_srgb(gamma: int, shown: int) -> None:
    assert np.asarray(picture())[0, 16, 0] == 125
    data = png_with(b"gAMA" + struct.pack(">I", gamma))
    assert abs(int(read_rgb(data)[0, 16, 0]) - shown) <= 1
    assert bool(check(data).remarks) == (gamma != 45_455)
    # A file that says sRGB as well is sRGB.
    assert np.array_equal(read_rgb(png_with(b"gAMA" + struct.pack(">I", gamma), b"sRGB\0")), np.asarray(picture()))


def test_a_wide_space_named_by_code_points_is_told() -> None:
    remark = "images in a wide or HDR colour space without a profile, read as sRGB"
    assert check(png_with(b"cICP\x0c\x0d\0\1")).remarks == (remark,)
    assert check(png_with(b"cICP\1\x0d\0\1")).remarks == ()


def test_metadata_of_the_libraries_themselves_do_not_matter() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "test")
    assert np.array_equal(read_rgb(save(picture(), "PNG", pnginfo=info, dpi=(72, 72))), np.asarray(picture()))
