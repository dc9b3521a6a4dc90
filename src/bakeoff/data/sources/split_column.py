"""Reads the splits that a table gives: in a column of names (`train`), or in columns of yes and no (`is_test`)."""

import re
from collections.abc import Sequence

from bakeoff.data.sources.folder_names import guess_split
from bakeoff.data.sources.records import SplitName
from bakeoff.data.sources.table import Table, plain_name
from bakeoff.errors import DataError
from bakeoff.text import name_some

__all__ = ["read_splits"]

_NAMES = ("split", "splits", "datasplit", "partition", "subset", "usage", "set", "dataset", "phase")
# Columns of these names are refused if they cannot be read and have a few different values. What is called set, dataset
# or phase often holds something else.
_TELLING_NAMES = _NAMES[:6]
_FEW = 10
# Columns that say yes or no, without the word is. A table without labels may have a class of such a name instead.
_BARE_FLAGS = ("train", "training", "val", "validation", "test", "testing")
# A table that says only what is in train means the rest for testing.
_ORDER: tuple[SplitName, ...] = ("train", "test", "val")
_YES, _NO = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


def read_splits(
    table: Table, columns: Sequence[str], *, has_label: bool
) -> tuple[Sequence[str], list[SplitName | None] | None]:
    """Read the split of each row.

    Args:
        table: The table.
        columns: Those of its columns that may hold splits.
        has_label: Whether it is known which column holds the labels, so that a column `train` is no class.

    Returns:
        The columns that hold the splits, and the split of each row; none and None if the table gives no splits.

    Raises:
        DataError: A column that must hold splits cannot be read, contradicts another one, or gives nothing to train on.
    """
    values = {column: set(filter(None, table.column(column))) for column in columns}
    named = [column for column in columns if _holds_names(column, values[column])]
    if named:
        used, splits = named[:1], [guess_split(value) for value in table.column(named[0])]
    else:
        for column in columns:
            _refuse_unknown(table, column, values[column])
        used = [column for column in columns if _is_flag(column, values[column], has_label=has_label)]
        if not _tell_splits(used):
            return (), None
        splits = _read_flags(table, used)
    if "train" not in splits:
        raise DataError(f"{table.name}: column {name_some(used)} gives no image to train on; write train for some")
    return used, splits


def _holds_names(column: str, values: set[str]) -> bool:
    """Whether all values are names of splits, and train is among them or the column is called like that."""
    splits = {guess_split(value) for value in values}
    return bool(values) and None not in splits and (plain_name(column) in _NAMES or {"train"} < splits)


def _refuse_unknown(table: Table, column: str, values: set[str]) -> None:
    """Raise DataError if a column is called like one of splits, and its values say something else."""
    name = plain_name(column)
    if _flag_split(column) and (unknown := sorted(value for value in values if _yes(value) is None)):
        raise DataError(
            f"{table.name}: column {column} holds {name_some(unknown)}, which is neither yes nor no; write 1 or 0, or"
            " rename the column"
        )
    if (name == "split" and values) or (name in _TELLING_NAMES and 1 < len(values) <= _FEW):
        unknown = sorted(value for value in values if not guess_split(value))
        raise DataError(
            f"{table.name}: column {column} holds {name_some(unknown)}, which is no split; write train, val or"
            " test, or rename the column"
        )


def _is_flag(column: str, values: set[str], *, has_label: bool) -> bool:
    is_called_so = _flag_split(column) or (has_label and plain_name(column) in _BARE_FLAGS)
    return bool(values and is_called_so) and all(_yes(value) is not None for value in values)


def _tell_splits(flags: Sequence[str]) -> bool:
    """Whether columns of yes and no say splits. One that is called `test`, without others, rather holds a result."""
    return len(flags) > 1 or any(_flag_split(column) or guess_split(column) == "train" for column in flags)


def _flag_split(column: str) -> SplitName | None:
    """The split that a column such as `is_test` or `isTraining` says yes or no about."""
    match = re.fullmatch(r"is[\W_]*(.+)", column, re.IGNORECASE)
    return guess_split(match[1]) if match else None


def _yes(value: str) -> bool | None:
    """What a value says; None if it says neither yes nor no."""
    lower = value.casefold().removesuffix(".0")
    return True if lower in _YES else False if lower in _NO else None


def _read_flags(table: Table, columns: Sequence[str]) -> list[SplitName | None]:
    """The splits that columns of yes and no give. A row without a yes is in the first split that has no column."""
    of_column = {column: _flag_split(column) or guess_split(column) for column in columns}
    left = [split for split in _ORDER if split not in of_column.values()]
    splits: list[SplitName | None] = []
    for number, row in enumerate(zip(*map(table.column, columns), strict=True), 1):
        flags = dict(zip(columns, map(_yes, row), strict=True))
        said = {of_column[column] for column, flag in flags.items() if flag}
        is_open = not said and None in flags.values()
        if len(said) > 1 or not (said or left or is_open):
            raise DataError(
                f"{table.name}: row {number} is in {'several splits' if said else 'no split'} by its columns"
                f" {name_some(columns)}; write 1 in one of them"
            )
        splits.append(None if is_open else [*said, *left][0])
    return splits
