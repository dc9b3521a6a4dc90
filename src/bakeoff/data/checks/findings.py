"""What the data doctor found: one row per image or class, as a CSV that people read and `--exclude` reads back."""

import csv
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from bakeoff.errors import DataError
from bakeoff.files import replacing

__all__ = ["Finding", "Kind", "read_excluded", "write_findings"]


class Kind(StrEnum):
    """What is wrong, the worst first."""

    UNREADABLE = "unreadable"
    CONFLICT = "same image, two labels"
    LEAK = "same image in two splits"
    NEAR_LEAK = "near-duplicate in two splits"
    DUPLICATE = "same image twice"
    CONSTANT = "one colour"
    GREY = "grey"
    TINY_CLASS = "tiny class"
    IMBALANCE = "imbalance"


# Greyscale photographs are images like any other; the others are worth leaving out.
HARMLESS = (Kind.GREY, Kind.TINY_CLASS, Kind.IMBALANCE)


class Finding(NamedTuple):
    """An image (or a class, without an id) and what is wrong with it; of a pair the one to leave out comes first."""

    kind: Kind
    split: str = ""
    id: str = ""
    label: str = ""
    other_split: str = ""
    other_id: str = ""
    other_label: str = ""
    similarity: float = 0.0
    note: str = ""


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Write the table, whole or not at all."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Finding._fields)
        for finding in findings:
            row = finding._asdict()
            row["similarity"] = f"{finding.similarity:.3f}" if finding.similarity else ""
            writer.writerow(row.values())


def read_excluded(path: Path) -> dict[str, str]:
    """The ids that a table leaves out, each with the reason; rows that the user deleted are kept in.

    Raises DataError if it is no such table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}; give the CSV that `bakeoff data check` wrote") from error
    if rows and not {"kind", "id"} <= rows[0].keys():
        raise DataError(f"{path} has no columns kind and id; give the CSV that `bakeoff data check` wrote")
    harmless = {kind.value for kind in HARMLESS}
    return {row["id"]: row["kind"] for row in rows if row["id"] and row["kind"] not in harmless}
