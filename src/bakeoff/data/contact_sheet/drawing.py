"""What all contact sheets share: sizes, colours, thumbnails, and how a sheet is saved."""

import io
import os
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bakeoff.files import replacing

__all__ = [
    "GAP",
    "MARGIN",
    "MUTED_TEXT",
    "TEXT",
    "THUMB",
    "TITLE",
    "choose_path",
    "draw_samples",
    "save",
    "to_text",
]

# Sizes in pixels.
THUMB = 48
GAP = 4
MARGIN = 28
TITLE = 64
# By this text a sheet is known, and told from other pictures of its name. It is among the first bytes of the file.
_MARK = ("Software", "bakeoff")
_HEAD_BYTES = 100
# Images up to this side are enlarged without smoothing, so that their pixels can be seen.
_TINY = 16
TEXT, MUTED_TEXT, _BLANK = "#1d2430", "#5b6675", "#f1f3f6"


def draw_samples(
    sheet: Image.Image, images: Sequence[np.ndarray], left: int, top: int, columns: int, thumb: int = THUMB
) -> None:
    """Draw images side by side, and blanks up to the number of columns."""
    for column in range(columns):
        corner = (left + column * (thumb + GAP), top)
        if column >= len(images):
            sheet.paste(_BLANK, (*corner, corner[0] + thumb, corner[1] + thumb))
            continue
        picture = Image.fromarray(images[column])
        is_tiny = thumb % picture.width == 0 and picture.width <= _TINY
        method = Image.Resampling.NEAREST if is_tiny else Image.Resampling.LANCZOS
        sheet.paste(picture.resize((thumb, thumb), method), corner)


def save(sheet: Image.Image, path: Path) -> None:
    """Write a sheet as PNG, whole or not at all."""
    mark, buffer = PngInfo(), io.BytesIO()
    mark.add_text(*_MARK)
    sheet.save(buffer, format="PNG", optimize=True, pnginfo=mark)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def _is_sheet(path: Path) -> bool:
    """Whether a file is a sheet that bakeoff drew. False if it is not there or cannot be read."""
    try:
        with path.open("rb") as file:
            return "\0".join(_MARK).encode() in file.read(_HEAD_BYTES)
    except OSError:
        return False


def choose_path(usual: Path) -> tuple[Path, list[str]]:
    """Choose where a sheet is drawn: the usual path, or a numbered one where that is another file.

    Returns:
        The path, `photos.png` or `photos.2.png`; and a note if it is not the usual one.
    """
    numbered = (usual.with_name(f"{usual.stem}.{number}{usual.suffix}") for number in count(2))
    path = next(path for path in chain([usual], numbered) if _is_sheet(path) or not os.path.lexists(path))
    if path == usual:
        return path, []
    stays = f"{usual.name} is another file, or a picture of an earlier version, and stays as it is"
    return path, [f"{stays}; the picture is {path.name}"]


def to_text(name: str) -> str:
    """The name of a class as it is drawn."""
    return name.replace("_", " ")
