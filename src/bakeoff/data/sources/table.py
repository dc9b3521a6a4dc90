"""Reads tables: CSV and its relatives, JSON and Parquet. Whatever a cell held, it is a text afterwards.

What spreadsheets write is read as well: semicolons, tabs, a byte-order mark, UTF-16, and Windows' own encoding.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from bakeoff.errors import DataError
from bakeoff.files import hash_json
from bakeoff.text import counted

__all__ = [
    "LIMIT_BYTES",
    "TABLE_SUFFIXES",
    "Table",
    "is_table_name",
    "join_tables",
    "make_table",
    "plain_name",
    "read_table",
    "read_table_file",
    "to_cell",
]

_TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
_JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
_PARQUET_SUFFIXES = (".parquet", ".pq")
TABLE_SUFFIXES = (*_TEXT_SUFFIXES, *_JSON_LINES_SUFFIXES, ".json", *_PARQUET_SUFFIXES)
_SPREADSHEET_SUFFIXES = (".xlsx", ".xls", ".ods", ".numbers")

LIMIT_BYTES = 1 << 28
"""The largest table that is read, in bytes: a few million rows."""

# Sorted by how likely they are where two fit equally well.
_DELIMITERS = ",;\t|"
# Lists such as ImageNet's have spaces between values. Elsewhere a space is rather part of a name.
_SPACED_SUFFIX = ".txt"
# Rows by which a delimiter is chosen.
_SAMPLE_ROWS = 50
# The last is that of Excel's "CSV (Macintosh)".
_LINE_BREAK = re.compile("\r\n|\n|\r")
# The first columns of the lists that `bakeoff data check` writes, and of the answers of `bakeoff predict --csv`.
_CHECK_COLUMNS = (("kind", "split", "id"), ("id", "label", "suggested"))
_ANSWER_COLUMNS = ("path", "rank", "label", "probability")
# The type of what pandas has in columns of its own types where a value is missing. Comparing it is an error.
_MISSING = "NAType"
# Names of the two columns of a JSON object that maps files to labels.
_MAPPING_COLUMNS = ("file", "label")


@dataclass(frozen=True)
class Table:
    """Columns with names, and rows of as many texts; a cell without a value is an empty text."""

    name: str
    """The table as messages name it."""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """What was unusual about it."""

    @property
    def hash(self) -> str:
        """A hash of columns and rows."""
        return hash_json([self.columns, self.rows])

    @property
    def is_check_list(self) -> bool:
        """Whether it is a list that `bakeoff data check` wrote: findings, or suspicious labels."""
        return tuple(map(str.lower, self.columns[:3])) in _CHECK_COLUMNS

    @property
    def is_written_by_bakeoff(self) -> bool:
        """Whether its labels are not a person's: a list of a check, or the answers of `bakeoff predict --csv`."""
        return self.is_check_list or tuple(map(str.lower, self.columns[:4])) == _ANSWER_COLUMNS

    def column(self, name: str) -> list[str]:
        """The values of a column."""
        position = self.columns.index(name)
        return [row[position] for row in self.rows]

    def with_column(self, name: str, value: str) -> "Table":
        """The same table with one more column, of one value; as it is if it has a column of that name."""
        if name in self.columns:
            return self
        rows = tuple((*row, value) for row in self.rows)
        return Table(self.name, (*self.columns, name), rows, self.notes)

    def without_header(self) -> "Table":
        """The same table, its names of columns being its first row."""
        names = tuple(f"column {number}" for number in range(1, len(self.columns) + 1))
        note = f"{self.name} has no names of columns; its first line was read as an image"
        return Table(self.name, names, (self.columns, *self.rows), (*self.notes, note))


def is_table_name(name: str) -> bool:
    """Whether a file is a table, by its suffix; spreadsheets, which cannot be read, are tables too."""
    return PurePath(name).suffix.lower() in (*TABLE_SUFFIXES, *_SPREADSHEET_SUFFIXES)


def plain_name(column: str) -> str:
    """The letters and digits of a column's name in lower case, by which names are compared."""
    return re.sub(r"[\W_]+", "", column).casefold()


def read_table_file(path: Path, *, may_be_empty: bool = False) -> Table:
    """Read a table from a file. Raises DataError as `read_table` does, or if the file cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; make it readable") from error
    return read_table(str(path), data, may_be_empty=may_be_empty)


def read_table(name: str, data: bytes, *, is_head: bool = False, may_be_empty: bool = False) -> Table:
    """Read a table.

    Args:
        name: The file's name or path. Its suffix says what it holds.
        data: The contents of the file.
        is_head: Whether these are only its first bytes: what comes after the last line break is left out, and so are
            values beyond the last column.
        may_be_empty: Whether a table without rows is read, too.

    Raises:
        DataError: It cannot be read, is empty, or needs a package that is not installed.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix in _SPREADSHEET_SUFFIXES:
        raise DataError(f"{name} is a spreadsheet; save it as CSV and give that file")
    if len(data) > LIMIT_BYTES and not is_head:
        raise DataError(f"{name} has more than {LIMIT_BYTES:,} bytes; keep only the columns that are needed")
    try:
        if suffix in _PARQUET_SUFFIXES:
            columns, rows, notes = _read_parquet(name, data)
            return make_table(name, columns, rows, notes, may_be_empty=may_be_empty)
        text, notes = _decode(name, data, "ignore" if is_head else "strict")
        if is_head:
            text = text[: max(map(text.rfind, "\r\n")) + 1]
        if suffix in _JSON_LINES_SUFFIXES:
            columns, rows = _gather([json.loads(line) for line in _LINE_BREAK.split(text) if line.strip()])
        elif suffix == ".json":
            columns, rows = _gather(json.loads(text))
        else:
            columns, rows = _read_delimited(text, strict=not is_head, may_be_spaced=suffix == _SPACED_SUFFIX)
        if is_head:
            rows = [row[: len(columns)] for row in rows]
        return make_table(name, columns, rows, notes, may_be_empty=may_be_empty)
    except csv.Error as error:
        raise DataError(f"cannot read {name}: {error}; mend it, or save it again as CSV") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"cannot read {name}: {error}; mend it, or give a CSV file") from error


