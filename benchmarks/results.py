"""The CSV file of a benchmark: one dataclass per row; a new measurement replaces the older row."""

import argparse
import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.files import read_json, replacing, write_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["keep", "read", "reserve", "write"]

Text = dict[str, str]


def keep(
    path: Path, rows: "Sequence[DataclassInstance]", *, same: Sequence[str], order: Callable[[Text], Any] | None = None
) -> None:
    """Insert rows in place of those with the same values in these fields (240 is 240.0), and sort all rows."""
    new = _as_text(rows)
    replaced = {_key(row, same) for row in new}
    everything = [old for old in read(path) if _key(old, same) not in replaced] + new
    _write(path, sorted(everything, key=order) if order else everything)


def read(path: Path) -> list[Text]:
    """Read the rows; none if there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: "Sequence[DataclassInstance]") -> None:
    """Write only these rows."""
    _write(path, _as_text(rows))


def reserve(parser: argparse.ArgumentParser, out: Path, asked: dict[str, Any]) -> None:
    """Make the folder in which a benchmark continues; an error if it has the work of another command."""
    file = out / "asked.json"
    if file.is_file() and read_json(file) != asked:
        parser.error(f"{out} has the work of another command ({file.name}); choose another folder for --out")
    out.mkdir(parents=True, exist_ok=True)
    write_json(file, asked)


def _key(row: Text, names: Sequence[str]) -> tuple[str | float, ...]:
    return tuple(_read_value(row[name]) for name in names)


def _read_value(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _as_text(rows: "Sequence[DataclassInstance]") -> list[Text]:
    return [{name: str(value) for name, value in asdict(row).items()} for row in rows]


def _write(path: Path, rows: Sequence[Text]) -> None:
    # An older file has fewer columns; what was measured now is not lost for that.
    names = dict.fromkeys(name for row in reversed(rows) for name in row)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
