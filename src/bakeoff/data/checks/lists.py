"""The lists of a check as CSV files. People edit them, so one that is there is never replaced by another one."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path

from bakeoff.errors import OutputError
from bakeoff.files import explained_errors, write_text
from bakeoff.text import to_cell

__all__ = ["format_list", "write_lists"]


def format_list(columns: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A list as CSV. Nothing in it is a formula for a spreadsheet."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(map(to_cell, row) for row in rows)
    return stream.getvalue()


def write_lists(lists: Mapping[str, str], out: Path | None, usual: Path) -> tuple[Path, list[str]]:
    """Write the lists of a check, each whole or not at all.

    Args:
        lists: The content by name of the file.
        out: The folder that the user has named.
        usual: The folder if `out` is None. If another list is in it, `usual.2` is taken, or `usual.3`, and so on.

    Returns:
        The folder, and a note if it is not the usual one.

    Raises:
        OutputError: Another list is in `out`, or the folder cannot be written.
    """
    folder, notes = out or usual, []
    if other := _find_other(folder, lists):
        if out:
            raise OutputError(
                f"{other} is not the list that this check would write, and may have been edited; choose another --out,"
                " or delete it"
            )
        numbered = (usual.with_name(f"{usual.name}.{number}") for number in count(2))
        folder = next(each for each in numbered if not _find_other(each, lists))
        stays = f"{usual.name}/{other.name} is another list, perhaps edited, and stays as it is"
        notes = [f"{stays}; the lists of this check are in {folder.name}"]
    for name, text in lists.items():
        write_text(folder / name, text)
    return folder, notes


def _find_other(folder: Path, lists: Mapping[str, str]) -> Path | None:
    """The first file in a folder that has the name of a list and another content; None if there is none."""
    return next((folder / name for name, text in lists.items() if _is_other(folder / name, text)), None)


def _is_other(path: Path, text: str) -> bool:
    with explained_errors(path):
        try:
            return path.read_bytes() != text.encode()
        except (FileNotFoundError, NotADirectoryError):
            return False
