"""Reads the lists that people give back after a check: images to leave out, and images that get another label.

What a spreadsheet makes of such a file is read, too.
"""

from collections.abc import Iterator, Mapping
from itertools import repeat
from pathlib import Path

from bakeoff.data.checks.findings import NOT_EXCLUDED
from bakeoff.data.shards import Edits, Manifest
from bakeoff.data.sources import Table, read_table_file
from bakeoff.errors import DataError
from bakeoff.files import expand_home
from bakeoff.runs.config import Data
from bakeoff.text import comparable, counted, from_cell

__all__ = ["note_edits", "read_edits", "read_excluded", "read_relabelled"]

# The reason of an image that a list names without a kind, and that of one from a list of suspicious labels.
_LISTED, _SUSPICIOUS = "listed", "suspicious label"


def read_edits(data: Data) -> Edits:
    """Read both lists of some data; empty ones if the data name none.

    Raises:
        DataError: A file cannot be read, has not the columns that are needed, or contradicts itself or the other one.
    """
    excluded = read_excluded(expand_home(data.exclude)) if data.exclude else {}
    relabelled = read_relabelled(expand_home(data.relabel)) if data.relabel else {}
    left_out = set(map(comparable, excluded))
    if both := [key for key in relabelled if comparable(key) in left_out]:
        raise DataError(
            f"{counted(len(both), 'image')} in both --exclude {data.exclude} and --relabel {data.relabel}, such as"
            f" {both[0]}; delete each of them from one of the two files"
        )
    return Edits(excluded, relabelled)


def read_excluded(path: Path) -> dict[str, str]:
    """Read which images a CSV of a check excludes: the reason by image id.

    To keep an image, delete its row from the CSV. Of its columns only `id` is needed, and `kind`, if it is there.

    Raises:
        DataError: The file cannot be read, or has no column `id`.
    """
    table = read_table_file(path, may_be_empty=True)
    ids, columns = _read_ids(table), _name_columns(table)
    otherwise = _SUSPICIOUS if "suggested" in columns else _LISTED
    kinds = table.column(columns["kind"]) if "kind" in columns else repeat(otherwise)
    not_excluded = {kind.value for kind in NOT_EXCLUDED}
    return {
        key: kind or otherwise
        for key, kind in zip(ids, kinds, strict=False)
        if key and kind.lower() not in not_excluded
    }


def read_relabelled(path: Path) -> dict[str, str]:
    """Read the new label of each image that a CSV of suspicious labels lists: the name of the class by image id.

    To keep a label, delete its row from the CSV. Of its columns only `id` and `suggested` are needed.

    Raises:
        DataError: The file cannot be read, has no such columns, or has no label or two labels for an image.
    """
    table = read_table_file(path, may_be_empty=True)
    ids, columns = _read_ids(table), _name_columns(table)
    if "suggested" not in columns:
        raise DataError(f"{path} has no column suggested; give the suspicious_labels.csv of `bakeoff data check`")
    relabelled: dict[str, str] = {}
    seen: dict[str, str] = {}
    for key, label in zip(ids, map(from_cell, table.column(columns["suggested"])), strict=True):
        if not key:
            raise DataError(f"{path} suggests {label!r} for an image without an id; fill it in, or delete the row")
        if not label:
            raise DataError(f"{path} suggests no label for {key}; fill it in, or delete the row")
        if (other := seen.setdefault(comparable(key), label)) != label:
            raise DataError(f"{path} suggests two labels for {key}, {other} and {label}; delete one of the rows")
        relabelled[key] = label
    return relabelled


def note_edits(data: Data, edits: Edits, manifest: Manifest) -> tuple[str, ...]:
    """What to say about the lists: that one changes nothing, or names images that are not there.

    Args:
        data: The data with the paths of the lists.
        edits: What `read_edits` read from them.
        manifest: The images that were prepared with them.
    """
    excluded = _note_excluded(data.exclude, edits.excluded, manifest) if data.exclude else ()
    relabelled = _note_relabelled(data.relabel, edits.relabelled, manifest) if data.relabel else ()
    return (*excluded, *relabelled)


def _note_excluded(path: str, excluded: Mapping[str, str], manifest: Manifest) -> Iterator[str]:
    if not excluded:
        kinds = ", ".join(NOT_EXCLUDED)
        yield f"--exclude {path} leaves nothing out: it lists no images, or only findings of these kinds: {kinds}"
        return
    known = {comparable(bad.key) for bad in manifest.quarantined}
    if unknown := [key for key in excluded if comparable(key) not in known]:
        yield (
            f"--exclude {path}: {manifest.name} has no image for {len(unknown):,} of its"
            f" {counted(len(excluded), 'id')}, such as {unknown[0]}"
        )


def _note_relabelled(path: str, relabelled: Mapping[str, str], manifest: Manifest) -> Iterator[str]:
    if not relabelled:
        yield f"--relabel {path} changes nothing: it lists no images"
    elif idle := len(set(map(comparable, relabelled))) - len(manifest.relabelled):
        yield (
            f"--relabel {path}: {idle:,} of its {counted(len(relabelled), 'row')} changed nothing: the image has that"
            " label, or cannot be read"
        )


def _read_ids(table: Table) -> list[str]:
    columns = _name_columns(table)
    if "id" not in columns:
        raise DataError(f"{table.name} has no column id; give the CSV that `bakeoff data check` wrote")
    return list(map(from_cell, table.column(columns["id"])))


def _name_columns(table: Table) -> dict[str, str]:
    """The columns by their names in lower case; of two with one name the first."""
    return {name.lower(): name for name in reversed(table.columns)}
