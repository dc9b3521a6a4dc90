"""The help of every verb and group on a terminal: examples that are taken, short paragraphs, nothing cut off."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
import typer.main
from typer.testing import CliRunner

from bakeoff.cli.app import app

# Typer does not name it, and has a click of its own.
UsageError = typer.BadParameter.__base__
MOST_LINES = 3


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Everything that has a help, with its path: the program, its groups and its verbs."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*path, name))


EVERYTHING = dict(walk(typer.main.get_command(app)))
SHOWN = [path for path, command in EVERYTHING.items() if not command.hidden]


def examples_of(path: tuple[str, ...]) -> list[list[str]]:
    """The words of each example in a help, from `bakeoff` on."""
    spans = re.findall(r"`([^`]*\bbakeoff [^`]+)`", EVERYTHING[path].help or "")
    return [words[words.index("bakeoff") :] for words in (shlex.split(span) for span in spans) if "bakeoff" in words]


def name_path(path: tuple[str, ...]) -> str:
    return " ".join(("bakeoff", *path))


def show_help(path: tuple[str, ...], columns: int) -> list[str]:
    done = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": str(columns)}, terminal_width=columns)
    assert done.exit_code == 0
    return [line.rstrip() for line in done.output.splitlines()]


@pytest.mark.parametrize("path", SHOWN, ids=name_path)
def test_every_help_has_an_example_of_itself_and_each_is_taken(path: tuple[str, ...]) -> None:
    examples = examples_of(path)
    assert any(words[1 : len(path) + 1] == list(path) for words in examples)
    for words in examples:
        called = max((known for known in EVERYTHING if tuple(words[1 : len(known) + 1]) == known), key=len)
        # The parser of the verb raises where an option or a value is not known.
        context = EVERYTHING[called].make_context(" ".join(called), words[len(called) + 1 :])
        assert context.command is not None
        assert not getattr(EVERYTHING[called], "commands", {}), f"{shlex.join(words)} names no verb"


def test_an_example_that_the_program_does_not_take_would_be_noticed() -> None:
    with pytest.raises(UsageError):
        EVERYTHING["run",].make_context("run", ["--no-such-option"])


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("path", SHOWN, ids=name_path)
def test_a_help_fits_and_nothing_in_it_is_cut_off(path: tuple[str, ...], columns: int) -> None:
    lines = show_help(path, columns)
    assert max(map(len, lines)) <= columns
    assert "…" not in "\n".join(lines)


@pytest.mark.parametrize("path", SHOWN, ids=name_path)
def test_no_paragraph_of_a_help_is_longer_than_three_lines(path: tuple[str, ...]) -> None:
    above = [*show_help(path, 80), ""]
    # Texts stand above the panels; a bullet begins a paragraph.
    texts = above[: next(place for place, line in enumerate(above) if line.startswith("╭"))]
    paragraphs = re.split(r"\n\s*\n|\n(?=\s*•)", "\n".join(texts))
    assert max(len(text.strip().splitlines()) for text in paragraphs) <= MOST_LINES


@pytest.mark.parametrize("path", SHOWN, ids=name_path)
def test_no_command_of_a_help_is_broken(path: tuple[str, ...]) -> None:
    """So that it works when it is copied."""
    text = "\n".join(show_help(path, 80))
    for command in re.findall(r"`([^`]*\bbakeoff [^`]+)`", EVERYTHING[path].help or ""):
        assert command in text
