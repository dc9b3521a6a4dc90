"""Names of classes and files, as they are shown, compared and written into tables; numbers with their nouns."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bakeoff
from bakeoff.text import comparable, counted, encodable, from_cell, isolated, markdown, plural, printable, to_cell


def test_what_cannot_be_seen_is_printed_as_an_escape() -> None:
    assert printable("a\nb\tc\x1b[31m\u202e\udce9\x85") == r"a\nb\tc\x1b[31m\u202e\udce9\x85"
    assert printable("naïve 猫 👩\u200d🔬") == "naïve 猫 👩\u200d🔬"


@given(st.text(st.characters(codec=None)))
def test_any_text_can_be_printed_on_one_line(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert shown == encodable(shown)


@pytest.mark.parametrize("text", ["=1+1", "+x", "@SUM(A1)", "-a.png", "\tx", "=1", "'=1", "''+x", "＝1"])
def test_a_formula_gets_an_apostrophe_and_loses_it_again(text: str) -> None:
    assert to_cell(text) == f"'{text}"
    assert from_cell(to_cell(text)) == text


@pytest.mark.parametrize("text", ["", "cat/1.png", "-1", "+2.5", "'quoted'", "a=b"])
def test_other_texts_are_cells_as_they_are(text: str) -> None:
    assert from_cell(text) == to_cell(text) == text


@given(st.text())
def test_a_cell_holds_any_text(text: str) -> None:
    assert from_cell(to_cell(text)) == text


def test_paths_are_compared_in_one_form() -> None:
    assert comparable("cafe\u0301\\1.png ") == comparable("caf\u00e9/1.png")
    assert comparable("a/1.png") != comparable("A/1.png")


def test_a_number_is_compared_without_the_zeros_and_points_that_programs_take_away_or_add() -> None:
    assert {comparable(text) for text in ("00042", "42", "42.0", " 042.00 ")} == {"42"}
    assert comparable("0000") == comparable("0")
    assert len({comparable(text) for text in ("42", "420", "4.2", "a/042", "042.png", "-42")}) == 6


def test_a_name_in_markdown_is_shown_as_it_is() -> None:
    assert markdown("a|b\n<i>`_x_") == r"a\|b\\n\<i\>\`\_x\_"


def test_a_name_from_right_to_left_keeps_its_order_to_itself() -> None:
    assert isolated("قط") == "\u2068قط\u2069"
    assert isolated("cat 12") == "cat 12"


@pytest.mark.parametrize(
    ("number", "noun", "shown"),
    [
        (1, "image", "1 image"),
        (0, "image", "0 images"),
        (1204, "validation image", "1,204 validation images"),
        (2, "class", "2 classes"),
        (2, "batch", "2 batches"),
        (3, "entry", "3 entries"),
        (3, "day", "3 days"),
        (1.5, "epoch", "1.5 epochs"),
    ],
)
def test_a_number_has_its_noun_in_the_singular_or_the_plural(number: float, noun: str, shown: str) -> None:
    assert counted(number, noun) == shown
    assert shown.endswith(plural(number, noun))


def test_no_message_counts_things_with_a_plural_that_is_fixed() -> None:
    """As `f"{len(images)} images"` does, which becomes "1 images"."""

    def fixed(tree: ast.AST) -> Iterator[str]:
        texts = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
        for first, second in (pair for text in texts for pair in zip(text.values, text.values[1:], strict=False)):
            match first, second:
                case (
                    ast.FormattedValue(value=ast.Call(func=ast.Name(id="len" | "sum"))),
                    ast.Constant(value=str(after)),
                ) if re.match(r" (?!of )([\w-]+ ){0,2}?(?!is\b|was\b|has\b)[a-z]+s\b", after):
                    yield f"{ast.unparse(first)}{after}"

    assert list(
        fixed(ast.parse("""f'{len(images):,} images were'; f'{len(a)} of them is'; f'{sum(c)} near copies'"""))
    ) == [
        "{len(images):,} images were",
        "{sum(c)} near copies",
    ]
    package = Path(bakeoff.__file__).parent
    found = {
        path.relative_to(package).as_posix(): list(fixed(ast.parse(path.read_text(encoding="utf-8"))))
        for path in package.rglob("*.py")
    }
    # There it is a part of an identity, which must not change.
    assert all(found.pop(path) for path in ("api/given.py", "data/sources/arrays.py"))
    assert {path: texts for path, texts in found.items() if texts} == {}
