"""Names of classes and files, as they are shown, compared and written into tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.text import comparable, encodable, from_cell, isolated, markdown, printable, to_cell


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


def test_a_name_in_markdown_is_shown_as_it_is() -> None:
    assert markdown("a|b\n<i>`_x_") == r"a\|b\\n\<i\>\`\_x\_"


def test_a_name_from_right_to_left_keeps_its_order_to_itself() -> None:
    assert isolated("قط") == "\u2068قط\u2069"
    assert isolated("cat 12") == "cat 12"
