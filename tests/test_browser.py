"""The page in a browser: it loads nothing else, its table sorts, and its weights rank as the board does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakeoff.report import write_report
from bakeoff.report.board import rank
from bakeoff.runs.config import Mode
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import RunRecord, Stage, State, write_record
from factories import make_record

FIRST_RUNG = [
    make_record("a@32", 0.80, seconds=50, memory_peak_bytes=300, params_trainable=30),
    make_record("b@32", 0.79, seconds=20, memory_peak_bytes=200, params_trainable=20),
]
# Equal accuracies, costs within and just outside the 5 % that count as equal, unmeasured ones, all states, a second
# rung of the race, trials, and a confirming run with a probe beside it.
FIELD = [
    *FIRST_RUNG,
    *(
        make_record(
            config=run.config.revised(model={"start": f"runs/{run.id}/model.keras"}),
            top1=top1,
            seconds=100,
            memory_peak_bytes=run.memory_peak_bytes + 9,
        )
        for run, top1 in zip(FIRST_RUNG, (0.78, 0.81), strict=True)
    ),
    make_record("b@32", 0.85, stage=Stage.CONFIRM, seconds=300),
    make_record("g@32", 0.80, stage=Stage.CONFIRM, seconds=1, mode=Mode.PROBE),
    make_record("c@32", 0.79, seconds=21, memory_peak_bytes=211, params_trainable=20),
    make_record("d@32", 0.60, seconds=90, memory_peak_bytes=100, params_trainable=90),
    make_record("e@32", 0.60, seconds=9, memory_peak_bytes=0, params_trainable=91),
    make_record("p@32", 0.99, seconds=1, state=State.PRUNED, reason="too slow"),
    make_record("f@32", None, seconds=0, state=State.FAILED, reason="out of memory"),
    *(make_record(f"a@{size}", 0.81, stage=Stage.TUNE, seconds=size) for size in (32, 64)),
    *(
        make_record(f"{name}@32", top1, stage=Stage.SCREEN, images_per_second=rate, seconds=rate / 10, mode=Mode.PROBE)
        for name, top1, rate in [("a", 0.5, 100), ("b", 0.52, 40), ("c", 0.4, 900), ("g", 0.3, 70)]
    ),
]
WEIGHTS = [
    {"accuracy": 10, "memory": 0, "params": 0, "time": 0},
    {"accuracy": 3, "memory": 1, "params": 1, "time": 0},
    {"accuracy": 1, "memory": 5, "params": 0, "time": 2},
    {"accuracy": 0, "memory": 0, "params": 7, "time": 7},
    {"accuracy": 2, "memory": 9, "params": 9, "time": 1},
]


class Tab:
    """A page in a browser, with its network requests and console messages."""

    def __init__(self, page: Any, path: Path) -> None:
        self.page, self.requests, self.console = page, [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.console.append(message.text))
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.goto(path.as_uri())

    def ids(self) -> list[str]:
        """Runs in the order in which the table shows them."""
        shown: list[str] = self.page.eval_on_selector_all("tr[data-id]", "rows => rows.map(row => row.dataset.id)")
        return shown

    def ranks(self) -> dict[str, str]:
        cells: dict[str, str] = dict(
            self.page.eval_on_selector_all(
                "tr[data-id]", "rows => rows.map(row => [row.dataset.id, row.cells[0].textContent])"
            )
        )
        return cells

    def weigh(self, weights: dict[str, int]) -> None:
        for name, weight in weights.items():
            self.page.fill(f"input[name={name}]", str(weight))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study")
    for record in FIELD:
        write_record(run_dir(out, record.id), record)
    return write_report(out)


@pytest.fixture
def tab(browser: Any, study: Path) -> Iterator[Tab]:
    context = browser.new_context(offline=True)
    context.set_default_timeout(120_000)
    yield Tab(context.new_page(), study)
    context.close()


def grouped(records: list[RunRecord], criteria: dict[str, float] | None) -> tuple[list[str], dict[str, str]]:
    """The ids in the order of a table grouped by stage, and their ranks, computed by the board."""
    rows = rank(records, criteria=criteria)
    ids = [row.id for stage in dict.fromkeys(row.stage for row in rows) for row in rows if row.stage is stage]
    return ids, {row.id: str(row.rank or "–") for row in rows}


def test_the_page_makes_no_requests_and_writes_nothing_to_the_console(tab: Tab, study: Path) -> None:
    tab.page.click(".board thead >> text=Training time")
    assert tab.requests == [study.as_uri()]
    assert tab.console == []


def test_no_other_script_can_run_in_the_page(tab: Tab) -> None:
    ran = """() => {
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
        return window.ran ?? false;
    }"""
    assert tab.page.evaluate(ran) is False
    assert "Content Security Policy" in tab.console[0]


def test_a_column_sorts_by_mouse_and_by_keyboard_and_announces_it(tab: Tab) -> None:
    by_memory = [record for record in FIELD if record.stage is Stage.RACE and record.state is State.COMPLETE]
    head = tab.page.locator(".board th", has_text="Peak memory")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    measured = sorted((r for r in by_memory if r.memory_peak_bytes), key=lambda record: record.memory_peak_bytes)
    assert [each for each in tab.ids() if each in {r.id for r in measured}] == [r.id for r in measured]
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert [each for each in tab.ids() if each in {r.id for r in measured}] == [r.id for r in measured[::-1]]
    assert tab.page.locator("th[aria-sort]").count() == 1
    # Missing values come last in both directions.
    unmeasured = next(record.id for record in FIELD if record.candidate == "e@32")
    race = [each for each in tab.ids() if each in {record.id for record in FIELD if record.stage is Stage.RACE}]
    assert race.index(unmeasured) > max(race.index(record.id) for record in measured)
    tab.page.locator("th", has_text="#").locator("button").click()
    assert tab.ids() == grouped(FIELD, None)[0]


def test_the_first_order_is_that_of_the_board(tab: Tab) -> None:
    assert (tab.ids(), tab.ranks()) == grouped(FIELD, None)


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda weights: "-".join(map(str, weights.values())))
def test_the_sliders_rank_as_the_board_does(tab: Tab, weights: dict[str, float]) -> None:
    tab.weigh({name: int(weight) for name, weight in weights.items()})
    assert (tab.ids(), tab.ranks()) == grouped(FIELD, weights)
    words = ",".join(f"{name}={weight}" for name, weight in weights.items() if weight)
    status = tab.page.inner_text("form [role=status]")
    assert f"--weigh {words}" in status
    # The candidates were compared in the race; the trials before it are recipes for one of them.
    assert f"With these weights {rank(FIELD, Stage.RACE, weights)[0].name} ranks first." in status


def test_the_button_resets_the_weights(tab: Tab) -> None:
    tab.weigh(WEIGHTS[3])
    assert tab.ids() != grouped(FIELD, None)[0]
    tab.page.click("text=Reset")
    # A condition as text would be evaluated in the page, which its Content-Security-Policy forbids.
    tab.page.wait_for_selector("form [role=status]:empty", state="attached")
    assert (tab.ids(), tab.ranks()) == grouped(FIELD, None)
    assert tab.page.input_value("input[name=accuracy]") == "10"


def test_weights_of_zero_leave_the_order_of_the_board(tab: Tab) -> None:
    tab.weigh(dict.fromkeys(WEIGHTS[0], 0))
    assert (tab.ids(), tab.ranks()) == grouped(FIELD, None)


@pytest.mark.parametrize("width", [360, 1100])
def test_no_page_is_wider_than_its_screen(tab: Tab, width: int) -> None:
    tab.page.set_viewport_size({"width": width, "height": 800})
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
