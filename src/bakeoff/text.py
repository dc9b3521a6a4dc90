"""Texts as they are shown to a person: those that came with the data (names of classes, files, folders), and counts."""

import re
import unicodedata
from collections.abc import Sequence

__all__ = [
    "JOINERS",
    "comparable",
    "counted",
    "encodable",
    "escape",
    "from_cell",
    "isolated",
    "markdown",
    "name_some",
    "plural",
    "printable",
    "times",
    "to_cell",
]

# Zero-width non-joiner and joiner. They cannot be seen, but emoji and several scripts are written with them.
JOINERS = "\u200c\u200d"
# Control and format characters (line breaks, escape sequences, marks of direction), halves of pairs, separators.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
# A whole number as spreadsheets and programs save it: without zeros in front, or with `.0` behind it.
_NUMBER = re.compile(r"0*([0-9]+)(?:\.0+)?")
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r")


def printable(text: str) -> str:
    r"""A text as one line in which every character can be seen: the others become escapes, as in `new\nline`.

    A terminal executes nothing of it, and it can be encoded.
    """
    return "".join(
        char if unicodedata.category(char) not in _UNSEEN or char in JOINERS else escape(char) for char in text
    )


def encodable(text: str) -> str:
    r"""A text that UTF-8 can hold: the bytes of a file name that is not UTF-8 become escapes, as in `caf\udce9`."""
    return text.encode("utf-8", "backslashreplace").decode()


def escape(char: str) -> str:
    r"""A character as the code that Python writes for it: `\u732b`."""
    return char.encode("unicode_escape").decode()


def isolated(text: str) -> str:
    """A text with marks that keep letters written from right to left from reordering what stands around it."""
    is_right = any(unicodedata.bidirectional(char) in ("R", "AL") for char in text)
    return f"\u2068{text}\u2069" if is_right else text


def markdown(text: str) -> str:
    """A text in Markdown, which shows it as it is: none of its characters makes a table, a link or a tag."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$!&])", r"\\\1", printable(text))


def comparable(path: str) -> str:
    """A path in the form in which it is the same on every system: Unicode's NFC, `/` between names, no outer spaces.

    A path that is a number, as the ids of arrays are, is without what a spreadsheet takes away or adds: 00042 and 42.0
    are 42.
    """
    text = unicodedata.normalize("NFC", path.replace("\\", "/")).strip()
    number = _NUMBER.fullmatch(text)
    return number[1] if number else text


def name_some(names: Sequence[str], most: int = 4) -> str:
    """The first `most` names for a message, and how many more there are: `cat, dog and 3 more`."""
    shown = ", ".join(map(encodable, names[:most]))
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def counted(number: float, noun: str) -> str:
    """A number with its noun, in the singular or plural: `1 image`, `1,204 validation images`, `0 classes`.

    Args:
        number: How many; a fraction is shown with one digit and takes the plural.
        noun: The singular; of several words the last one changes.
    """
    shown = f"{number:,.0f}" if number == round(number) else f"{number:,.1f}"
    return f"{shown} {plural(number, noun)}"


def plural(number: float, noun: str) -> str:
    """A noun in the number that goes with a count: `image` for 1, `images`, `classes`, `entries` for others."""
    if number == 1:
        return noun
    if noun.endswith(("s", "x", "ch", "sh")) and not noun.endswith("epoch"):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"


def times(number: int) -> str:
    """How often something was done: `once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(number, counted(number, "time"))


def to_cell(text: str) -> str:
    """A text as a cell of a CSV file: a spreadsheet runs none, because what looks like a formula gets an apostrophe."""
    return f"'{text}" if _is_formula(text.lstrip("'")) else text


def from_cell(cell: str) -> str:
    """The text of a cell that `to_cell` wrote."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell.lstrip("'")) else cell


def _is_formula(text: str) -> bool:
    # -1 is a number, and may be the name of a class.
    is_number = text.lstrip("+-").replace(".", "", 1).isdecimal()
    return text.startswith(_FORMULA) and not is_number
