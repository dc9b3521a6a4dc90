"""Fonts that have given characters: DejaVu, which matplotlib brings, and those of this machine."""

import functools
from pathlib import Path
from typing import NamedTuple

import matplotlib
from PIL import ImageFont, features

__all__ = ["DEJAVU", "Font", "can_shape", "choose_fonts"]

# Fonts that have a box for every character.
_PLACEHOLDERS = ("lastresort", "adobeblank")
_STYLES = ("bold", "italic", "oblique", "light", "thin", "black", "condensed", "mono")


class Font(NamedTuple):
    """The files of a font."""

    regular: Path
    bold: Path
    """The same file where it has several weights, or where there is no other."""

    def load(self, size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
        """The font at a size in pixels. Raises OSError if Pillow cannot read it."""
        engine = ImageFont.Layout.RAQM if can_shape() else ImageFont.Layout.BASIC
        return _load(self.bold if bold else self.regular, size, 700 if bold else 400, engine)


_FOLDER = Path(matplotlib.get_data_path(), "fonts", "ttf")
DEJAVU = Font(_FOLDER / "DejaVuSans.ttf", _FOLDER / "DejaVuSans-Bold.ttf")


def choose_fonts(characters: set[str]) -> list[tuple[Font, set[str]]]:
    """Choose fonts for characters: DejaVu for those that it has, and as few others as have the rest.

    Returns:
        The fonts, DejaVu first, each with those of the characters that it has.
    """
    covered = _find_covered(DEJAVU.regular, characters) & _find_covered(DEJAVU.bold, characters)
    chosen = [(DEJAVU, covered)]
    missing = characters - covered
    found = [(path, _find_covered(path, characters)) for path in _find_files()] if missing else []
    while missing and found:
        # The first of the best: the plainest fonts come first.
        path, covered = max(found, key=lambda each: len(each[1] & missing))
        if not covered & missing:
            break
        found.remove((path, covered))
        if _can_load(Font(path, path)):
            chosen.append((Font(path, path), covered))
            missing -= covered
    return chosen


def can_shape() -> bool:
    """Whether Pillow joins and orders the letters of Arabic and Indic scripts. Its Raqm needs FriBiDi for that."""
    return bool(features.check("raqm"))


@functools.lru_cache(maxsize=64)
def _load(path: Path, size: int, weight: int, engine: ImageFont.Layout) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(str(path), size, layout_engine=engine)
    try:
        axes = font.get_variation_axes()
    except OSError:
        return font  # It has one weight.
    font.set_variation_by_axes([weight if axis["name"] == b"Weight" else axis["default"] or 0 for axis in axes])
    return font


def _find_files() -> list[Path]:
    """The font files on this machine, regular sans-serif ones first."""
    # It looks into the folders of Linux, macOS and Windows, and asks fontconfig where that is installed.
    from matplotlib.font_manager import findSystemFonts

    files = [path for path in map(Path, findSystemFonts()) if not path.stem.lower().startswith(_PLACEHOLDERS)]
    return sorted(files, key=_rank)


def _rank(path: Path) -> tuple[bool, bool, str]:
    name = path.stem.lower()
    return any(style in name for style in _STYLES), "sans" not in name, str(path)


def _find_covered(path: Path, characters: set[str]) -> set[str]:
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(str(path))
    except (OSError, RuntimeError):
        return set()  # Not a font that FreeType reads.
    return {char for char in characters if font.get_char_index(ord(char))}


def _can_load(font: Font) -> bool:
    try:
        font.load(16)
    except OSError:
        return False  # Its letters are pictures of other sizes.
    return True
