"""Chooses the column of a table that names the images."""

from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.data.sources.finder import Found, How, ImageFinder
from bakeoff.data.sources.table import Table, plain_name

__all__ = ["choose_image_column", "counts_rows", "is_image_name"]

_IMAGE_NAMES = """
    filename file filepath path image imagename imagefile imagepath imageid img imgname imgpath imgid picture pictureid
    photo photoid id
""".split()  # noqa: SIM905
# Of the rows of a column that may name images beside an index, those with values of their own.
_DISTINCT_SHARE = 0.95
# Rows by which the column of images is chosen.
_SAMPLE_ROWS = 1000


def choose_image_column(table: Table, columns: Sequence[str], finder: ImageFinder) -> tuple[str, str]:
    """Choose the column that names the most images; of several the one that names them most surely.

    Args:
        table: The table.
        columns: Those of its columns that may be meant.
        finder: The images.

    Returns:
        The column, and another one that could be meant as well; empty if there is none.
    """
    best, *others = sorted((_rate(table, column, finder) for column in columns), key=lambda each: each.rank)
    if best.is_index:
        # Where images are called by numbers, the index of a shuffled table names each of them, too.
        numbers = (each for each in others if each.is_distinct and not each.is_index)
        rival = next((each for each in numbers if each.contradicts(best)), best)
        if rival.usual > best.usual:
            return best.column, rival.column
        best = rival
    equal = (each.column for each in others if each.rank == best.rank and not each.is_index and each.contradicts(best))
    return best.column, next(equal, "")


def is_image_name(column: str) -> bool:
    """Whether a column is called as those that name images usually are."""
    return plain_name(column) in _IMAGE_NAMES


def counts_rows(values: Sequence[str]) -> bool:
    """Whether a column is the index that a table was written with."""
    return any(all(value == str(number) for number, value in enumerate(values, first)) for first in (0, 1))


@dataclass(frozen=True)
class _Naming:
    """How well a column names images."""

    column: str
    found: list[Found]
    """What a sample of its rows names."""
    how: int
    """In what the surest half of the rows agrees with the names of files; `len(How)` if fewer name an image."""
    count: int
    """How many images these rows name."""
    usual: int
    """The place of the column's name among usual ones."""
    is_index: bool
    """Whether it counts the rows."""
    is_distinct: bool
    """Whether nearly all its rows have values of their own, as where they name images."""

    @property
    def rank(self) -> tuple[int, int, int]:
        """The smallest is the best."""
        return self.how, -self.count, self.usual

    def contradicts(self, other: "_Naming") -> bool:
        """Whether it names about as many images as another column, and other ones for the same rows."""
        pairs = zip(self.found, other.found, strict=True)
        is_alike = max(self.how, other.how) < len(How) and 2 * self.count >= other.count
        return is_alike and any(a.paths and b.paths and set(a.paths).isdisjoint(b.paths) for a, b in pairs)


def _rate(table: Table, column: str, finder: ImageFinder) -> _Naming:
    values, plain = table.column(column), plain_name(column)
    step = -(-len(values) // _SAMPLE_ROWS)
    found = finder.find(values[::step])
    usual = _IMAGE_NAMES.index(plain) if plain in _IMAGE_NAMES else len(_IMAGE_NAMES)
    named = [one for one in found if one.paths]
    sure = {how: [one.paths for one in named if one.how <= how] for how in How}
    how = next((how for how in How if 2 * len(sure[how]) * step >= len(values)), None)
    paths = [one.paths for one in named] if how is None else sure[how]
    is_distinct = len(set(values)) >= _DISTINCT_SHARE * len(values)
    found_in = len(How) if how is None else how
    return _Naming(column, found, found_in, len(set(paths)), usual, counts_rows(values), is_distinct)
