"""The verbs of the cache: show, clear."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from bakeoff.cache import KINDS
from bakeoff.cli.options import JsonOption
from bakeoff.cli.output import print_error, print_json, print_line
from bakeoff.text import counted, name_some

__all__ = ["clear", "show"]


def show(*, as_json: JsonOption = False) -> None:
    """List what is in the cache, how large it is, and when it was last used.

    `BAKEOFF_CACHE_DIR` says where it is, `BAKEOFF_CACHE_BYTES` how large it may become: what has been unused longest
    is deleted first, but nothing that was used in the last day. Other files in that folder are never deleted.

    **Example**: `bakeoff cache show`
    """
    from rich.console import Console

    from bakeoff.cache import list_entries
    from bakeoff.files import cache_dir
    from bakeoff.report.board import Column, FittingTable, format_bytes

    entries = list_entries()
    if as_json:
        rows = [entry._asdict() | {"paths": [str(path) for path in entry.paths]} for entry in entries]
        print_json(rows)
        return
    if not entries:
        print_line(f"nothing in {cache_dir()}")
        _print_others()
        return
    columns = [Column("kind", left=True), Column("name", left=True, wraps=True), Column("size"), Column("last used")]
    lines = [(entry.kind, entry.name, format_bytes(entry.bytes), _format_time(entry.used)) for entry in entries]
    Console().print(FittingTable(columns, [(line, "") for line in lines]))
    print_line(f"{format_bytes(sum(entry.bytes for entry in entries))} in {cache_dir()}")
    _print_others()


def _print_others() -> None:
    from bakeoff.cache import list_others
    from bakeoff.files import cache_dir

    if others := [path.relative_to(cache_dir()).as_posix() for path in list_others()]:
        print_line(f"not written by bakeoff, so left alone in {cache_dir()}: {name_some(others)}")


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def clear(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(help=f"Kinds to delete: {', '.join(KINDS)}.", metavar="KIND"),
    ] = None,
) -> None:
    """Delete what bakeoff has written into the cache, which can be made again. Downloads are deleted only if named.

    **Examples**

    - `bakeoff cache clear`

    - `bakeoff cache clear features downloads`
    """
    from bakeoff.cache import clear as clear_cache
    from bakeoff.report.board import format_bytes

    deleted = clear_cache(kinds or [], print_error)
    print_line(f"{counted(len(deleted), 'entry')} deleted, {format_bytes(sum(entry.bytes for entry in deleted))}")
    _print_others()
