r"""Text of any script in a picture, each character in a font that has it.

A character that no font has is drawn as its code, as in `\u732b`. What a reader must know about it is in the notes.
"""

import itertools
import math
import unicodedata
from collections.abc import Iterable
from typing import Any

from PIL import ImageDraw, ImageFont

from bakeoff.data.fonts import DEJAVU, Font, can_shape, choose_fonts
from bakeoff.text import JOINERS, counted, escape, printable

__all__ = ["Lettering", "Style"]

# Drawn as part of the character before them, if at all: joiners, and the choice between forms of an emoji.
_UNDRAWN = frozenset(JOINERS) | frozenset(map(chr, range(0xFE00, 0xFE10)))
# What codes and shortened texts are written with.
_ALWAYS = frozenset(map(chr, range(32, 127))) | {"…"}
# No picture has room for more characters of a name.
_MAX_LENGTH = 500


class Lettering:
    """The fonts for some texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Find the fonts. `texts` are all that will be drawn: other characters are drawn as codes."""
        characters = set("".join(map(_normalise, texts))) - _UNDRAWN | _ALWAYS
        self._fonts = choose_fonts(characters)
        drawn = set[str]().union(*(found for _, found in self._fonts))
        self._missing = sorted(characters - drawn)
        self._unshaped = not can_shape() and any(map(_is_complex, drawn))
        # Kana and Hangul tell Japanese and Korean; the same ideographs have other forms in Chinese.
        is_chinese = not any("\u3040" <= char <= "\u30ff" or "\uac00" <= char <= "\ud7a3" for char in characters)
        self._language = "zh-Hans" if is_chinese else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not drawn as it is written, and how to mend it: one line each."""
        notes = []
        if self._missing:
            first = self._missing[0]
            notes.append(
                f"no font on this machine has {counted(len(self._missing), 'character')} of the names, such as"
                f" {first}; codes such as {escape(first)} are drawn instead; install a font that has them (Debian:"
                " fonts-noto-cjk and fonts-noto-core; or put a font file into ~/.local/share/fonts)"
            )
        if self._unshaped:
            notes.append(
                "Arabic or Indic letters in the names are drawn one by one and not joined, because Pillow finds no"
                " FriBiDi; install it (Debian: libfribidi0, macOS: brew install fribidi)"
            )
        return tuple(notes)

    def style(self, size: int, *, bold: bool = False) -> "Style":
        """The fonts at a size in pixels."""
        return Style(self, size, bold=bold)

    def lay_out(self, text: str) -> tuple[list[tuple[Font, str]], dict[str, Any]]:
        """Divide a text into pieces of one font each.

        Returns:
            The pieces from left to right, each with its font, and Pillow's options for all of them.
        """
        spelled, pieces = self._spell(text), list[tuple[int, str]]()
        for char in spelled:
            number = pieces[-1][0] if pieces else 0
            # A mark stays with its letter, and a space with the word before it.
            if char not in _UNDRAWN and not (unicodedata.category(char)[0] in "MZ" and self._has(number, char)):
                number = next(other for other in range(len(self._fonts)) if self._has(other, char))
            if pieces and pieces[-1][0] == number:
                pieces[-1] = (number, pieces[-1][1] + char)
            else:
                pieces.append((number, char))
        is_right = _is_right_to_left(spelled)
        ordered = [(self._fonts[number][0], piece) for number, piece in (reversed(pieces) if is_right else pieces)]
        if not can_shape():
            return [(font, _reorder(piece)) for font, piece in ordered], {}
        language = {"language": self._language} if self._language else {}
        return ordered, {"direction": "rtl" if is_right else "ltr", **language}

    def _spell(self, text: str) -> str:
        known = _normalise(text)
        drawn = "".join(
            char if char in _UNDRAWN or any(char in found for _, found in self._fonts) else escape(char)
            for char in known
        )
        return drawn if drawn.strip() else f"'{drawn}'"

    def _has(self, number: int, char: str) -> bool:
        return char in self._fonts[number][1]


class Style:
    """The fonts of a `Lettering` at one size."""

    def __init__(self, lettering: Lettering, size: int, *, bold: bool) -> None:
        self._lettering, self._size, self._bold = lettering, size, bold

    def width(self, text: str) -> float:
        """The width of a text in pixels."""
        pieces, options = self._lettering.lay_out(text)
        return math.fsum(self._load(font).getlength(piece, **options) for font, piece in pieces)

    def shorten(self, text: str, width: float) -> str:
        """As much of the start of a text as is at most `width` pixels wide, with `…` if it is not all."""
        if len(text) <= _MAX_LENGTH and self.width(text) <= width:
            return text
        clusters = _clusters(text[:_MAX_LENGTH])
        low, high = 0, len(clusters)
        while low < high:
            middle = (low + high + 1) // 2
            if self.width("".join(clusters[:middle]) + "…") <= width:
                low = middle
            else:
                high = middle - 1
        return "".join(clusters[:low]) + "…"

    def draw(self, draw: ImageDraw.ImageDraw, left: float, baseline: float, text: str, fill: str) -> None:
        """Draw a text that starts at `left` and stands on `baseline`."""
        pieces, options = self._lettering.lay_out(text)
        for font, piece in pieces:
            loaded = self._load(font)
            draw.text((left, baseline), piece, fill, loaded, anchor="ls", **options)
            left += loaded.getlength(piece, **options)

    def draw_centred(self, draw: ImageDraw.ImageDraw, left: float, middle: float, text: str, fill: str) -> None:
        """Draw a text that starts at `left` and has its middle at the height `middle`."""
        ascent, descent = self._load(DEJAVU).getmetrics()
        self.draw(draw, left, middle + (ascent - descent) / 2, text, fill)

    def _load(self, font: Font) -> ImageFont.FreeTypeFont:
        return font.load(self._size, bold=self._bold)


def _normalise(text: str) -> str:
    return printable(unicodedata.normalize("NFC", text))


def _is_right_to_left(text: str) -> bool:
    """Whether the first letter that has a direction is of a script that is written from right to left."""
    return next((side != "L" for char in text if (side := unicodedata.bidirectional(char)) in ("L", "R", "AL")), False)


def _is_complex(char: str) -> bool:
    """Whether a character changes form or place beside others, as in Arabic and in the scripts of India."""
    # 9 is the class of the signs that join two consonants.
    is_joined = unicodedata.category(char) == "Mc" or unicodedata.combining(char) == 9
    return is_joined or unicodedata.bidirectional(char) in ("R", "AL")


def _clusters(text: str) -> list[str]:
    """A text in parts that belong together: a letter with its marks, emoji that are joined."""
    clusters: list[str] = []
    for char in text:
        if clusters and (char in _UNDRAWN or unicodedata.category(char)[0] == "M" or clusters[-1][-1] == JOINERS[1]):
            clusters[-1] += char
        else:
            clusters.append(char)
    return clusters


def _reorder(piece: str) -> str:
    """A piece of a text from left to right, for a Pillow that does not do it, and without joiners."""
    clusters = _clusters("".join(char for char in piece if char not in _UNDRAWN))
    stretches = [
        (list(stretch)[:: -1 if is_right else 1])
        for is_right, stretch in itertools.groupby(
            clusters, lambda each: unicodedata.bidirectional(each[0]) in ("R", "AL")
        )
    ]
    return "".join(itertools.chain(*(reversed(stretches) if _is_right_to_left(piece) else stretches)))
