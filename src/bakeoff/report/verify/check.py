"""A value in a file, beside the same value recomputed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bakeoff.data.shards import Dataset
from bakeoff.files import hash_file

__all__ = ["Check", "Datasets", "OnCount", "find_hash", "format_value", "make_note"]

OnCount = Callable[[str, int, int], None]
"""Called with a description, how much is done, and how much there is."""
Datasets = Mapping[str, Dataset]
"""The data of each run as it saw them, by the run's id: runs in one folder may have other images or classes."""


class Check(NamedTuple):
    """A value in a file, and the same value recomputed from the files that it was made from."""

    where: str
    """The file and the field."""
    written: str
    computed: str
    note: str = ""
    """What could not be checked and why, or what is to be known; the other fields then say nothing. Else empty."""

    @property
    def matches(self) -> bool:
        """Whether the written and the recomputed value are equal."""
        return self.written == self.computed


def find_hash(path: Path) -> str:
    """The SHA-256 of a file, or why it has none: it is absent, or cannot be read."""
    try:
        return hash_file(path)
    except FileNotFoundError:
        return "absent"
    except OSError as error:
        return f"not readable ({error.strerror})"


def format_value(value: Any) -> str:
    """A value of a JSON file as text; of a number, the digits that are the same on every processor."""
    if isinstance(value, tuple):
        return ", ".join(map(format_value, value))
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def make_note(where: str, text: str) -> Check:
    """What could not be checked and why, or what is to be known, in place of a check."""
    return Check(where, "", "", f"{where}: {text}")
