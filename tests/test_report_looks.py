"""Reports of every kind of study in a browser: no fault of accessibility, and whole on desktop, phone and paper."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.report import write_report
from studies import KINDS, write_study

PHONE, DESKTOP = 390, 1200
SCREENS = ((PHONE, 844), (1100, 800), (DESKTOP, 800), (1400, 900))
# A4 within its margins, in CSS pixels.
PAPER = 718
# Kinds whose pages have what others have, and take axe long.
LONG = ("twenty-candidates", "five-hundred-classes", "two-classes", "failed-winner")


@pytest.fixture(scope="module")
def reports(make_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A folder with a report for every kind of study."""

    def write(folder: Path) -> None:
        for name, facts in KINDS.items():
            write_report(write_study(folder / name, **facts))

    return make_once("reports", write)


@pytest.fixture(params=KINDS)
def page(request: pytest.FixtureRequest, browser: Any, reports: Path) -> Any:
    context = browser.new_context(offline=True, viewport={"width": DESKTOP, "height": 900})
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto((reports / request.param / "report.html").as_uri())
    yield page
    context.close()


def is_whole(page: Any, selector: str) -> bool:
    """Whether nothing of these elements has to be scrolled into view sideways."""
    whole: bool = page.eval_on_selector_all(selector, "all => all.every(each => each.scrollWidth <= each.clientWidth)")
    return whole


@pytest.mark.parametrize(
    "page", [pytest.param(kind, marks=pytest.mark.slow if kind in LONG else ()) for kind in KINDS], indirect=True
)
def test_axe_finds_no_fault_of_accessibility(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    # What is folded up is read, too.
    page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")
    # The scheme changes nothing but colours.
    colours = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
    for scheme, rules in (("light", {}), ("dark", {"runOnly": colours})):
        page.emulate_media(color_scheme=scheme)
        found = axe.Axe().run(page, options={"resultTypes": ["violations"], **rules})
        assert found.violations_count == 0, f"{scheme}: {found.generate_report()}"


def test_a_report_is_whole_on_phone_desktop_and_paper(page: Any) -> None:
    for width, height in SCREENS:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # The two sentences are on the first screen.
        box = page.locator(".next").bounding_box()
        assert box["y"] + box["height"] < height
        if width > PHONE:
            assert is_whole(page, ".tables .scroll"), width
        if width >= DESKTOP:
            assert is_whole(page, ".scroll"), width
    page.set_viewport_size({"width": PAPER, "height": 1000})
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER
