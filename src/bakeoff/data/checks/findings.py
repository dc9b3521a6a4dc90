"""The findings of the checks: one row per image or class, in a CSV that people edit and `--exclude` reads."""

import csv
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from bakeoff.data.shards import Manifest
from bakeoff.data.sources import read_table_file
from bakeoff.errors import DataError
from bakeoff.files import replacing
from bakeoff.text import comparable, from_cell, to_cell

__all__ = ["Finding", "FindingKind", "note_excluded", "read_excluded", "write_findings"]


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


# The reason of an image that a list names without a kind.
_LISTED = "listed"
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
    """Write the findings as CSV, atomically. Nothing in it is a formula for a spreadsheet."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Finding._fields)
        for finding in findings:
            row = finding._asdict()
            row["similarity"] = f"{finding.similarity:.3f}" if finding.similarity else ""
            writer.writerow(map(to_cell, row.values()))


def read_excluded(path: Path) -> dict[str, str]:
    """Read which images a CSV of findings excludes: the kind of finding by image id.

    To keep an image, delete its row from the CSV. What a spreadsheet makes of the file is read, too. Of its columns
    only `id` is needed, and `kind`, if it is there.

    Raises:
        DataError: The file cannot be read, or has no column `id`.
    """
    table = read_table_file(path, may_be_empty=True)
    columns = {name.lower(): name for name in reversed(table.columns)}
    if "id" not in columns:
        raise DataError(f"{path} has no column id; give the CSV that `bakeoff data check` wrote")
    ids = map(from_cell, table.column(columns["id"]))
    kinds = table.column(columns["kind"]) if "kind" in columns else repeat(_LISTED)
    not_excluded = {kind.value for kind in NOT_EXCLUDED}
    return {
        key: kind or _LISTED for key, kind in zip(ids, kinds, strict=False) if key and kind.lower() not in not_excluded
    }


def note_excluded(path: Path, excluded: Mapping[str, str], manifest: Manifest) -> tuple[str, ...]:
    """What to say about a list of images to leave out: that it lists none, or some that are not among the images.

    Args:
        path: The list.
        excluded: What `read_excluded` read from it.
        manifest: The images that were prepared without those of the list.
    """
    if not excluded:
        kinds = ", ".join(NOT_EXCLUDED)
        return (f"--exclude {path} leaves nothing out: it lists no images, or only findings of these kinds: {kinds}",)
    known = {comparable(bad.key) for bad in manifest.quarantined}
    unknown = [key for key in excluded if comparable(key) not in known]
    if not unknown:
        return ()
    return (
        f"--exclude {path}: {len(unknown):,} of its {len(excluded):,} ids name no image of {manifest.name}, the first"
        f" is {unknown[0]}",
    )
