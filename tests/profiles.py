"""ICC profiles of version 2, written from published primaries, and files that carry them."""

import io
import struct

import numpy as np
from PIL import Image, ImageCms

_D50 = (0.9642, 1.0, 0.8249)


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _build(device: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none\0", b"wtpt": b"XYZ \0\0\0\0" + _fixed(*_D50), **tags}
    offset, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += padded
    header = struct.pack(">I4sI4s4s4s", offset + len(body), bytes(4), 0x02400000, device, space, connection)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp"
    return header.ljust(68, b"\0") + _fixed(*_D50).ljust(60, b"\0") + table + body


def _gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def rgb_profile(red: tuple, green: tuple, blue: tuple, gamma: float, **more: bytes) -> bytes:
    """A display's profile: the XYZ of its primaries, adapted to D50, and its gamma."""
    primaries = {b"rXYZ": red, b"gXYZ": green, b"bXYZ": blue}
    tags = {name: b"XYZ \0\0\0\0" + _fixed(*value) for name, value in primaries.items()}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _gamma(gamma))
    return _build(b"mntr", b"RGB ", b"XYZ ", {**tags, **curves, **{key.encode(): value for key, value in more.items()}})


def grey_profile(gamma: float) -> bytes:
    return _build(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _gamma(gamma)})


def cmyk_profile() -> bytes:
    """A printer's profile: a table from the 16 mixtures of full inks to Lab; cyan is greener than the formula's."""
    lab = []
    for mixture in range(16):
        cyan, magenta, yellow, black = (mixture >> bit & 1 for bit in (3, 2, 1, 0))
        light = 95 * (1 - 0.35 * cyan) * (1 - 0.45 * magenta) * (1 - 0.08 * yellow) * (1 - 0.85 * black)
        a, b = -35 * cyan + 65 * magenta, -30 * cyan - 5 * magenta + 80 * yellow
        lab += [round(light * 2.55), 128 + round(a * (1 - black)), 128 + round(b * (1 - black))]
    identity = bytes(range(256))
    matrix = _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + identity * 4 + bytes(lab) + identity * 3
    return _build(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


ADOBE = rgb_profile((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457), 2.19921875)
DISPLAY_P3 = rgb_profile((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407), 2.2)
PROPHOTO = rgb_profile((0.79767, 0.28804, 0.0), (0.13519, 0.71187, 0.0), (0.03134, 0.00009, 0.82491), 1.8)
# The primaries of sRGB with the plain gamma of 2.2: many tools write it, and darks differ from sRGB's.
GAMMA_22 = rgb_profile((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141), 2.2)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def convert(image: Image.Image, profile: bytes) -> np.ndarray:
    """What a colour-managed viewer shows: the reference."""
    source, target = (ImageCms.ImageCmsProfile(io.BytesIO(data)) for data in (profile, SRGB))
    return np.asarray(ImageCms.profileToProfile(image, source, target, outputMode="RGB"))


def convert_from_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The same picture in the colours of a profile."""
    source, target = (ImageCms.ImageCmsProfile(io.BytesIO(data)) for data in (SRGB, profile))
    return ImageCms.profileToProfile(image, source, target)
