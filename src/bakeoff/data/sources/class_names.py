"""Names of classes: their order, and those that people hardly tell apart."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from bakeoff.text import name_some

__all__ = ["describe_alike", "read_numbers", "sort_classes"]


def read_numbers(texts: Sequence[str]) -> list[str]:
    """Labels or groups that are all numbers, whole ones without a point, so that 1.0 is 1; others as they are.

    Empty texts stay empty.
    """
    are_numbers = all(map(_is_number, filter(None, texts)))
    return [re.sub(r"\.0+$", "", text) for text in texts] if are_numbers else list(texts)


def sort_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Different names in the order of their labels: numbers by their size, others by the alphabet."""
    different = set(names)
    if all(map(_is_number, different)):
        return tuple(sorted(different, key=lambda name: (float(name), name)))
    return tuple(sorted(different))


def describe_alike(names: Iterable[str]) -> Iterator[str]:
    """Notes on classes whose names people hardly tell apart."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        alike[" ".join(name.casefold().split())].append(name)
    for same in alike.values():
        if len(same) > 1:
            yield f"classes whose names differ only in case or spaces stay apart: {name_some(same)}"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text) is not None
