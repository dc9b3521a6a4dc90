"""Tables and arrays that were given in Python: kept in the cache, under what they are and a hash of their contents.

Their address, such as `DataFrame of 720 rows #1a2b3c4d5e6f`, stands where other data have a path. So the same call
resumes a study, and other processes find the data as well.
"""

import json
import re
from pathlib import Path

from bakeoff.cache import mark_used
from bakeoff.data.sources.table import Table
from bakeoff.errors import DataError
from bakeoff.files import cache_dir, write_text

__all__ = ["is_arrays_address", "is_table_address", "keep_table", "kept_file", "make_address", "read_kept_table"]

# A hash is as long as the id of a run.
_TABLE = re.compile(r"DataFrame of [0-9]+ rows #[0-9a-f]{12}")
_ARRAYS = re.compile(r"(arrays \([0-9, ]+\)|[0-9]+ arrays) #[0-9a-f]{12}")


def make_address(what: str, content_hash: str) -> str:
    """The address of data: what they are, and the beginning of their hash."""
    return f"{what} #{content_hash[:12]}"


def is_table_address(source: str) -> bool:
    """Whether a source is the address of a table that was given in Python."""
    return _TABLE.fullmatch(source) is not None


def is_arrays_address(source: str) -> bool:
    """Whether a source is the address of arrays that were given in Python."""
    return _ARRAYS.fullmatch(source) is not None


def kept_file(address: str, suffix: str) -> Path:
    """Where the cache keeps data, whether or not they are there."""
    return cache_dir() / "given" / f"{address.rpartition('#')[2]}{suffix}"


def keep_table(table: Table) -> str:
    """Keep a table. Returns its address; raises OutputError if the cache cannot be written."""
    address = make_address(table.name, table.hash)
    path = kept_file(address, ".json")
    if not path.is_file():
        write_text(path, json.dumps([table.columns, table.rows, table.notes], ensure_ascii=False))
    return address


def read_kept_table(address: str) -> Table:
    """The table at an address. Raises DataError if it is no longer in the cache."""
    path = kept_file(address, ".json")
    try:
        columns, rows, notes = json.loads(path.read_text(encoding="utf-8"))
        mark_used(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{address} is no longer in the cache; give it to bakeoff in Python again") from error
    return Table(address.rpartition(" #")[0], tuple(columns), tuple(map(tuple, rows)), tuple(notes))
