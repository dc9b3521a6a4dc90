"""How predictions are printed: as lines to read, as CSV, as JSON."""

import csv
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from bakeoff.cli.output import print_json, print_line, print_text
from bakeoff.text import encodable, printable, to_cell

if TYPE_CHECKING:
    from bakeoff.deploy.bundle import Prediction

__all__ = ["print_csv", "print_lines", "print_list"]


def print_lines(answers: "Iterable[Prediction]") -> None:
    """Each as it comes: the path, and a line for each class."""
    for answer in answers:
        remark = answer.error or ("unsure" if answer.unsure else "")
        if remark:
            print_text(f"{answer.path}: {remark}")
        else:  # a path alone is not broken at its spaces
            print_line(answer.path)
        for named in answer.top:
            print_line(f"  {named.probability:7.2%}  {named.label}")


def print_csv(answers: "Iterable[Prediction]") -> None:
    """Each as it comes: a row for each class, or one with the error. Nothing is a formula for a spreadsheet."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "rank", "label", "probability", "error", "unsure"])
    # A file gets the names as they are, a terminal must not execute them.
    show = printable if sys.stdout.isatty() else encodable
    for answer in answers:
        for row in _rows(answer):
            writer.writerow(to_cell(show(cell)) if isinstance(cell, str) else cell for cell in row)


def print_list(answers: "Iterable[Prediction]") -> None:
    """All of them, as a JSON list."""
    print_json(
        [
            {
                "path": answer.path,
                "top": [{"label": named.label, "probability": named.probability} for named in answer.top],
                "error": answer.error,
                "unsure": answer.unsure,
            }
            for answer in answers
        ]
    )


def _rows(answer: "Prediction") -> Iterator[list[object]]:
    if answer.error is not None:
        yield [answer.path, "", "", "", answer.error, ""]
    unsure = {None: "", True: "true", False: "false"}[answer.unsure]
    for rank, named in enumerate(answer.top, start=1):
        yield [answer.path, rank, named.label, f"{named.probability:.6f}", "", unsure]
