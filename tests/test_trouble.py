"""The pages about trouble explain the messages of the errors: each that is raised, in the words that it has."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from bakeoff.text import plural
from test_docs import PACKAGE, ROOT, VERBS

# What the sources raise with a message for the user, or for a part of one.
RAISED = {
    *("BakeoffError", "InputError", "ConfigError", "DataError", "WeightsError", "BundleError", "OutputError"),
    *("NothingTrainedError", "DownloadError", "HostError", "CutError", "ContractError", "FloatingPointError"),
    *("UnfinishedError", "HTTPException"),
}
# Letters of its own that a message has at least; others pass the text of another error on.
LEAST_LETTERS = 10
PAGES = [ROOT / "docs" / "trouble.md", *sorted((ROOT / "docs" / "trouble").glob("*.md"))]


@cache
def read_sources() -> dict[str, ast.Module]:
    """The sources' syntax trees by path."""
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}


def read_text(node: ast.AST) -> str:
    """The text of a string in the sources, with … for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(read_text(value) for value in values)
        case ast.FormattedValue(value=ast.Call(func=ast.Name(id="counted"), args=[_, ast.Constant(value=str(noun))])):
            return f"… {plural(2, noun)}"
        case ast.BinOp(left=left, right=right):
            return read_text(left) + read_text(right)
        case _:
            return "…"


def list_messages() -> Iterator[tuple[str, str]]:
    """The messages that are raised, each with its place in the sources."""
    for name, tree in read_sources().items():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id=raised), args=[*_, _] as args) if raised in RAISED:
                    # Of an answer over HTTP the first argument is its number.
                    texts = [read_text(arg) for arg in args]
                    message = next((text for text in texts if text != "…"), "…")
                    yield f"{name}:{node.lineno}", message


@pytest.fixture(scope="module")
def messages() -> dict[str, str]:
    """The messages that are raised, by place."""
    return dict(list_messages())


@pytest.fixture(scope="module")
def texts() -> set[str]:
    """All texts of the sources."""
    nodes = (node for tree in read_sources().values() for node in ast.walk(tree))
    return {read_text(node) for node in nodes if isinstance(node, ast.JoinedStr | ast.Constant)}


EXPLAINED = [
    (page.name, part)
    for page in PAGES
    for cell in re.findall(r"^\| (`.+?) \| ", page.read_text("utf-8"), re.MULTILINE)
    for part in re.findall(r"`([^`]+)`", cell)
]


def letters(text: str) -> int:
    """How many letters a text has."""
    return sum(map(str.isalpha, text))


def test_there_is_something_to_explain(messages: dict[str, str]) -> None:
    assert len(messages) > 300
    assert len(EXPLAINED) > 200


def test_each_message_is_explained(messages: dict[str, str]) -> None:
    missing = [
        f"{place}: {message}"
        for place, message in messages.items()
        if letters(message) >= LEAST_LETTERS and not any(part in message for _, part in EXPLAINED)
    ]
    assert missing == [], "add them to a page in docs/trouble"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_the_words_of_the_sources(page: Path, texts: set[str]) -> None:
    said = [part for name, part in EXPLAINED if name == page.name]
    assert [part for part in said if not any(part in text for text in texts)] == []
    assert [part for part in said if letters(part) < 5] == []


def test_an_option_that_a_message_about_the_data_names_is_the_same_in_every_verb_that_trains(
    messages: dict[str, str],
) -> None:
    """Such messages are raised by all of them: in `compare`, `--images` is a number."""
    about_data = [message for place, message in messages.items() if place.startswith("data/")]
    named = {option for message in about_data for option in re.findall(r"(?<![\w-])--[a-z-]+", message)}
    kinds = [
        {
            option: parameter.type_descriptor.annotation
            for parameter in VERBS[(verb,)].params
            for option in parameter.opts
        }
        for verb in ("run", "screen", "compare", "tune", "train")
    ]
    assert named <= {option for verb in VERBS.values() for parameter in verb.params for option in parameter.opts}
    assert {option for option in named if len({each.get(option) for each in kinds}) > 1} == set()
    assert "--image-folder" in named
