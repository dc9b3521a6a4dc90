"""What the site is made of, without building it: its navigation, and the executed notebook."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation_once() -> None:
    named = re.findall(r"^ +- ([\w/-]+\.md)$", CONFIG.partition("\nnav:\n")[2], re.MULTILINE)
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    # Pages of families are reached from their table.
    listed = {page for page in pages if not page.startswith("reference/networks/")}
    assert sorted(named) == sorted({*listed, "notebook.md"})


@pytest.fixture(scope="module")
def cells() -> dict[str, list[dict[str, Any]]]:
    """The outputs of each cell of the notebook with code, by the last line of its source."""
    notebook = json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return {"".join(cell["source"]).splitlines()[-1]: cell["outputs"] for cell in code}


def show(output: dict[str, Any], kind: str) -> str:
    """An output of a cell in one of its forms."""
    return "".join(output["data"][kind])


def test_the_notebook_shows_results_as_a_page(cells: dict[str, list[dict[str, Any]]]) -> None:
    (shown,) = cells["results"]
    assert "<table" in show(shown, "text/html")


def test_the_notebook_shows_a_board_with_the_columns_that_it_asks_for(cells: dict[str, list[dict[str, Any]]]) -> None:
    (source,) = (line for line in cells if line.startswith("results.board[["))
    wanted = ast.literal_eval(source.removeprefix("results.board[").removesuffix("]"))
    (shown,) = cells[source]
    head, _, rows = show(shown, "text/html").partition("</thead>")
    assert re.findall(r"<th>(\w+)</th>", head) == wanted
    assert rows.count("<tr>") >= 3


def test_the_notebook_shows_a_score_with_its_interval(cells: dict[str, list[dict[str, Any]]]) -> None:
    (source,) = (line for line in cells if line.startswith("best.candidate"))
    (shown,) = cells[source]
    candidate, top1, (low, high), openings = ast.literal_eval(show(shown, "text/plain"))
    assert "@" in candidate
    assert 0 < low <= top1 <= high <= 1
    assert openings == 1
