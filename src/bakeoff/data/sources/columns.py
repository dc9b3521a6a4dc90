"""Chooses the columns of a table: which names the images, which holds labels, splits and groups.

Names of columns are compared by their letters and digits alone: `Class Name` is `class_name`.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.data.sources.finder import Found, ImageFinder, names_an_image
from bakeoff.data.sources.image_column import choose_image_column, counts_rows, is_image_name
from bakeoff.data.sources.records import SplitName
from bakeoff.data.sources.split_column import read_splits
from bakeoff.data.sources.table import Table, plain_name, to_cell
from bakeoff.errors import DataError, suggest
from bakeoff.text import counted, name_some

__all__ = ["Columns", "choose_columns", "find_rows", "group_column", "label_column", "share_found"]

_LABEL_NAMES = """
    label labels labelname labelid class classes classname classlabel classid category categories categoryname
    categoryid target targetname targetid y
    breed species variety diagnosis dx disease finding genus kind type tag emotion
""".split()  # noqa: SIM905
_GROUP_NAMES = """
    group subject patient person individual specimen lesion case user scene session sequence video location site camera
    day
""".split()  # noqa: SIM905
_TRUE, _FALSE = ("true", "1"), ("false", "0")
# A text in a list as Python and NumPy write it.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


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
    image, rival = choose_image_column(table, _may_name_images(table, label, group), finder)
    if rival:
        raise DataError(
            f"{table.name}: columns {image} and {rival} can both name the images, and mean different ones; remove the"
            " column that does not name them, or say --group with its name if it tells what belongs together"
        )
    if finder.find([image])[0].paths and not is_image_name(image):
        position = table.columns.index(image)
        table = table.without_header()
        _require(table, label)
        image = table.columns[position]
    found = finder.find(table.column(image))
    _require_half(table, image, found, where)
    rest = [column for column in table.columns if column not in (image, group)]
    maybe_splits = [column for column in rest if column != label]
    split_columns, splits = read_splits(table, maybe_splits, has_label=bool(label_column(table, label)))
    rest = [column for column in rest if column not in split_columns]
    name, used, labels = _read_labels(table, rest, label)
    ignored = [column for column in rest if column not in used]
    text = f"labels from {table.name}: column {image} -> {name}"
    if splits and "split" not in split_columns:
        text += f", splits by {name_some(split_columns)}"
    notes = [f"{text}; columns not used: {name_some(ignored)}" if ignored else text, *table.notes]
    if not group and (likely := group_column(table, ignored)):
        notes.append(f"if column {likely} says which images show one subject, --group {likely} keeps them together")
    return Columns(
        table,
        image,
        found,
        name,
        labels,
        splits,
        table.column(group) if group in table.columns else None,
        tuple(notes),
    )


def group_column(table: Table, columns: Sequence[str]) -> str:
    """The first of some columns that seems to say which images show one subject or scene; empty if there is none."""
    for column in columns:
        values = [value for value in table.column(column) if value]
        if plain_name(column).removesuffix("id") in _GROUP_NAMES and 1 < len(set(values)) < len(values):
            return column
    return ""


def label_column(table: Table, label: str = "") -> str:
    """The column `label` of a table, or else the first with a usual name of labels; empty if there is none."""
    if label:
        return label if label in table.columns else ""
    return next((column for column in table.columns if plain_name(column) in _LABEL_NAMES), "")


def find_rows(table: Table, finder: ImageFinder) -> list[Found]:
    """What the rows of a table name, in the column that names the most images."""
    image, _ = choose_image_column(table, _may_name_images(table), finder)
    return finder.find(table.column(image))


def share_found(table: Table, finder: ImageFinder) -> float:
    """The share of a table's rows that name an image."""
    found = find_rows(table, finder)
    return sum(bool(one.paths) for one in found) / len(found)


