"""Printing, and what an interrupt becomes."""

import contextlib
import io
import json
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import typer

from bakeoff.text import encodable, printable

__all__ = [
    "escape_what_cannot_be_encoded",
    "exit_on_interrupt",
    "parse_weigh",
    "print_board",
    "print_error",
    "print_info",
    "print_json",
    "print_line",
    "print_place",
    "print_plan",
    "print_text",
    "print_uses",
    "shell_command",
    "shown_path",
]


def shown_path(path: Path) -> Path:
    """A path as seen from the current folder, if it lies in it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) and path != here else path


def shell_command() -> str:
    """The command, as a shell takes it."""
    return encodable(shlex.join(["bakeoff", *sys.argv[1:]]))


def parse_weigh(text: str | None) -> dict[str, float] | None:
    """The user's weights of the criteria; None where accuracy alone decides."""
    from bakeoff.report.board import parse_criteria

    return None if text is None else parse_criteria(text)


def escape_what_cannot_be_encoded() -> None:
    """Write escapes on a standard output that is not UTF-8, instead of stopping at the first letter that it lacks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def print_board(out: Path, as_json: bool, weigh: dict[str, float] | None = None) -> str:
    """Print a study's ranking with the reason why its first row won, or its rows as JSON.

    Returns:
        The id of the run in the first row; empty if there is no run.
    """
    from rich.console import Console

    from bakeoff.report.board import explain_change, list_reasons, rank, render_table
    from bakeoff.runs.record import list_records
    from bakeoff.runs.study_file import read_study

    rows = rank(list_records(out), criteria=weigh, out=out)
    first = rows[0].id if rows else ""
    if as_json:
        print_json([row.model_dump(mode="json") for row in rows])
        return first
    console = Console()
    console.print(render_table(rows))
    winner = read_study(out).winner
    decided = winner.why if winner and weigh is None else ""
    # A line for each sentence, because a paragraph of all is hard to read on a terminal.
    for sentence in filter(None, (*list_reasons(rows), explain_change(rows, weigh), decided)):
        console.print(sentence, highlight=False)
    return first


def print_plan(plan: Mapping[str, Any], as_json: bool) -> None:
    """Print the plan of a dry run as JSON, if that was asked for. As a table it has been shown with the progress."""
    if as_json:
        print_json(plan)
    else:
        print_place("next", "the same command without --dry-run does this")


def print_place(name: str, place: str | Path) -> None:
    """Print on standard error where something is, or the command that comes next."""
    from bakeoff.console.results import render_place

    print_info(render_place(name, place))


def print_uses(run: Path, data_dir: Path | None = None) -> None:
    """Print on standard error what can be done with a run that was chosen on validation.

    Args:
        run: The run's folder, whose record says which data it is of.
        data_dir: Where the archives of these are, if that was given.
    """
    words = [str(shown_path(run)), *(["--data-dir", str(data_dir)] if data_dir else [])]
    print_place("test", shlex.join(["bakeoff", "evaluate", *words]))
    print_place("bundle", shlex.join(["bakeoff", "export", *words]))


def print_info(text: str) -> None:
    """Print on standard error what is not a result; it may have Rich's markup in it."""
    from bakeoff.console.bars import make_console

    make_console().print(text, highlight=False, soft_wrap=True)


def print_line(text: str) -> None:
    """Print a line of result on standard output."""
    sys.stdout.write(printable(text) + "\n")


def print_text(text: str) -> None:
    """Print a sentence on standard output: on a terminal in lines that end between words, elsewhere as one line."""
    indent = " " * (len(text) - len(text.lstrip()))
    _write(sys.stdout, indent, text.strip())


def print_json(value: Any) -> None:
    """Print a result as JSON on standard output."""
    is_utf8 = "utf" in (sys.stdout.encoding or "utf-8").lower()
    # The escapes are those of JSON.
    sys.stdout.write(encodable(json.dumps(value, indent=2, ensure_ascii=not is_utf8)) + "\n")


def print_error(message: str) -> None:
    """Print one line on standard error; on a terminal it is broken between words."""
    _write(sys.stderr, "", f"bakeoff: {' '.join(message.split())}")


@contextlib.contextmanager
def exit_on_interrupt(consequence: str = "the same command goes on from here") -> Iterator[None]:
    """Turn Ctrl-C into exit code 130 and a line that says what has become of the work."""
    try:
        yield
    except KeyboardInterrupt:
        print_error(f"interrupted; {consequence}")
        raise typer.Exit(130) from None


def _write(stream: TextIO, indent: str, text: str) -> None:
    """Write a text as one line, or in lines of a terminal's width; what follows the first line is indented more."""
    lines = [indent + printable(text)]
    if stream.isatty():
        wrapper = textwrap.TextWrapper(
            width=shutil.get_terminal_size().columns,
            initial_indent=indent,
            subsequent_indent=f"{indent}  ",
            # A path is not broken.
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines = wrapper.wrap(printable(text))
    stream.writelines(f"{line}\n" for line in lines)
