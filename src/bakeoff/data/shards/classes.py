"""Which classes a text chooses."""

import json
import unicodedata
from collections.abc import Sequence

import numpy as np

from bakeoff.errors import DataError, suggest
from bakeoff.text import comparable, counted, printable

__all__ = ["choose_classes", "find_class"]


def choose_classes(choice: str, names: Sequence[str], seed: int, source: str) -> list[int]:
    """Find the classes that a text chooses.

    Args:
        choice: `all`, a number (so many classes, drawn at random), or at least two names: separated by commas, with
            spaces around them or not, or as a JSON list, which can hold any name.
        names: The names of all classes, by label. They are also known in other forms of Unicode, and with escapes, as
            messages show them.
        seed: Draws the classes if `choice` is a number.
        source: The name of the data, for messages.

    Returns:
        The labels, in ascending order.

    Raises:
        DataError: There are no such classes, or fewer than two.
    """
    if choice.strip() == "all":
        return list(range(len(names)))
    if choice.strip().isdecimal():
        return _draw(int(choice), len(names), seed, source)
    chosen, unknown = _find_names(choice, _list_forms(names))
    if unknown:
        shown = [printable(name) for name in names]
        hint = suggest(unknown[0], shown, f"the first are {', '.join(shown[:5])}")
        if any("," in name for name in names):
            hint += ' (give names with commas as a JSON list: ["a, b", "c"])'
        raise DataError(f"--classes: {source} has no class {unknown[0]!r}; {hint}")
    if len(chosen) < 2:
        raise DataError(f"--classes {choice!r} names fewer than two classes; give all, coarse, a number or more names")
    return sorted(chosen)


def find_class(name: str, names: Sequence[str]) -> int | None:
    """The label of a class by its name in any form, also as a spreadsheet saves a number: 7 for the class 007.

    None if there is no such class, or if several can be meant.
    """
    label = _look_up(name, _list_forms(names))
    if label is not None:
        return label
    same = [label for label, other in enumerate(names) if comparable(other) == comparable(name)]
    return same[0] if len(same) == 1 else None


def _list_forms(names: Sequence[str]) -> dict[str, int]:
    """Labels by every form of a name. Of two names that differ in nothing else, each is known by its own form."""
    return {form(name): label for form in (printable, _normalise, str) for label, name in enumerate(names)}


def _draw(count: int, classes: int, seed: int, source: str) -> list[int]:
    if not 2 <= count <= classes:
        raise DataError(
            f"--classes {count}: {source} has {counted(classes, 'class')}; give a number from 2 to {classes}"
        )
    drawn = np.random.default_rng(seed).choice(classes, count, replace=False)
    return sorted(int(label) for label in drawn)


def _find_names(choice: str, labels: dict[str, int]) -> tuple[set[int], list[str]]:
    """The labels of the names in a text, and the names that are not known."""
    listed = _read_list(choice)
    if listed is not None:
        found = {name: _look_up(name, labels) for name in listed}
        return {label for label in found.values() if label is not None}, [
            name for name, label in found.items() if label is None
        ]
    parts = choice.split(",")
    chosen, unknown = _join_parts(parts, labels, 1)
    if unknown:
        # Some of the commas may belong to names.
        most = 1 + max(name.count(",") for name in labels)
        joined, left = _join_parts(parts, labels, most)
        chosen, unknown = (joined, left) if not left else (chosen, unknown)
    return chosen, unknown


def _read_list(choice: str) -> list[str] | None:
    """The names of a JSON list; None if it is none."""
    try:
        listed = json.loads(choice)
    except (ValueError, RecursionError):
        return None
    # [3, 4] are names, too.
    is_list = isinstance(listed, list) and all(isinstance(name, str | int) for name in listed)
    return [str(name) for name in listed] if is_list else None


def _join_parts(parts: Sequence[str], labels: dict[str, int], most: int) -> tuple[set[int], list[str]]:
    """Read each name from as many parts as it has, up to `most`; what begins no name is one that is not known."""
    chosen, unknown, start = set(), [], 0
    while start < len(parts):
        for count in range(min(most, len(parts) - start), 0, -1):
            text = ",".join(parts[start : start + count])
            # A class may also have spaces at the ends of its name.
            label = _look_up(text.strip(), labels)
            label = _look_up(text, labels) if label is None else label
            if label is not None:
                chosen.add(label)
                break
        else:
            if parts[start].strip():
                unknown.append(parts[start].strip())
            count = 1
        start += count
    return chosen, unknown


def _look_up(name: str, labels: dict[str, int]) -> int | None:
    return labels.get(name, labels.get(_normalise(name)))


def _normalise(name: str) -> str:
    return unicodedata.normalize("NFC", name)
