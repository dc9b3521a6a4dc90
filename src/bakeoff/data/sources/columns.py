"""Chooses the columns of a table: which names the images, which holds labels, splits and groups.

Names of columns are compared by their letters and digits alone: `Class Name` is `class_name`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bakeoff.data.sources.finder import Found, How, ImageFinder, names_an_image
from bakeoff.data.sources.folder_names import guess_split
from bakeoff.data.sources.records import SplitName
from bakeoff.data.sources.table import Table
from bakeoff.errors import DataError, suggest
from bakeoff.text import counted, name_some

__all__ = ["Columns", "choose_columns", "find_rows", "label_column", "share_found"]

_IMAGE_NAMES = """
    filename file filepath path image imagename imagefile imagepath imageid img imgname imgpath imgid picture pictureid
    photo photoid id
""".split()  # noqa: SIM905
_LABEL_NAMES = """
    label labels labelname labelid class classes classname classlabel classid category categories categoryname
    categoryid target targetname targetid y
    breed species variety diagnosis dx disease finding genus kind type tag emotion
""".split()  # noqa: SIM905
_GROUP_NAMES = """
    group subject patient person individual specimen lesion case user scene session sequence video location site camera
    day
""".split()  # noqa: SIM905
_SPLIT_NAMES = ("split", "splits", "set", "subset", "partition", "dataset", "datasplit", "phase", "usage")
# Columns of true and false, and what true means in them.
_SPLIT_FLAGS: dict[str, SplitName] = {"isval": "val", "isvalid": "val", "isvalidation": "val", "istest": "test"}
_TRUE, _FALSE = ("true", "1"), ("false", "0")
# Rows by which the column of images is chosen.
_SAMPLE_ROWS = 1000


@dataclass(frozen=True)
class Columns:
    """A table by what its columns hold, a value for each row."""

    table: Table
    image: str
    """The name of the column that names the images."""
    found: list[Found]
    label: str
    """The name of the column of labels, or what stands for it."""
    labels: list[str]
    """Empty texts are no labels."""
    splits: list[SplitName | None] | None
    """None if the table gives no splits."""
    groups: list[str] | None
    notes: tuple[str, ...]


def choose_columns(table: Table, finder: ImageFinder, where: str, *, label: str = "", group: str = "") -> Columns:
    """Find out what the columns of a table hold.

    Args:
        table: The table.
        finder: The images.
        where: The place of the images as messages name it.
        label: The column of labels; empty: chosen by its name, or because it is the only one that is left.
        group: What keeps images together; a name that is not a column's means something else than a column.

    Raises:
        DataError: There is no such column, or fewer than half of the rows name an image.
    """
    if any(map(names_an_image, table.columns)):
        table = table.without_header()
    _require(table, label)
    image, rival = _choose_image(table, finder, label)
    if rival:
        raise DataError(
            f"{table.name}: columns {image} and {rival} can both name the images, and mean different ones; remove the"
            " column that does not name them"
        )
    if finder.find([image])[0].paths and _plain(image) not in _IMAGE_NAMES:
        position = table.columns.index(image)
        table = table.without_header()
        _require(table, label)
        image = table.columns[position]
    found = finder.find(table.column(image))
    _require_half(table, image, found, where)
    rest = [column for column in table.columns if column not in (image, group)]
    split = _choose_split([column for column in rest if column != label], table)
    rest = [column for column in rest if column != split]
    name, used, labels = _read_labels(table, rest, label)
    ignored = [column for column in rest if column not in used]
    text = f"labels from {table.name}: column {image} -> {name}"
    return Columns(
        table,
        image,
        found,
        name,
        labels,
        None if split is None else _read_splits(table, split),
        table.column(group) if group in table.columns else None,
        (f"{text}; columns not used: {name_some(ignored)}" if ignored else text, *table.notes)
        + (() if group else tuple(_note_groups(table, ignored))),
    )


def _note_groups(table: Table, columns: Sequence[str]) -> Iterator[str]:
    """A note on the first column that seems to say which images show one subject or scene."""
    for column in columns:
        values = [value for value in table.column(column) if value]
        if _plain(column).removesuffix("id") in _GROUP_NAMES and 1 < len(set(values)) < len(values):
            yield f"if column {column} says which images show one subject, --group {column} keeps them together"
            return


def label_column(table: Table, label: str = "") -> str:
    """The column `label` of a table, or else the first with a usual name of labels; empty if there is none."""
    if label:
        return label if label in table.columns else ""
    return next((column for column in table.columns if _plain(column) in _LABEL_NAMES), "")


def find_rows(table: Table, finder: ImageFinder) -> list[Found]:
    """What the rows of a table name, in the column that names the most images."""
    image, _ = _choose_image(table, finder, "")
    return finder.find(table.column(image))


def share_found(table: Table, finder: ImageFinder) -> float:
    """The share of a table's rows that name an image."""
    found = find_rows(table, finder)
    return sum(bool(one.paths) for one in found) / len(found)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _require(table: Table, label: str) -> None:
    if label and label not in table.columns:
        hint = suggest(label, table.columns, f"its columns are {name_some(table.columns)}")
        raise DataError(f"--label {label}: {table.name} has no such column; {hint}")


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
    values, plain = table.column(column), _plain(column)
    step = -(-len(values) // _SAMPLE_ROWS)
    found = finder.find(values[::step])
    usual = _IMAGE_NAMES.index(plain) if plain in _IMAGE_NAMES else len(_IMAGE_NAMES)
    named = [one for one in found if one.paths]
    sure = {how: [one.paths for one in named if one.how <= how] for how in How}
    how = next((how for how in How if 2 * len(sure[how]) * step >= len(values)), None)
    paths = [one.paths for one in named] if how is None else sure[how]
    return _Naming(column, found, len(How) if how is None else how, len(set(paths)), usual, _counts_rows(values))


def _choose_image(table: Table, finder: ImageFinder, label: str) -> tuple[str, str]:
    """The column that names the most images; of several the one that names them most surely.

    Returns:
        The column, and another one that could be meant as well; empty if there is none.
    """
    possible = [column for column in table.columns if column != label and _plain(column) not in _LABEL_NAMES]
    ratings = (_rate(table, column, finder) for column in possible or table.columns)
    best, *others = sorted(ratings, key=lambda each: each.rank)
    if best.is_index:
        # Where images are called by numbers, the index of a shuffled table names each of them, too.
        rival = next((each for each in others if not each.is_index and each.contradicts(best)), best)
        if rival.usual > best.usual:
            return best.column, rival.column
        best = rival
    equal = (each.column for each in others if each.rank == best.rank and not each.is_index and each.contradicts(best))
    return best.column, next(equal, "")


def _require_half(table: Table, image: str, found: Sequence[Found], where: str) -> None:
    named = sum(bool(one.paths) for one in found)
    if 2 * named < len(found) or not named:
        values = [value for value, one in zip(table.column(image), found, strict=True) if not one.paths]
        raise DataError(
            f"{table.name}: of {counted(len(found), 'row')}, {named} name an image in {where} (column {image}; not"
            " found:"
            f" {name_some(values)}); give the folder of the images as --images, or remove the other rows"
            f"{''.join(f'; {note}' for note in table.notes)}"
        )


def _choose_split(columns: Sequence[str], table: Table) -> str | None:
    """The column of splits: one whose values are names of splits, train among them, or which is called like that."""
    for column in columns:
        values = {value for value in table.column(column) if value}
        splits = {_guess_value(column, value) for value in values}
        if values and None not in splits and (_is_split_name(column) or {"train"} < splits):
            return column
        if _plain(column) == "split" and values:
            unknown = sorted(value for value in values if not guess_split(value))
            raise DataError(
                f"{table.name}: column {column} holds {name_some(unknown)}, which is no split; write train, val or"
                " test, or rename the column"
            )
    return None


def _is_split_name(column: str) -> bool:
    return _plain(column) in (*_SPLIT_NAMES, *_SPLIT_FLAGS)


def _guess_value(column: str, value: str) -> SplitName | None:
    if flag := _SPLIT_FLAGS.get(_plain(column)):
        lower = value.casefold().removesuffix(".0")
        return flag if lower in _TRUE else "train" if lower in _FALSE else None
    return guess_split(value)


def _read_splits(table: Table, column: str) -> list[SplitName | None]:
    splits = [_guess_value(column, value) for value in table.column(column)]
    if "train" not in splits:
        raise DataError(f"{table.name}: column {column} gives no image to train on; write train for some")
    return splits


def _read_labels(table: Table, rest: Sequence[str], label: str) -> tuple[str, list[str], list[str]]:
    """What the labels are called, the columns that they are from, and the labels of all rows."""
    column = label or _choose_label(table, rest)
    if column:
        return column, [column], [_clean(value) for value in table.column(column)]
    columns = [name for name in rest if {_flag(value) for value in table.column(name)} <= {0, 1}]
    if len(columns) > 1:
        return f"the one of {counted(len(columns), 'column')} that is 1", columns, _read_one_hot(table, columns)
    told = f"columns {name_some(rest)} are left, and none is called label" if rest else "there is no column of labels"
    raise DataError(f"{table.name}: {told}; say which one it is with --label COLUMN")


def _choose_label(table: Table, rest: Sequence[str]) -> str:
    """The column of labels by its name, or because no other is left; empty if that is not clear."""
    plain = {_plain(column) for column in table.columns}
    usual = [c for c in rest if _plain(c) in _LABEL_NAMES and not (_plain(c) == "y" and "x" in plain)]  # a place
    if len(usual) > 1 and _all_agree([table.column(column) for column in usual]):
        # A number and a name for each class: the name says more.
        usual = [min(usual, key=lambda column: all(value.isdecimal() for value in table.column(column)))]
    if len(usual) > 1:
        raise DataError(f"{table.name}: {name_some(usual)} can be the labels; say which with --label COLUMN")
    if usual:
        return usual[0]
    left = [column for column in rest if not _counts_rows(table.column(column))]
    return left[0] if len(left) == 1 else ""


def _all_agree(columns: Sequence[Sequence[str]]) -> bool:
    """Whether each value of one column goes with one value of every other column."""
    pairs = set(zip(*columns, strict=True))
    return all(len({pair[place] for pair in pairs}) == len(pairs) for place in range(len(columns)))


def _counts_rows(values: Sequence[str]) -> bool:
    """Whether a column is the index that a table was written with."""
    return any(all(value == str(number) for number, value in enumerate(values, first)) for first in (0, 1))


def _clean(value: str) -> str:
    return "" if value.casefold() == "nan" else value


def _flag(value: str) -> int | None:
    lower = re.sub(r"\.0+$", "", value.casefold())
    return 1 if lower in _TRUE else 0 if lower in _FALSE else None


def _read_one_hot(table: Table, columns: Sequence[str]) -> list[str]:
    rows = zip(*([_flag(value) for value in table.column(column)] for column in columns), strict=True)
    chosen = [[name for name, flag in zip(columns, row, strict=True) if flag] for row in rows]
    for number, names in enumerate(chosen, 1):
        if len(names) != 1:
            many = f"several labels ({name_some(names)})" if names else "no label"
            raise DataError(
                f"{table.name}: row {number} has {many} in its columns of 0 and 1; an image must have exactly one,"
                " so name the column to learn with --label COLUMN"
            )
    return [names[0] for names in chosen]
