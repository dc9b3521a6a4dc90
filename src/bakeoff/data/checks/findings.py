"""The findings of the checks: one row per image or class, in a CSV that people edit and `--exclude` reads."""

import csv
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from bakeoff.errors import DataError
from bakeoff.files import replacing

__all__ = ["Finding", "FindingKind", "read_excluded", "write_findings"]


class FindingKind(StrEnum):
    """What is wrong, the worst first. The values are written into the CSV."""

    UNREADABLE = "unreadable"
    CONFLICT = "same image, two labels"
    LEAK = "same image in two splits"
    NEAR_LEAK = "near-duplicate in two splits"
    DUPLICATE = "same image twice"
    CONSTANT = "one colour"
    GREY = "grey"
    TINY_CLASS = "tiny class"
    IMBALANCE = "imbalance"


# Findings of these kinds do not exclude an image: grey photographs are valid, and the others concern whole classes.
NOT_EXCLUDED = (FindingKind.GREY, FindingKind.TINY_CLASS, FindingKind.IMBALANCE)


class Finding(NamedTuple):
    """What is wrong with an image, with a pair of images, or with a class (then without an id).

    `id` is the image to leave out. Of a pair, `other_id` is the one to keep, and `similarity` is the correlation of
    both: 1 for equal pixels.
    """

    kind: FindingKind
    split: str = ""
    id: str = ""
    label: str = ""
    other_split: str = ""
    other_id: str = ""
    other_label: str = ""
    similarity: float = 0.0
    note: str = ""


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Write the findings as CSV, atomically."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Finding._fields)
        for finding in findings:
            row = finding._asdict()
            row["similarity"] = f"{finding.similarity:.3f}" if finding.similarity else ""
            writer.writerow(row.values())


def read_excluded(path: Path) -> dict[str, str]:
    """Read which images a CSV of findings excludes: the kind of finding by image id.

    To keep an image, delete its row from the CSV. Raises DataError if the file is not such a CSV.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}; give the CSV that `bakeoff data check` wrote") from error
    if rows and not {"kind", "id"} <= rows[0].keys():
        raise DataError(f"{path} has no columns kind and id; give the CSV that `bakeoff data check` wrote")
    not_excluded = {kind.value for kind in NOT_EXCLUDED}
    return {row["id"]: row["kind"] for row in rows if row["id"] and row["kind"] not in not_excluded}