def _may_name_images(table: Table, *others: str) -> Sequence[str]:
    """The columns that may name images: all but those of labels and those that are known to hold something else."""
    left = [column for column in table.columns if column not in others and plain_name(column) not in _LABEL_NAMES]
    return left or table.columns


def _require(table: Table, label: str) -> None:
    if label and label not in table.columns:
        hint = suggest(label, table.columns, f"its columns are {name_some(table.columns)}")
        raise DataError(f"--label {label}: {table.name} has no such column; {hint}")


def _require_half(table: Table, image: str, found: Sequence[Found], where: str) -> None:
    named = sum(bool(one.paths) for one in found)
    if 2 * named < len(found) or not named:
        values = [value for value, one in zip(table.column(image), found, strict=True) if not one.paths]
        raise DataError(
            f"{table.name}: of {counted(len(found), 'row')}, {named} name an image in {where} (column {image}; not"
            " found:"
            f" {name_some(values)}); give the folder of the images as --image-folder, or remove the other rows"
            f"{''.join(f'; {note}' for note in table.notes)}"
        )


def _read_labels(table: Table, rest: Sequence[str], label: str) -> tuple[str, list[str], list[str]]:
    """What the labels are called, the columns that they are from, and the labels of all rows."""
    column = label or _choose_label(table, rest)
    if column:
        return column, [column], _read_single(table, column)
    columns = [name for name in rest if {_flag(value) for value in table.column(name)} <= {0, 1}]
    if len(columns) > 1:
        return f"the one of {counted(len(columns), 'column')} that is 1", columns, _read_one_hot(table, columns)
    told = f"columns {name_some(rest)} are left, and none is called label" if rest else "there is no column of labels"
    raise DataError(f"{table.name}: {told}; say which one it is with --label COLUMN")


def _choose_label(table: Table, rest: Sequence[str]) -> str:
    """The column of labels by its name, or because no other is left; empty if that is not clear."""
    # Beside a column x, a column y is a place.
    places = {"y"} if "x" in map(plain_name, table.columns) else set()
    usual = [column for column in rest if plain_name(column) in _LABEL_NAMES and plain_name(column) not in places]
    if len(usual) > 1 and _all_agree([table.column(column) for column in usual]):
        # A number and a name for each class: the name says more.
        usual = [min(usual, key=lambda column: all(value.isdecimal() for value in table.column(column)))]
    if len(usual) > 1:
        raise DataError(f"{table.name}: {name_some(usual)} can be the labels; say which with --label COLUMN")
    if usual:
        return usual[0]
    left = [column for column in rest if not counts_rows(table.column(column))]
    return left[0] if len(left) == 1 else ""


def _all_agree(columns: Sequence[Sequence[str]]) -> bool:
    """Whether each value of one column goes with one value of every other column."""
    pairs = set(zip(*columns, strict=True))
    return all(len({pair[place] for pair in pairs}) == len(pairs) for place in range(len(columns)))


def _read_single(table: Table, column: str) -> list[str]:
    """The labels in a column, also those that stand alone in a list. Raises DataError if a row has several."""
    labels = []
    for number, value in enumerate(table.column(column), 1):
        found = list(dict.fromkeys(filter(None, map(_clean, _read_list(value)))))
        if len(found) > 1:
            raise DataError(
                f"{table.name}: row {number} has several labels ({name_some(found)}) in column {column}; an image must"
                " have exactly one, so keep one for each, or name another column with --label COLUMN"
            )
        labels.append("".join(found))
    return labels


def _read_list(value: str) -> list[str]:
    """The values of a list in a cell, in JSON or as Python and NumPy write texts; of other cells the cell itself."""
    if not (value.startswith("[") and value.endswith("]")):
        return [value]
    try:
        return [to_cell(each) for each in json.loads(value)]
    except (ValueError, RecursionError):
        texts = _QUOTED.findall(value)
        # In a class called [sic] the brackets are a part of its name.
        is_list = texts and not _QUOTED.sub("", value).strip("[], \n")
        return [text[1:-1] for text in texts] if is_list else [value]


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
