"""Finds the images that the values of a table name: by path, by file name, without suffix, or by a number.

Tables come from other machines and through spreadsheets. A path may begin in another place or be Windows' own, a suffix
may be missing or be another one, and `00012` may have become 12.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from bakeoff.data.pixels import IMAGE_SUFFIXES

__all__ = ["Found", "How", "ImageFinder", "names_an_image", "usual_how"]


_SUFFIXES = frozenset(IMAGE_SUFFIXES)


class How(IntEnum):
    """In what a value and the name of a file agree, the surest first."""

    NAME = 0
    STEM = 1
    """All but the suffix."""
    LETTERS = 2
    """All but the suffix and upper or lower case."""
    NUMBER = 3
    """Both are the same number, written with and without zeros."""


@dataclass(frozen=True, slots=True)
class Found:
    """The images that a value can mean: none, one, or several in different folders."""

    paths: tuple[str, ...]
    how: How = How.NAME


class ImageFinder:
    """The images of a tree by what a table may call them."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Take the paths of all images in the tree."""
        self.paths = tuple(paths)
        self._names: list[str] = []
        self._parents: dict[str, tuple[str, ...]] = {}
        for path in self.paths:
            *parents, name = _normalise(path).split("/")
            self._names.append(name)
            self._parents[path] = tuple(parents)
        self._indexes: dict[How, dict[str, list[str]]] = {}

    def find(self, values: Sequence[str]) -> list[Found]:
        """What each value of a column names.

        Where few values name an image, folders that all share are dropped. Where
        the files of a folder agree with most values by a weaker rule only, such as without the suffix, they do not
        replace missing images: where `images/1.jpg` is missing, `masks/1.png` is not taken for it.
        """
        split = [_split(value) for value in values]
        found = [self._find(parts) for parts in split]
        shared = _count_shared([parts[:-1] for parts in split if parts])
        if shared and sum(bool(one.paths) for one in found) * 2 < len(found):
            split = [parts[shared:] for parts in split]
            found = [self._find(parts) for parts in split]
        return self._without_twins(split, found)

    def _find(self, parts: tuple[str, ...]) -> Found:
        if not parts:
            return Found(())
        *parents, name = parts
        for how in How:
            fitting = self._fitting(parents, name, how)
            # A path that is given in full means that file, also where another one ends in the same way.
            if exact := [path for path in fitting if self._parents[path] == tuple(parents)]:
                fitting = exact
            if fitting:
                return Found(tuple(fitting), how)
        return Found(())

    def _fitting(self, parents: Sequence[str], name: str, how: How) -> list[str]:
        candidates = self._index(how).get(_KEYS[how](name), ())
        return [path for path in candidates if _is_tail(parents, self._parents[path])]

    def _without_twins(self, values: Sequence[tuple[str, ...]], found: Sequence[Found]) -> list[Found]:
        usual = usual_how(found)
        weaker = {one.how for one in found if one.how > usual}
        # Folders with files that a value names less surely than another one.
        of_twins = {
            self._parents[path]
            for parts, one in zip(values if weaker else (), found, strict=False)
            if one.paths and one.how <= usual
            for how in weaker
            for path in self._fitting(parts[:-1], parts[-1], how)
            if path not in one.paths
        }

        def keep(one: Found) -> Found:
            paths = tuple(path for path in one.paths if self._parents[path] not in of_twins)
            return one if one.how <= usual else replace(one, paths=paths)

        return list(map(keep, found))

    def _index(self, how: How) -> dict[str, list[str]]:
        """The paths of the images by what of their names a value must agree with; made at first use."""
        if how not in self._indexes:
            index = self._indexes[how] = defaultdict(list)
            for name, path in zip(self._names, self.paths, strict=True):
                if key := _KEYS[how](name):
                    index[key].append(path)
        return self._indexes[how]


def usual_how(found: Sequence[Found]) -> How:
    """In what most of the values that name an image agree with it."""
    hows = sorted(one.how for one in found if one.paths)
    return hows[len(hows) // 2] if hows else How.NAME


def names_an_image(value: str) -> bool:
    """Whether a value ends like the name of an image file."""
    stem, dot, suffix = value.rpartition(".")
    return bool(stem) and f"{dot}{suffix.lower()}" in _SUFFIXES


def _normalise(text: str) -> str:
    # macOS writes é as two characters, other systems as one.
    return unicodedata.normalize("NFC", text)


def _split(value: str) -> tuple[str, ...]:
    parts = _normalise(value.strip()).replace("\\", "/").split("/")
    return tuple(part for part in parts if part not in ("", ".", "..") and not re.fullmatch("[A-Za-z]:", part))


def _is_tail(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether one of two paths is the end of the other."""
    length = min(len(one), len(other))
    return list(one[len(one) - length :]) == list(other[len(other) - length :])


def _count_shared(folders: Sequence[tuple[str, ...]]) -> int:
    """How many folders all paths begin with."""
    if not folders:
        return 0
    first, last = min(folders), max(folders)
    return next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _stem(name: str) -> str:
    return name.rpartition(".")[0] if names_an_image(name) else name


def _number(name: str) -> str:
    stem = _stem(name).removesuffix(".0")
    return stem.lstrip("0") or "0" if stem.isascii() and stem.isdecimal() else ""


_KEYS: dict[How, Callable[[str], str]] = {
    How.NAME: lambda name: name,
    How.STEM: _stem,
    How.LETTERS: lambda name: _stem(name).casefold(),
    How.NUMBER: _number,
}
