"""What a file is, by its first bytes: a kind of image that is read, or what it is instead."""

import re

__all__ = ["HEAD_BYTES", "IMAGE_SUFFIXES", "KINDS", "describe_other", "is_image", "kind_of"]

HEAD_BYTES = 64
"""As many first bytes of a file are enough for `is_image` and `kind_of`."""

KINDS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "JPEG2000", "AVIF", "HEIF", "PPM")
"""Pillow's names of the formats that are read. It knows more: some start other programs (EPS), the others are rare."""

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jpg_large", ".mpo", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp"),
    *(".tif", ".tiff", ".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".j2c", ".avif", ".heic", ".heif", ".hif"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
"""Suffixes of files that are taken for images before their content is looked at."""

_MAGIC = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("WEBP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("JPEG2000", re.compile(rb"\0\0\0\x0cjP {2}\r\n\x87\n|\xff\x4f\xff\x51")),
    # Two letters alone are too common in texts: the size of the header that follows is looked at, too.
    ("BMP", re.compile(rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)),
    ("DIB", re.compile(rb"[\x28\x34\x38\x40\x6c\x7c]\0\0\0.{8}\x01\0[\x01\x04\x08\x10\x18\x20]\0", re.DOTALL)),
    ("PPM", re.compile(rb"P[1-6]\s+(#|\d)")),
)
_AVIF = {b"avif", b"avis"}
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}

_AGAIN = "not an image (a download that failed?); download it again"
_OTHERS = (
    (rb"version https://git-lfs", "a Git LFS pointer, which stands for the image; run: git lfs pull"),
    (rb"(?i)(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)", f"an HTML page, {_AGAIN}"),
    (rb"(?i)(\xef\xbb\xbf)?\s*(<\?xml.*?)?<(svg|!doctype svg)", "an SVG drawing; export it as PNG"),
    (rb"(\xef\xbb\xbf)?\s*<\?xml", f"an XML text, {_AGAIN}"),
    (rb"\s*\{\s*\"", f"a JSON text, {_AGAIN}"),
    (rb"%PDF-", "a PDF document; export its pages as PNG"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript document; export it as PNG"),
    (rb"8BPS", "a Photoshop document; export it as PNG"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL image, which cannot be read; convert it to PNG or JPEG"),
    (rb"FUJIFILMCCD-RAW|IIRO|IIRS|IIU\0", "a camera's raw file; export it as JPEG or TIFF"),
    (rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", "a video; extract frames from it"),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!", "an archive; unpack it"),
    (rb"\0+$", "nothing but zero bytes (a copy that broke off?); restore it"),
)
_NAMES = "JPEG, PNG, BMP, GIF, WebP, TIFF, JPEG 2000, AVIF, HEIC or PPM"


def kind_of(head: bytes) -> str | None:
    """The kind of image that starts with these bytes, one of KINDS; None if it is none of them."""
    brands = _read_brands(head[:HEAD_BYTES])
    if brands & _AVIF:
        return "AVIF"
    if brands & _HEIF:
        return "HEIF"
    return next((kind for kind, pattern in _MAGIC if pattern.match(head)), None)


def is_image(head: bytes) -> bool:
    """Whether a file is an image that is read, by its first HEAD_BYTES bytes; HEIC is one even without its package."""
    return kind_of(head) is not None


def describe_other(data: bytes) -> str:
    """What a file is that is no image, and what to do about it: a phrase."""
    start = data[:512]
    for pattern, phrase in _OTHERS:
        if re.match(pattern, start, re.DOTALL):
            return phrase
    return f"not a {_NAMES} image; convert or remove it"


def _read_brands(head: bytes) -> set[bytes]:
    """The brands that a file of the ISO media format (AVIF, HEIC, videos) says it conforms to."""
    if head[4:8] != b"ftyp":
        return set()
    box = head[: int.from_bytes(head[:4], "big")]
    return {box[start : start + 4] for start in (8, *range(16, len(box), 4))}
