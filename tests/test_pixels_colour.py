"""Colours against a colour-managed reference, ImageCms."""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from bakeoff.data.pixels import check, decode, read_rgb
from bakeoff.data.pixels.colour import to_srgb
from bakeoff.data.pixels.metadata import Metadata
from profiles import (
    ADOBE,
    DISPLAY_P3,
    GAMMA_22,
    PROPHOTO,
    SRGB,
    cmyk_profile,
    convert,
    convert_from_srgb,
    grey_profile,
    rgb_profile,
)

WIDE = {"Adobe RGB": ADOBE, "Display P3": DISPLAY_P3, "ProPhoto": PROPHOTO, "gamma 2.2": GAMMA_22}
CONVERTED = ("images with a colour profile, converted to sRGB",)
UNFIT = ("images with a damaged or unfit colour profile, read as sRGB",)


def save(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture() -> Image.Image:
    y, x = np.mgrid[:60, :80]
    pixels = np.stack([30 + 2 * x, 30 + 3 * y, 120 + 80 * np.sin(x / 9)], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def distance(data: bytes, expected: Any) -> int:
    return int(np.abs(read_rgb(data).astype(int) - np.asarray(expected)).max())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("name", list(WIDE))
def test_an_embedded_profile_is_converted_to_srgb(name: str, kind: str) -> None:
    data = save(picture(), kind, icc_profile=WIDE[name])
    with Image.open(io.BytesIO(data)) as opened:
        assert distance(data, convert(opened, WIDE[name])) <= 1
    assert check(data).remarks == CONVERTED


@pytest.mark.parametrize("name", list(WIDE))
def test_one_picture_in_several_spaces_becomes_one_picture(name: str) -> None:
    data = save(convert_from_srgb(picture(), WIDE[name]), icc_profile=WIDE[name])
    # Rounded to 8 bits in the wide space, which has fewer values for these colours.
    assert distance(data, picture()) <= 6
    assert np.abs(decode(data, 30).astype(int) - decode(save(picture()), 30)).max() <= 3


def test_profiles_of_srgb_change_nothing_and_are_not_mentioned() -> None:
    data = save(picture(), icc_profile=SRGB)
    assert distance(data, picture()) == 0
    assert check(data).remarks == ()


@pytest.mark.parametrize("profile", [b"", b"not a profile", ADOBE[:200], grey_profile(1.0), cmyk_profile()])
def test_a_broken_or_unfit_profile_leaves_the_pixels_as_they_are(profile: bytes) -> None:
    pixels, remarks = to_srgb(picture(), Metadata(b"", profile=profile))
    assert pixels == picture()
    assert tuple(remarks) == UNFIT


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_broken_profile_loses_no_picture(kind: str) -> None:
    data = save(picture(), kind, icc_profile=b"not a profile at all")
    assert distance(data, picture()) == 0
    assert check(data).remarks == UNFIT


@pytest.mark.parametrize("mode", ["P", "RGBA"])
def test_a_profile_holds_for_palettes_and_below_transparency(mode: str) -> None:
    image = picture().quantize(64) if mode == "P" else picture()
    expected = convert(image.convert("RGB"), ADOBE).astype(float)
    if mode == "RGBA":
        image.putalpha(102)
        expected = 0.4 * expected + 0.6 * 255
    assert distance(save(image, icc_profile=ADOBE), expected.round()) <= 1


@pytest.mark.parametrize("profile", [grey_profile(1.0), grey_profile(2.2), ADOBE])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_grey_is_converted_by_a_grey_profile_or_by_that_of_a_camera(kind: str, profile: bytes) -> None:
    data = save(picture().convert("L"), kind, icc_profile=profile)
    with Image.open(io.BytesIO(data)) as opened:
        expected = convert(opened.convert("RGB") if profile == ADOBE else opened, profile)
    assert distance(data, expected) <= 1


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_converted_by_its_profile(kind: str) -> None:
    data = save(picture().convert("CMYK"), kind, icc_profile=cmyk_profile())
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.mode == "CMYK"
        assert distance(data, convert(opened, cmyk_profile())) <= 1
        assert np.abs(read_rgb(data).astype(int) - np.asarray(opened.convert("RGB"))).mean() > 10


def test_cmyk_without_a_profile_is_converted_by_the_plain_formula() -> None:
    data = save(Image.new("CMYK", (8, 8), (100, 50, 0, 55)), "TIFF")
    assert read_rgb(data)[0, 0].tolist() == [round((255 - ink) * 200 / 255) for ink in (100, 50, 0)]
    assert check(data).remarks == ("CMYK images without a profile, converted by the plain formula",)


def test_lab_is_converted() -> None:
    lab = ImageCms.profileToProfile(
        picture(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert distance(save(lab, "TIFF"), lab.convert("RGB")) <= 1


def test_a_profile_of_two_megabytes_is_read() -> None:
    padded = rgb_profile(
        (0.60974, 0.31111, 0.01947),
        (0.20528, 0.62567, 0.06087),
        (0.14919, 0.06322, 0.74457),
        2.19921875,
        priv=b"data\0\0\0\0" + bytes(2_000_000),
    )
    assert distance(save(picture(), icc_profile=padded), convert(picture(), ADOBE)) <= 1


def test_a_profile_in_jpeg_2000_is_read() -> None:
    plain = save(picture(), "JPEG2000")
    start = plain.index(b"colr") - 4
    box = (15 + len(ADOBE) - 4).to_bytes(4, "big") + b"colr\2\0\0" + ADOBE
    header = plain.index(b"jp2h") - 4
    length = int.from_bytes(plain[header : header + 4], "big") + len(box) - 15
    data = plain[:header] + length.to_bytes(4, "big") + plain[header + 4 : start] + box + plain[start + 15 :]
    assert distance(data, convert(picture(), ADOBE)) <= 1


def test_threads_convert_as_one_thread_does() -> None:
    files = [save(picture(), icc_profile=list(WIDE.values())[index % len(WIDE)]) for index in range(40)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(read_rgb, files))
    assert all(np.array_equal(pixels, read_rgb(data)) for pixels, data in zip(together, files, strict=True))
