"""Texts that came with the data (names of classes, files and folders), as they are shown to a person."""

import unicodedata

__all__ = ["JOINERS", "escape", "printable"]

# Zero-width non-joiner and joiner. They cannot be seen, but emoji and several scripts are written with them.
JOINERS = "\u200c\u200d"
# Control and format characters (line breaks, escape sequences, marks of direction), halves of pairs, separators.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def printable(text: str) -> str:
    r"""A text as one line in which every character can be seen: the others become escapes, as in `new\nline`.

    A terminal executes nothing of it, and it can be encoded.
    """
    return "".join(
        char if unicodedata.category(char) not in _UNSEEN or char in JOINERS else escape(char) for char in text
    )


def escape(char: str) -> str:
    r"""A character as the code that Python writes for it: `\u732b`."""
    return char.encode("unicode_escape").decode()
