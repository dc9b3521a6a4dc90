"""Opens image files: refuses what is too large or no image, and says what it is."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from bakeoff.data.pixels.kinds import describe_other, kind_of
from bakeoff.data.pixels.metadata import Metadata, orientation_of, read_metadata
from bakeoff.errors import DataError

__all__ = ["PIXEL_LIMIT", "Opened", "opened"]

PIXEL_LIMIT = 100_000_000
"""Largest width times height that is decoded: as RGB it takes 400 MB. A larger JPEG is decoded at a reduced size."""

# In multiples of the limit: larger JPEGs take too long even at an eighth of their size; and those that the decoder has
# to hold in memory as a whole take too much memory.
_REDUCED = 8
_REDUCED_BUFFERED = 2

# Progressive JPEGs have about ten. Thousands, in a small file, would keep the decoder busy for minutes.
_MOST_SCANS = 500

# The plugins themselves, because Image.open hides why a plugin refuses a file, and has a limit of its own.
_PLUGINS: dict[str, Any] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "DIB": BmpImagePlugin.DibImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}
# The values of EXIF's orientation that swap width and height.
_TURNED = (5, 6, 7, 8)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# TIFF's tags NewSubfileType, with its bit for a smaller version of another page, and those of the sides of a tile.
_SUBFILE, _IS_PREVIEW = 254, 1
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_CUT_SHORT = re.compile(r"(?i)truncat|buffer|end of|no more|only got|too small|cannot read full")

# Our limit differs from Pillow's, and damaged metadata lose no picture. The texts vary, and Python stores each variant.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.(Tiff|Png)ImagePlugin")


@dataclass
class Opened:
    """An image file whose header has been read."""

    image: Any
    found: Metadata
    kind: str
    orientation: int
    size: tuple[int, int] | None
    """Of a JPEG: its (width, height) in pixels before any reduction."""
    is_reduced: bool = False
    """Whether it is decoded at a reduced size because of its own."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels, after the rotation and before any reduction; of HEIC, certain once decoded."""
        width, height = self.size or self.image.size
        return (width, height) if self.orientation in _TURNED else (height, width)

    def reopen(self) -> ImageFile.ImageFile:
        """Open the same file again."""
        return _open(self.found.data, self.kind)

    def turn(self, image: Image.Image) -> Image.Image:
        """Turn the decoded image upright."""
        turn = _TURNS.get(self.orientation)
        return image if turn is None else image.transpose(turn)


@contextmanager
def opened(data: bytes, limit: int = PIXEL_LIMIT, *, shorter: int | None = None) -> Iterator[Opened]:
    """Open an image file; what Pillow raises until it is closed becomes a DataError.

    Args:
        data: The bytes of the file.
        limit: The largest number of pixels to decode.
        shorter: A shorter side, in pixels, that is enough: a JPEG is decoded at a half, a quarter or an eighth of its
            size if that leaves as much.

    Raises:
        DataError: The file is no image, is damaged, or is too large.
    """
    if not data:
        raise DataError("the image is empty (0 bytes); restore or remove it")
    kind = kind_of(data)
    if kind is None:
        raise DataError(describe_other(data))
    try:
        found = read_metadata(data, kind)
        with _open(found.data, kind) as image:
            file = _describe(image, found, kind)
            file.is_reduced = _reduce(file, limit, shorter)
            yield file
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"the image has more than {limit:,} pixels; make it smaller") from error
    except Exception as error:  # Pillow's parsers raise many kinds of errors: struct.error, SyntaxError, KeyError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(_explain(reason)) from error


def _open(data: bytes, kind: str) -> ImageFile.ImageFile:
    image: ImageFile.ImageFile = (_load_heif() if kind == "HEIF" else _PLUGINS[kind])(io.BytesIO(data))
    return image


def _load_heif() -> Any:
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise DataError("a HEIC image, which needs another package; pip install 'bakeoff[heic]'") from error
    return HeifImageFile


def _describe(image: Any, found: Metadata, kind: str) -> Opened:
    if kind == "TIFF":
        # Pillow turns it while it decodes.
        if image.tag_v2.get(_SUBFILE, 0) & _IS_PREVIEW:
            raise DataError(
                "a TIFF whose first page is a preview, as in a camera's raw files; export it as JPEG or TIFF"
            )
        orientation = 1
    else:
        orientation = orientation_of(found.exif or image.info.get("exif") or b"")
    if found.profile is None:
        found.profile = image.info.get("icc_profile")
    return Opened(image, found, kind, orientation, image.size if kind == "JPEG" else None)


def _reduce(file: Opened, limit: int, shorter: int | None) -> bool:
    """Choose the size that is decoded; whether it is reduced because of the limit."""
    width, height = file.image.size
    pixels = width * height
    if file.found.scans > _MOST_SCANS:
        raise DataError(f"the image is a JPEG of {file.found.scans:,} scans; save it anew")
    if file.kind == "TIFF":
        # A tile is held in memory as a whole, even where it reaches beyond the image.
        tile = [file.image.tag_v2.get(tag, 0) for tag in (_TILE_WIDTH, _TILE_HEIGHT)]
        if tile[0] * tile[1] > limit:
            raise DataError(f"a TIFF of tiles of {tile[0]}x{tile[1]} pixels, more than {limit:,}; save it anew")
    is_jpeg = file.kind == "JPEG"
    most = limit * (_REDUCED_BUFFERED if file.found.buffered else _REDUCED) if is_jpeg else limit
    if pixels > most:
        raise DataError(f"the image has {width}x{height} pixels, more than {most:,}; make it smaller")
    wanted = min(width, height) // shorter if shorter else 1
    needed = next(part for part in (1, 2, 4, 8) if pixels <= limit * part**2)
    part = max(needed, *(part for part in (1, 2, 4, 8) if part <= max(wanted, 1)))
    if is_jpeg:
        file.image.draft(None, (max(width // part, 1), max(height // part, 1)))
    return needed > 1


def _explain(reason: str) -> str:
    """A line on what is wrong with a file that Pillow refuses for this reason."""
    if _CUT_SHORT.search(reason):
        return "the image is cut short (a copy or download that broke off?); restore or remove it"
    return f"the image is damaged, or of a rare form ({reason.rstrip('.')}); restore, convert or remove it"
