import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.pixels import IMAGE_SUFFIXES, decode, read_rgb, read_size, resize_to_square
from bakeoff.data.pixels.metadata import read_metadata
from bakeoff.data.pixels.opened import opened
from bakeoff.errors import DataError
from factories import encode_png

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "JPEG2000", "AVIF", "PPM")


def save(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def picture(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([255 * x / width, 255 * y / height, np.full((height, width), 90)], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_becomes_a_square_of_rgb_that_looks_like_the_original(kind: str) -> None:
    pixels = decode(save(picture(90, 60), kind), 30)
    assert pixels.shape == (30, 30, 3)
    assert pixels.dtype == np.uint8
    expected = resize_to_square(np.asarray(picture(90, 60)), 30)
    assert np.abs(pixels.astype(int) - expected).mean() < 12


def test_an_image_of_the_right_size_is_not_touched() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert np.array_equal(decode(encode_png(noise), 32), noise)
    assert resize_to_square(noise, 32) is noise


def test_the_crop_is_central() -> None:
    stripes = np.zeros((10, 30, 3), np.uint8)
    stripes[:, 10:20] = 255
    assert decode(encode_png(stripes), 10).min() == 255
    assert resize_to_square(stripes, 10).min() == 255


def test_the_middle_of_a_very_long_picture_is_shown_in_little_memory() -> None:
    long = np.zeros((2, 1_000_001, 3), np.uint8)
    long[:, 499_998:500_003] = 255
    tracemalloc.start()
    for pixels in (decode(encode_png(long), 64), resize_to_square(long, 64), resize_to_square(long.swapaxes(0, 1), 64)):
        assert pixels.shape == (64, 64, 3)
        assert pixels.min() > 200
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


def test_pixels_are_resized_as_files_are() -> None:
    pixels = np.asarray(picture(50, 41))
    assert np.array_equal(resize_to_square(pixels, 20), decode(encode_png(pixels), 20))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_of_a_grey_ramp_stays_a_grey_ramp(mode: str) -> None:
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    if mode == "I;16":
        image = Image.fromarray(ramp.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(ramp).convert("RGB").convert(mode)
    pixels = decode(save(image, "JPEG" if mode == "CMYK" else "PNG"), 64)
    assert pixels[:, :8].mean() < 30
    assert pixels[:, -8:].mean() > 225


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    grey = np.full((8, 8), 128 * 257, np.uint16)
    assert set(np.unique(decode(save(Image.fromarray(grey)), 8))) == {128}


def test_transparent_pixels_are_white() -> None:
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert decode(save(image), 8).min() == 255
    palette = Image.new("P", (8, 8), 0)
    assert decode(save(palette, transparency=0), 8).min() == 255


def test_an_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = save(picture(40, 20), "JPEG", exif=exif)
    assert read_size(data) == (20, 40)
    assert read_rgb(data).shape == (40, 20, 3)
    # Turned clockwise, what ran from left to right (red) runs from top to bottom.
    red = decode(data, 20)[..., 0].astype(int)
    assert red[-1].mean() - red[0].mean() > 80
    assert abs(red[:, -1].mean() - red[:, 0].mean()) < 20


def test_an_animation_is_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data, 8)[0, 0].tolist() == [255, 0, 0]


def test_the_size_is_width_then_height() -> None:
    assert read_size(save(picture(31, 17))) == (31, 17)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("part", [0.0, 0.02, 0.5])
def test_a_truncated_file_is_a_data_error(kind: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = save(Image.fromarray(noise), kind)
    with pytest.raises(DataError) as caught:
        decode(data[: int(part * len(data))], 32)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(60))
def test_garbled_bytes_never_raise_anything_but_a_data_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(save(picture(40, 30), FORMATS[seed % len(FORMATS)]))
    for place in rng.integers(0, len(data), 8):
        data[place] = rng.integers(0, 256)
    try:
        shape = decode(bytes(data), 16).shape
    except DataError:
        shape = (16, 16, 3)
    assert shape == (16, 16, 3)


def test_text_is_not_an_image() -> None:
    with pytest.raises(DataError, match="not a JPEG, PNG"):
        decode(b"hello, I am a text file that somebody renamed", 8)


def test_a_decompression_bomb_is_refused_from_its_header() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    body = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    with pytest.raises(DataError):
        decode(b"\x89PNG\r\n\x1a\n" + b"".join(body), 8)


def test_the_pixel_limit_names_the_size() -> None:
    with pytest.raises(DataError, match="11x10 pixels, more than 100"):
        decode(save(picture(11, 10)), 8, limit=100)


@pytest.mark.parametrize(("limit", "part"), [(120_000, 1), (60_000, 2), (20_000, 4), (15_000, 4)])
def test_a_jpeg_beyond_the_limit_is_decoded_at_a_part_of_its_size(limit: int, part: int) -> None:
    data = save(picture(400, 300), "JPEG")
    with opened(data, limit) as file:
        file.image.load()
        assert file.image.size == (400 // part, 300 // part)
        assert file.is_reduced == (part > 1)
        assert file.shape == (300, 400)
    expected = resize_to_square(np.asarray(picture(400, 300)), 30)
    assert np.abs(decode(data, 30, limit=limit).astype(int) - expected).mean() < 6


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_far_beyond_the_limit_is_refused(progressive: bool) -> None:
    most = 2 if progressive else 8
    data = save(picture(400, 300), "JPEG", progressive=progressive)
    assert decode(data, 30, limit=120_000 // most).shape == (30, 30, 3)
    with pytest.raises(DataError, match="400x300 pixels, more than"):
        decode(data, 30, limit=120_000 // most - 1)


def test_a_jpeg_that_its_decoder_must_hold_in_memory_is_known() -> None:
    baseline, progressive = (save(picture(40, 30), "JPEG", progressive=value) for value in (False, True))
    scan = baseline.index(b"\xff\xda")
    one_channel_first = baseline[: scan + 2] + b"\0\x08\1\1\0\0\x3f\0" + baseline[scan + 14 :]
    junk = baseline[:2] + b"\0\0" + baseline[2:]
    assert [read_metadata(data, "JPEG").buffered for data in (baseline, progressive, one_channel_first, junk)] == [
        False, True, True, True,
    ]  # fmt: skip


def test_a_jpeg_of_thousands_of_scans_is_refused() -> None:
    data = save(picture(40, 30), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(DataError, match=r"a JPEG of 3,0\d\d scans"):
        decode(data[:-2] + 3000 * last + data[-2:], 8)


def test_other_formats_beyond_the_limit_are_refused() -> None:
    for kind in FORMATS:
        if kind != "JPEG":
            with pytest.raises(DataError, match="40x30 pixels, more than 1,000"):
                decode(save(picture(40, 30), kind), 8, limit=1000)


def test_formats_that_start_other_programs_are_refused() -> None:
    with pytest.raises(DataError, match="a PostScript document"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", 8)


def test_suffixes_are_lower_case_with_a_dot() -> None:
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in IMAGE_SUFFIXES)
