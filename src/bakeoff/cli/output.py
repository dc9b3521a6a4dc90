"""Printing, and what every verb does around its work."""

import contextlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bakeoff.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from bakeoff.data.shards import Dataset, Manifest
    from bakeoff.runs.config import Data

__all__ = [
    "NO_TENSORFLOW",
    "interruptible",
    "make_console",
    "parse_weigh",
    "prepare_data",
    "print_board",
    "print_error",
    "print_json",
    "print_line",
    "print_notes",
    "require_tensorflow",
]


NO_TENSORFLOW = "TensorFlow is not installed; run pip install 'bakeoff[cpu]', or 'bakeoff[gpu]' where there is a GPU"


def require_tensorflow() -> None:
    """Raise InputError at once, instead of in every worker, where TensorFlow is not installed."""
    if importlib.util.find_spec("tensorflow") is None:
        raise InputError(NO_TENSORFLOW)


def prepare_data(data: "Data", data_dir: Path | None) -> "tuple[Path, Dataset]":
    """The folder of some data's shards, prepared if need be, and the view of it that was asked for."""
    from bakeoff.cli.console import preparing
    from bakeoff.data.checks import read_excluded
    from bakeoff.data.shards import open_dataset, prepare_cached

    require_tensorflow()
    excluded = read_excluded(Path(data.exclude)) if data.exclude else {}
    with preparing(make_console()) as move:
        shards = prepare_cached(data.source, data_dir, excluded=excluded, on_count=move)
    return shards, open_dataset(shards, data.classes, data.seed)


def parse_weigh(text: str | None) -> dict[str, float] | None:
    """The user's weights of the criteria; None where accuracy alone decides."""

    from bakeoff.report.board import parse_criteria

    return None if text is None else parse_criteria(text)


def print_board(out: Path, as_json: bool, weigh: dict[str, float] | None = None) -> None:
    """Print a study's ranking with the reason why its first row won, or its rows as JSON."""
    from rich.console import Console

    from bakeoff.report.board import explain, rank, render_table
    from bakeoff.runs.record import list_records

    rows = rank(list_records(out), criteria=weigh)
    if as_json:
        print_json([row.model_dump(mode="json") for row in rows])
        return
    console = Console()
    console.print(render_table(rows))
    console.print(explain(rows, weigh), highlight=False)


def print_notes(manifest: "Manifest") -> None:
    """Tell on standard error what was odd about the data, and which images were left out."""
    console = make_console()
    for note in manifest.notes:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    for bad in manifest.quarantined:
        console.print(f"left out: {bad.key}: {bad.reason}", highlight=False, markup=False, soft_wrap=True)


def make_console() -> "Console":
    """A console on standard error, where progress goes."""
    from rich.console import Console

    return Console(stderr=True)


def print_line(text: str) -> None:
    """One line of result on standard output."""
    sys.stdout.write(text + "\n")


def print_json(value: Any) -> None:
    """A result as JSON on standard output."""
    print_line(json.dumps(value, indent=2, ensure_ascii=False))


def print_error(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"bakeoff: {' '.join(message.split())}\n")


@contextlib.contextmanager
def interruptible(how_on: str = "the same command goes on from here") -> Iterator[None]:
    """Turn Ctrl-C into exit code 130 and a line that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        print_error(f"interrupted; {how_on}")
        raise typer.Exit(130) from None
