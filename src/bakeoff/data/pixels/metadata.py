"""What a file says about its pixels, read from the bytes: rotation, colour profile, gamma, significant bits.

Pillow parses metadata when it opens a JPEG or PNG, and refuses pictures with whole pixels because of a broken or a
large text, date or profile. So it is given these files without their metadata, and what pixels depend on is read here;
nothing that is wrong in it raises an error.
"""

import re
import struct
import zlib
from dataclasses import dataclass

__all__ = ["Metadata", "orientation_of", "read_metadata"]

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# Profiles of printers have up to some MB. It bounds the memory that a compressed one can take.
_PROFILE_BYTES = 16_000_000
# A PNG's usual gamma of 1/2.2 stands for sRGB.
_SRGB_GAMMA = range(43_000, 48_001)
# Colour primaries and transfer characteristics of ITU-T H.273 that are close to sRGB, or not specified.
_PLAIN_PRIMARIES = (1, 2, 5, 6, 7)
_PLAIN_TRANSFERS = (1, 2, 6, 13, 14, 15)
_ORIENTATION = 0x0112
_SHORT = 3


@dataclass(slots=True)
class Metadata:
    """What a file says about its pixels."""

    data: bytes
    """The file; of a JPEG or PNG, without metadata."""
    exif: bytes = b""
    """A TIFF header and its tags, or nothing."""
    profile: bytes | None = None
    """The ICC profile; empty if it cannot be unpacked, None if there is none."""
    gamma: int = 0
    """Of a PNG: 100,000 times the exponent that its values were encoded with; 0 if that is sRGB's or not known."""
    significant_bits: int = 0
    """Of a PNG: the bits of a value that carry information; 0 if not known."""
    wide: bool = False
    """Whether code points instead of a profile name a wide or HDR colour space."""
    is_animated: bool = False
    """Of a PNG: whether it has several frames."""
    buffered: bool = False
    """Of a JPEG: whether its decoder holds all of it in memory, even to decode it at a reduced size."""
    scans: int = 0
    """Of a JPEG: how many times its decoder goes through all of it."""


def read_metadata(data: bytes, kind: str) -> Metadata:
    """Read what a file of this kind says about its pixels; the rest is left to Pillow, which gets `Metadata.data`."""
    if kind == "JPEG":
        return _read_jpeg(data)
    if kind == "PNG":
        return _read_png(data)
    if kind == "JPEG2000":
        return Metadata(data, profile=_read_jp2_profile(data))
    if kind in ("AVIF", "HEIF"):
        boxes, mdat, rest = data.partition(b"mdat")
        codes = re.search(rb"colrnclx(....)", boxes, re.DOTALL)
        wide = bool(codes and _is_wide(*struct.unpack(">HH", codes[1])))
        # Their rotation is a box of its own. Pillow parses Exif although it is without effect.
        return Metadata(boxes.replace(b"Exif", b"skip") + mdat + rest, wide=wide)
    return Metadata(data)


def orientation_of(exif: bytes) -> int:
    """The orientation that EXIF data state, 1 to 8; 1 (upright) if they state none or cannot be read."""
    exif = re.sub(rb"^(Exif\0\0)+", b"", exif)
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * entries, 12):
            tag, form = struct.unpack_from(order + "HH", exif, entry)
            if tag == _ORIENTATION and form == _SHORT:
                (value,) = struct.unpack_from(order + "H", exif, entry + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:  # cut short, or an offset that leads nowhere
        return 1
    return 1


def _read_jpeg(data: bytes) -> Metadata:
    found = Metadata(data, buffered=True)
    kept, profile = [data[:2]], {}
    position, components, progressive = 2, 0, False
    while position + 4 < len(data) and data[position] == 0xFF:
        code, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if code == 0xFF:  # a fill byte
            position += 1
            continue
        end = position + 2 + length
        if code == 0xDA:  # the first scan: what follows are pixels
            found.buffered = progressive or data[position + 4] < components
            break
        if code < 0xC0 or 0xD0 <= code <= 0xD9 or length < 2 or end > len(data):
            break  # nothing that belongs here: Pillow decides
        body = data[position + 4 : end]
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            progressive = code not in (0xC0, 0xC1)
            components = body[5] if len(body) > 5 else 0
        if code == 0xE1 and body.startswith(b"Exif\0\0"):
            found.exif = found.exif or body
        elif code == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
            profile[body[12]] = body[14:]
        # JFIF's and Adobe's segments say how colours are encoded. The others are metadata.
        if code in (0xE0, 0xEE) or not (0xE0 <= code <= 0xEF or code == 0xFE):
            kept.append(data[position:end])
        position = end
    if sum(map(len, kept)) < position:
        found.data = b"".join([*kept, memoryview(data)[position:]])
    if found.buffered:
        found.scans = found.data.count(b"\xff\xda")  # in coded pixels, 0xff is followed by 0
    if profile:
        found.profile = b"".join(part for _, part in sorted(profile.items()))
    return found


def _read_png(data: bytes) -> Metadata:
    found = Metadata(data)
    view = memoryview(data)
    kept = [view[:8]]
    position, is_srgb = 8, False
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data) or name == b"IEND":
            break
        # A capital marks chunks that pixels cannot be decoded without. Transparency is the other one that is needed.
        if name[:1].isupper() or name == b"tRNS":
            kept.append(view[position:end])
        elif name == b"iCCP":
            found.profile = _unpack_profile(data[position + 8 : end - 4])
        elif name == b"eXIf":
            found.exif = data[position + 8 : end - 4]
        elif name == b"sBIT":
            found.significant_bits = max(data[position + 8 : end - 4], default=0)
        elif name == b"gAMA" and length == 4:
            (found.gamma,) = struct.unpack_from(">I", data, position + 8)
        elif name == b"sRGB":
            is_srgb = True
        elif name == b"cICP" and length == 4:
            found.wide = _is_wide(data[position + 8], data[position + 9])
        elif name == b"acTL":
            found.is_animated = True
        position = end
    if is_srgb or found.profile is not None or found.gamma in _SRGB_GAMMA:
        found.gamma = 0
    found.data = b"".join([*kept, view[position:]])
    return found


def _unpack_profile(chunk: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(chunk.partition(b"\0")[2][1:], _PROFILE_BYTES)
    except zlib.error:
        return b""


def _read_jp2_profile(data: bytes) -> bytes | None:
    """The profile in the `colr` box of the header, whose methods 2 and 3 are ICC profiles."""
    header = data[: max(data.find(b"jp2c"), 0)]
    start = header.find(b"colr")
    if start < 4 or header[start + 4 : start + 5] not in (b"\2", b"\3"):
        return None
    return header[start + 7 : start - 4 + int.from_bytes(header[start - 4 : start], "big")]


def _is_wide(primaries: int, transfer: int) -> bool:
    return primaries not in _PLAIN_PRIMARIES or transfer not in _PLAIN_TRANSFERS
