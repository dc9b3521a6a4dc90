"""Compare board, report and study.json with the records that they are made from."""

import csv
import io
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from bakeoff.errors import OutputError
from bakeoff.report.board import Row, format_csv, rank
from bakeoff.report.page import render_report
from bakeoff.report.page_text import read_page_text
from bakeoff.report.verify.check import Check, format_value
from bakeoff.report.winner import choose_winner
from bakeoff.runs.paired import compare, pair_by_seed
from bakeoff.runs.record import list_records
from bakeoff.runs.study_file import read_study

__all__ = ["verify_views"]


def verify_views(out: Path) -> Iterator[Check]:
    """Compare `board.csv`, `report.html` and the differences in `study.json` with the records."""
    records = list_records(out)
    if (out / "board.csv").is_file():
        yield from _compare_boards(_read(out / "board.csv"), format_csv(rank(records, out=out)))
    if (out / "report.html").is_file():
        yield from _compare_pages(read_page_text(_read(out / "report.html")), read_page_text(render_report(out)))
    yield from _check_differences(out)


def _compare_boards(written: str, computed: str) -> Iterator[Check]:
    (old_columns, old), (columns, new) = _read_board(written), _read_board(computed)
    if "id" not in old_columns:  # such as in one that a spreadsheet has saved with semicolons
        yield Check("board.csv: columns", ", ".join(old_columns) or "(none)", ", ".join(columns))
        return
    yield Check("board.csv: rows", str(len(old)), str(len(new)))
    boards = [{row["id"]: row for row in rows} for rows in (old, new)]
    # What was added since version 0.1.0: an older board lacks it.
    added = tuple(name for name, field in Row.model_fields.items() if not field.is_required())
    for name in dict.fromkeys(row["id"] for row in (*old, *new)):
        for column in dict.fromkeys(column for board in reversed(boards) for column in board.get(name, {})):
            if column.startswith(added) and column not in old_columns:
                continue
            cells = (str(board[name].get(column)) if name in board else "(no such row)" for board in boards)
            yield Check(f"board.csv: {column} of {name}", *cells)


def _read_board(text: str) -> tuple[Sequence[str], list[dict[str, Any]]]:
    """The columns and the rows of a board; cells beyond the columns have one of their own."""
    reader = csv.DictReader(io.StringIO(text), restkey="cells beyond the columns")
    try:
        rows = list(reader)
    except csv.Error:  # a cell of more than 131,072 characters
        return [], []
    return reader.fieldnames or [], rows


def _compare_pages(written: Sequence[str], computed: Sequence[str]) -> Iterator[Check]:
    """Compare text by text, aligned so that an inserted text does not shift all texts after it."""
    for kind, first, last, start, end in SequenceMatcher(None, written, computed, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from (Check("report.html", text, text) for text in written[first:last])
        else:
            texts = (" ".join(part) or "(nothing)" for part in (written[first:last], computed[start:end]))
            yield Check(f"report.html, after {' '.join(written[:first])[-40:]!r}", *texts)


def _check_differences(out: Path) -> Iterator[Check]:
    study, records = read_study(out), list_records(out)
    by_id = {record.id: record for record in records}
    if study.winner is not None:
        chosen = choose_winner(out, records)
        for name, value in study.winner:
            yield Check(f"study.json: winner.{name}", value, str(getattr(chosen, name, "")))
    differences = []
    if study.found is not None and study.found.difference and study.found.before and study.found.after:
        differences.append(("found.difference", study.found.difference, study.found.before, study.found.after))
    if study.effects is not None:
        for effect in study.effects.effects:
            before = study.effects.base
            differences.append((f"effects: {effect.key} {effect.value}", effect.difference, before, effect.arm))
    for where, difference, before, after in differences:
        known = [[by_id[run] for run in arm.ids if run in by_id] for arm in (before, after)]
        first, second = ([record.id for record in arm] for arm in pair_by_seed(*known))
        written, computed = format_value(difference.points), "cannot be computed: the records of its runs are missing"
        if len(second) == len(after.ids):
            computed = format_value(compare(out, first, second, difference.metric).points)
        yield Check(f"study.json: {where}", written, computed)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"cannot read {path}: {error}; run the study again") from error
