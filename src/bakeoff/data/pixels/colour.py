"""Colours become sRGB: by the embedded ICC profile, as a colour-managed viewer shows them."""

import hashlib
import io
from threading import Lock
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

from bakeoff.data.pixels.metadata import Metadata

__all__ = ["to_srgb"]

_CONVERTED = "images with a colour profile, converted to sRGB"
_BROKEN = "images with a damaged or unfit colour profile, read as sRGB"
_GAMMA = "images with a gamma of their own, converted to sRGB's"
_WIDE = "images in a wide or HDR colour space without a profile, read as sRGB"
_CMYK = "CMYK images without a profile, converted by the plain formula"

# The mode to convert, by an image's mode and its profile's colour space. Grey files often carry the profile of their
# camera: a grey is then three equal values.
_FITTING = {("L", "GRAY"): "L", ("L", "RGB"): "RGB", ("RGB", "RGB"): "RGB", ("CMYK", "CMYK"): "CMYK"}
# Thousands of files share a few profiles, and to build a transform takes longer than to apply it.
_MOST_TRANSFORMS = 64
# Two 8-bit values that differ by no more are one value, rounded.
_ROUNDING = 1


class _Transform(NamedTuple):
    """How a profile's colours become sRGB."""

    mode: str
    """The mode that an image must have."""
    to_srgb: ImageCms.ImageCmsTransform | None
    """None if the profile is sRGB."""


_transforms: dict[tuple[bytes, str], _Transform | None] = {}
_lock = Lock()


def to_srgb(image: Image.Image, found: Metadata) -> tuple[Image.Image, list[str]]:
    """Convert an image of 8 bits without transparency to sRGB.

    Args:
        image: The image.
        found: Its metadata, with the profile.

    Returns:
        The image in the mode RGB, and remarks on what was done. A broken profile, or one for other channels than the
        image has, changes nothing.
    """
    remarks = []
    if image.mode in ("P", "PA", "RGBX", "YCbCr", "HSV"):
        image = image.convert("RGB")
    elif image.mode == "1":
        image = image.convert("L")
    if found.profile is not None and image.mode != "LAB":
        transform = _find_transform(found.profile, image.mode)
        if transform is None:
            remarks.append(_BROKEN)
        elif transform.to_srgb:
            return transform.to_srgb.apply(image.convert(transform.mode)), [_CONVERTED]
    elif found.gamma:
        levels = _encode_srgb((np.arange(256) / 255) ** (100_000 / found.gamma))
        return image.convert("RGB").point([*levels] * 3), [_GAMMA]
    elif found.wide:
        remarks.append(_WIDE)
    if image.mode == "CMYK":
        remarks.append(_CMYK)
    return image if image.mode == "RGB" else image.convert("RGB"), remarks


def _find_transform(profile: bytes, mode: str) -> _Transform | None:
    """The transform for images of this mode; None if there is none."""
    key = hashlib.sha256(profile).digest(), mode
    with _lock:
        if key not in _transforms:
            while len(_transforms) >= _MOST_TRANSFORMS:
                del _transforms[next(iter(_transforms))]
            _transforms[key] = _build_transform(profile, mode)
        return _transforms[key]


def _build_transform(profile: bytes, mode: str) -> _Transform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _FITTING[mode, source.profile.xcolor_space.strip()]
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        # Without the cache of the last pixel, threads can share a transform.
        transform = ImageCms.ImageCmsTransform(source, target, mode, "RGB", flags=ImageCms.Flags.NOCACHE)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return _Transform(mode, None if _is_srgb(transform) else transform)


def _is_srgb(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a transform leaves colours as they are: sRGB has many profiles, some of them without its name."""
    mode = transform.input_mode
    if mode == "CMYK":
        return False
    levels = np.arange(0, 256, 1 if mode == "L" else 15, dtype=np.uint8)
    colours = np.stack(np.meshgrid(*[levels] * len(mode), indexing="ij"), axis=-1)
    sample = Image.frombytes(mode, (colours.size // len(mode), 1), colours.tobytes())
    differences = np.asarray(transform.apply(sample)).astype(int) - np.asarray(sample.convert("RGB"))
    return int(np.abs(differences).max()) <= _ROUNDING


def _encode_srgb(light: np.ndarray) -> list[int]:
    """sRGB's values 0 to 255 of linear light 0 to 1."""
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return [int(value) for value in np.rint(255 * values)]