def make_table(
    name: str,
    columns: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    notes: Sequence[str] = (),
    *,
    may_be_empty: bool = False,
) -> Table:
    """Make a table of any values.

    Args:
        name: The table as messages name it.
        columns: The names of its columns.
        rows: Its rows; a row that ends early has no values in its last columns, an empty row is none.
        notes: What was unusual about it.
        may_be_empty: Whether a table without rows is a table, too.

    Raises:
        DataError: Two columns have one name, a row has more values than there are columns, or there are no rows.
    """
    names = tuple(to_cell(column) or f"column {number}" for number, column in enumerate(columns, 1))
    if doubled := [column for column in dict.fromkeys(names) if names.count(column) > 1]:
        raise DataError(f"{name} has two columns called {doubled[0]}; rename one")
    cells = []
    for number, row in enumerate(rows, 1):
        texts = tuple(map(to_cell, row))
        if any(texts[len(names) :]):
            raise DataError(
                f"row {number} of {name} has {counted(len(texts), 'value')} for {counted(len(names), 'column')};"
                " mend it"
            )
        if any(texts):
            cells.append((*texts, *[""] * (len(names) - len(texts)))[: len(names)])
    if not cells and not may_be_empty:
        raise DataError(f"{name} has no rows; give a table with a row for each image")
    return Table(name, names, tuple(cells), tuple(notes))


def join_tables(tables: Sequence[Table]) -> Table:
    """The rows of tables of the same columns, in one table."""
    first, *others = tables
    if not others:
        return first
    rows = [row for table in tables for row in zip(*map(table.column, first.columns), strict=True)]
    notes = [note for table in tables for note in table.notes]
    return Table(" and ".join(table.name for table in tables), first.columns, tuple(rows), tuple(notes))


def to_cell(value: Any) -> str:
    """A cell as text. A whole number is written without a point: one empty cell makes a column of numbers floats."""
    if getattr(value, "ndim", 0):  # pandas reads the lists of a Parquet file as arrays
        value = value.tolist()
    if value is None or type(value).__name__ == _MISSING or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace").strip()
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value).strip()


def _decode(name: str, data: bytes, errors: str) -> tuple[str, list[str]]:
    """The text of a file, and a note if its encoding had to be guessed."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors), []
    if b"\0" in data[:64]:
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be", errors), []
    try:
        return data.decode("utf-8-sig", errors), []
    except UnicodeDecodeError:
        return data.decode("cp1252"), [f"{name} is not UTF-8; it was read as Windows-1252"]


def _read_delimited(text: str, *, strict: bool, may_be_spaced: bool) -> tuple[list[str], list[list[str]]]:
    first, *rest = _LINE_BREAK.split(text, maxsplit=1)
    told = first.strip()
    if told.lower().startswith("sep=") and len(told) == 5:  # Excel's own line
        text, delimiter = "".join(rest), told[4]
    else:
        delimiter = max(_DELIMITERS, key=lambda each: _fits(text, each))
        if may_be_spaced and _fits(text, delimiter)[1] == 1 and _fits(text, " ") > (True, 1):
            delimiter = " "
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict, skipinitialspace=True)
    rows = [row for row in lines if row]
    if not rows:
        return [], []
    header, *body = rows
    # A delimiter at the end of each line makes a column that has neither a name nor values.
    while header and not header[-1].strip() and not any("".join(row[len(header) - 1 :]).strip() for row in body):
        header.pop()
    return header, body


def _fits(text: str, delimiter: str) -> tuple[bool, int]:
    """Whether most rows have as many values as the first one, and how many these are."""
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        widths = [len(row) for row, _ in zip(lines, range(_SAMPLE_ROWS), strict=False) if row]
    except csv.Error:
        return False, 0
    return bool(widths) and 2 * widths.count(widths[0]) > len(widths), widths[0] if widths else 0


def _gather(records: Any) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of a list of objects, or of an object that maps files to labels."""
    if isinstance(records, Mapping) and records and not any(isinstance(v, list | dict) for v in records.values()):
        return list(_MAPPING_COLUMNS), [[key, value] for key, value in records.items()]
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError("it is neither a list of objects nor an object that maps files to labels")
    columns = list(dict.fromkeys(key for record in records for key in record))
    return columns, [[record.get(column) for column in columns] for record in records]


def _read_parquet(name: str, data: bytes) -> tuple[list[str], list[list[Any]], list[str]]:
    """Columns, rows, and a note if there are columns that are not read."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"{name} is read by pyarrow; run pip install 'bakeoff[parquet]', or give a CSV file") from error
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        # Images inside the table would take all the memory.
        types = arrow.types
        holds_bytes = (types.is_struct, types.is_binary, types.is_large_binary, types.is_binary_view)
        kinds = {field.name: field.type for field in file.schema_arrow}
        left_out = [name for name, kind in kinds.items() if any(is_kind(kind) for is_kind in holds_bytes)]
        columns = file.read(columns=[name for name in kinds if name not in left_out])
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(str(error).splitlines()[0]) from error
    values = [column.to_pylist() for column in columns.columns]
    note = f"images inside {name} are not read, only files (column {', '.join(left_out)})"
    return columns.column_names, [list(row) for row in zip(*values, strict=True)], [note] if left_out else []
