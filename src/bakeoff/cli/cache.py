"""The verbs of the cache: show, clear."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from bakeoff.cli.options import JsonOption
from bakeoff.cli.output import print_json, print_line

__all__ = ["clear", "show"]


def show(*, as_json: JsonOption = False) -> None:
    """List what is in the cache, how large it is, and when it was last used.

    `BAKEOFF_CACHE_DIR` says where it is, `BAKEOFF_CACHE_BYTES` how large it may become: what has been unused longest
    goes first, but nothing that was used in the last day.

    **Example**: `bakeoff cache show`
    """
    from rich.console import Console
    from rich.table import Table

    from bakeoff.cache import list_entries
    from bakeoff.files import cache_dir
    from bakeoff.report.board import format_bytes

    entries = list_entries()
    if as_json:
        rows = [entry._asdict() | {"paths": [str(path) for path in entry.paths]} for entry in entries]
        print_json(rows)
        return
    table = Table(box=None)
    for name, justify in (("kind", "left"), ("name", "left"), ("size", "right"), ("last used", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for entry in entries:
        used = datetime.fromtimestamp(entry.used, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(entry.kind, entry.name, format_bytes(entry.bytes), used)
    Console().print(table)
    print_line(f"{format_bytes(sum(entry.bytes for entry in entries))} in {cache_dir()}")


def clear(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(help="data, decoded, features, weights, given, profiles, downloads.", metavar="[KIND]..."),
    ] = None,
) -> None:
    """Delete what is in the cache; all of it can be made again. Downloads only if they are named.

    **Examples**

    - `bakeoff cache clear`

    - `bakeoff cache clear features downloads`
    """
    from bakeoff.cache import clear as clear_cache
    from bakeoff.report.board import format_bytes

    deleted = clear_cache(kinds or [])
    print_line(f"{len(deleted)} entries deleted, {format_bytes(sum(entry.bytes for entry in deleted))}")
