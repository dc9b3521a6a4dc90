"""What all contact sheets share: sizes, colours, thumbnails, and how a sheet is saved."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bakeoff.files import replacing

__all__ = ["GAP", "MARGIN", "MUTED_TEXT", "TEXT", "THUMB", "TITLE", "draw_samples", "save", "to_text"]

# Sizes in pixels.
THUMB = 48
GAP = 4
MARGIN = 28
TITLE = 64
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
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def to_text(name: str) -> str:
    """The name of a class as it is drawn."""
    return name.replace("_", " ")
