"""Names of any script on sheets."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from bakeoff.data import fonts, lettering
from bakeoff.data.checks import Finding, FindingKind, SuspiciousLabel
from bakeoff.data.contact_sheet import draw_pairs, draw_sheet, draw_suspicious
from bakeoff.data.lettering import Lettering
from bakeoff.data.shards import Block, Dataset, open_dataset, prepare
from bakeoff.data.sources import open_source
from bakeoff.runs.config import Data

NAMES = (
    "new\nline",
    "a\tb",
    "a\x01b\x1b[31m",
    "👩\u200d🔬🐱",
    "قط صغير",
    "बिल्ली",
    "แมว",
    "猫和狗",
    "cafe\u0301",
    "\u202ecat",
    "caf\udce9",
    "猫" * 5000,
    "   ",
    "\ue000",
    "\U000e0fff",
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("lettering") / "digits"
    prepare(open_source(Data(source="digits")), folder)
    return open_dataset(folder, "3")


def _take_raqm_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without FriBiDi."""
    for module in (fonts, lettering):
        monkeypatch.setattr(module, "can_shape", lambda: False)


def make_font(path: Path, text: str) -> None:
    """A font with a square for each character of a text."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (800, 700), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder = FontBuilder(1000)
    glyphs = {".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()}
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap(dict.fromkeys(map(ord, text), "square"))
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


def picture(text: str, notes: list[str] | None = None) -> np.ndarray:
    letters = Lettering([text])
    if notes is not None:
        notes += letters.notes
    sheet = Image.new("L", (400, 40), 255)
    letters.style(17).draw(ImageDraw.Draw(sheet), 5, 28, text, "black")
    return np.asarray(sheet)


@pytest.mark.parametrize("shaped", [True, False], ids=["raqm", "basic"])
def test_sheets_are_drawn_whatever_the_classes_are_called(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shaped: bool
) -> None:
    if not shaped:
        _take_raqm_away(monkeypatch)
    draw_sheet(dataclasses.replace(digits, class_names=NAMES), tmp_path / "sheet.png", columns=2)
    # A name that is cut off makes no sheet wider than this.
    assert 300 < Image.open(tmp_path / "sheet.png").width < 1200
    pairs = [Finding(FindingKind.LEAK, "train", "x", name, "train", "x", name, 1.0) for name in NAMES]
    block = Block(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1, np.int32), ["x"])
    monkeypatch.setattr("bakeoff.data.contact_sheet.entries.read_blocks", lambda *_, **__: [block])
    draw_pairs(digits, pairs, tmp_path / "pairs.png")
    assert (tmp_path / "pairs.png").stat().st_size > 1000
    found = [SuspiciousLabel("x", name, name, 0.9, "train") for name in NAMES]
    draw_suspicious(digits, found, tmp_path / "labels.png")
    assert Image.open(tmp_path / "labels.png").height > 100 * len(NAMES)


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(codec=None), max_size=30))
def test_any_text_is_drawn_in_the_room_that_it_has(text: str) -> None:
    style = Lettering([text]).style(17)
    short = style.shorten(text, 90)
    assert style.width(short) <= 90
    style.draw(ImageDraw.Draw(Image.new("RGB", (120, 40))), 5, 28, short, "white")


def test_a_character_that_no_font_has_is_drawn_as_its_code_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a machine that has only what matplotlib brings.
    monkeypatch.setattr(fonts, "_find_files", list)
    notes: list[str] = []
    assert np.array_equal(picture("猫 and 犬", notes), picture(r"\u732b and \u72ac"))
    (note,) = notes
    assert "2 characters of the names, such as 犬" in note
    assert "install a font that has them" in note


def test_a_font_of_the_machine_is_used_for_what_dejavu_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file, text in (("sans-bold", "猫犬"), ("sans", "猫犬"), ("one", "猫"), ("latin", "cat")):
        make_font(tmp_path / f"{file}.ttf", text)
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    found = [tmp_path / f"{file}.ttf" for file in ("broken", "one", "latin", "sans", "sans-bold")]
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: list(map(str, found)))
    letters = Lettering(["cat 猫犬"])
    assert letters.notes == ()
    pieces, _ = letters.lay_out("cat 猫犬")
    assert [(font.regular.name, piece) for font, piece in pieces] == [("DejaVuSans.ttf", "cat "), ("sans.ttf", "猫犬")]
    assert (picture("猫") == 0).sum() > 100  # a square


def test_letters_from_right_to_left_are_in_their_order_also_without_raqm(monkeypatch: pytest.MonkeyPatch) -> None:
    _take_raqm_away(monkeypatch)
    letters = Lettering(["حب cat"])
    ((_, piece),), options = letters.lay_out("حب cat")
    assert (piece, options) == (" catبح", {})
    ((_, piece),), _ = letters.lay_out("cat حب")
    assert piece == "cat بح"
    assert "FriBiDi" in letters.notes[0]


def test_names_that_pillow_can_draw_have_no_notes() -> None:
    assert Lettering(["cat", "Ĝaŭdo", "кот", "γάτα"]).notes == ()


def test_two_forms_of_one_name_look_the_same() -> None:
    assert np.array_equal(picture("cafe\u0301"), picture("caf\u00e9"))


def test_a_letter_keeps_its_marks_when_a_name_is_shortened() -> None:
    style = Lettering(["ạ"]).style(17)
    for width in range(30, 60):
        short = style.shorten("q\u0323" * 20, width)
        assert short.removesuffix("…").replace("q\u0323", "") == ""
