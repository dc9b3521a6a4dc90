"""What the verbs print on terminals of 80 and 120 columns: all of it fits, nothing is cut off, and room is used."""

import contextlib
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from bakeoff.cli.output import print_text
from bakeoff.console.bars import draw_bars
from bakeoff.console.data import print_note
from bakeoff.console.live import draw_study
from bakeoff.console.results import (
    render_contract,
    render_effects,
    render_end,
    render_fields,
    render_models,
    render_search_result,
    render_weights,
)
from bakeoff.deploy.contract import ContractCheck
from bakeoff.networks.table import TABLE
from bakeoff.networks.weights import ExportedWeights
from bakeoff.profile import Device, Profile, list_networks
from bakeoff.report.board import Column, FittingTable, explain_change, list_reasons, rank, render_table
from bakeoff.runs.config import Mode
from bakeoff.runs.findings import Arm, Difference, Effect, Effects, SearchResult
from bakeoff.runs.record import RunRecord, Stage, State, WeightsFacts
from bakeoff.runs.study_file import StudyFile
from factories import make_observation, make_record

REASON = "it needs 2,310 MB and at most 12 % more, and 1,900 MB are free; choose a smaller input or a smaller batch"
RUNS = [
    make_record("mobilenet-v2@96", 0.842, 5000, 412.0, test_top1=0.83, stage=Stage.CONFIRM),
    make_record("inception-resnet-v2@299", 0.812, 5000, 60.0, memory_peak_bytes=12_910_000_000),
    make_record("efficientnet-lite0@128", 0.805, 5000, 61.0, weights=WeightsFacts(origin="random", hash="none")),
    make_record("convnext-xlarge@224", 0.92, 2000, 9.0, stage=Stage.SCREEN, mode=Mode.PROBE, params_total=348_200_000),
    make_record("efficientnet-v2-b0@128", None, state=State.FAILED, stage=Stage.SCREEN, reason=REASON),
]
WINNER = RUNS[0]
WEIGHTS = [
    ExportedWeights(network=name, file="a", sha256="0123456789abcdef" * 4, bytes=14e6, origin=origin, licence=licence)
    for name, origin, licence in (
        ("efficientnet-lite0", "package", "Apache-2.0"),
        ("my_networks:A_RATHER_LONG_NAME", "file", "CC-BY-NC-SA-4.0 and others"),
    )
]
CHECKS = [
    ContractCheck(name="learns", passed=True, detail="the loss of one batch went from 4.6052 to 0.0012 in 30 steps"),
    ContractCheck(name="SavedModel export", passed=False, detail="812 MB measured, 640 MB predicted: " + REASON),
]


def arm(score: float) -> Arm:
    interval = (score - 0.01, score + 0.01)
    return Arm(
        ids=("a", "b"),
        top1=score,
        top1_ci95=interval,
        seconds=62,
        images_per_second=512,
        memory_peak_bytes=12_910_000_000,
    )


GAIN = Difference(points=0.02, low=0.008, high=0.032, images=5000, seeds=2)
EFFECTS = Effects(
    base=arm(0.8),
    effects=(
        Effect(key="optim.learning_rate", value=0.003, arm=arm(0.82), difference=GAIN),
        Effect(key="augment.policy", value="flip-crop-cutout-mixup", arm=arm(0.82), difference=GAIN),
    ),
    missing=("model.size=160", "model.size=224"),
)
FOUND = SearchResult(
    base="a",
    best="b",
    changes={"optim.learning_rate": 0.00123, "train.batch": 32},
    before=arm(0.8),
    after=arm(0.82),
    difference=GAIN,
    kept=True,
    trials={"COMPLETE": 12, "PRUNED": 30},
    importances={"optim.learning_rate": 0.5, "augment.policy": 0.2},
)


def list_all(*observations: object) -> RenderableType:
    profile = Profile(device=Device(cpu="a processor", cores=2), observations=observations)
    return render_models(list_networks(profile))


TABLES: dict[str, tuple[Callable[[], RenderableType], Sequence[str]]] = {
    "board": (lambda: render_table(rank(RUNS)), [run.candidate for run in RUNS]),
    "models": (list_all, [row.name for row in TABLE]),
    "models and paces": (
        lambda: list_all(make_observation("inception-resnet-v2", 299, Mode.FIT, 1234.0)),
        [*(row.name for row in TABLE), "1234 @299"],
    ),
    "fields": (render_fields, ["study", "fast", "best", "all"]),
    "weights": (lambda: render_weights(WEIGHTS), ["my_networks:A_RATHER_LONG_NAME", "CC-BY-NC-SA-4.0"]),
    "contract": (lambda: render_contract(CHECKS), ["learns", "SavedModel export", "passed", "failed"]),
    "effects": (lambda: render_effects(EFFECTS), ["flip-crop-cutout-mixup", "+2.0 (+0.8 to +3.2)", "helps"]),
    "search": (
        lambda: render_search_result(FOUND, Path("out/recipe.toml"), Path("d")),
        ["--set train.seconds=600", "--data-dir d"],
    ),
}


def show(shown: RenderableType, columns: int) -> list[str]:
    console = Console(file=io.StringIO(), width=columns, highlight=False)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("name", TABLES)
def test_a_table_fits_and_nothing_in_it_is_cut_off(name: str, columns: int) -> None:
    make, words = TABLES[name]
    lines = show(make(), columns)
    assert max(map(len, lines)) <= columns
    assert "…" not in "\n".join(lines)
    assert [word for word in words if not any(word in line for line in lines)] == []


def test_why_a_candidate_won_is_said_in_short_paragraphs() -> None:
    rows = rank(RUNS)
    assert list_reasons(rows)[0].startswith("mobilenet-v2@96 won")
    for paragraph in (*list_reasons(rows), explain_change(rows)):
        assert 1 <= len(show(paragraph, 80)) <= 3


@pytest.mark.parametrize("name", ["board", "models", "models and paces", "weights", "effects"])
def test_a_column_that_has_no_room_is_named_and_has_room_on_a_wide_terminal(name: str) -> None:
    make, _ = TABLES[name]
    assert not any(line.startswith("no room for") for line in show(make(), 120))
    assert any(line.startswith("no room for") for line in show(make(), 60))


def test_columns_go_in_the_order_of_their_importance() -> None:
    columns = [Column("name", left=True, wraps=True), Column("a" * 10, goes=1), Column("b" * 10, goes=2), Column("c")]
    table = FittingTable(columns, [(["x", "1", "2", "3"], ""), (["a stage"], "bold")], ["a note"], "the file has them")
    assert show(table, 40)[0].split() == ["name", "a" * 10, "b" * 10, "c"]
    narrow = show(table, 24)
    assert narrow[0].split() == ["name", "a" * 10, "c"]
    assert narrow[-3:] == ["a note", "no room for bbbbbbbbbb;", "the file has them"]
    assert show(table, 12)[0].split() == ["name", "c"]


@pytest.mark.parametrize("columns", [80, 120])
def test_a_study_under_way_fits_a_terminal(columns: int) -> None:
    console = Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None)
    with draw_study(console) as study:
        study.stage_began("race", 1, 312)
        study.noted(REASON)
        for run in RUNS:
            study.run_ended(run, {"optim.learning_rate": 0.001, "augment.policy": "flip-crop-cutout-mixup"})
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    lines = [line for line in text.splitlines() if "\x1b" not in line]
    assert max(map(len, lines)) <= columns
    assert "…" not in text
    assert REASON in " ".join(text.split())
    assert "race 1 run" in text
    assert ("(83.2 to 85.2 %)" in text) is (columns == 120)


def test_a_file_gets_a_line_for_each_run_whatever_its_length() -> None:
    console = Console(file=io.StringIO(), width=80)
    with draw_study(console) as study:
        study.noted(REASON)
        for run in RUNS:
            study.run_ended(run, {})
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == f"note: {REASON}"
    assert len(lines) == 1 + len(RUNS)
    assert lines[-1].split() == [RUNS[-1].candidate, "FAILED", *REASON.split()]


def test_a_bar_leaves_room_for_its_words() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    doing = "comparing validation and test with training images"
    with draw_bars(console) as move:
        move(doing, 1, 2)
    assert isinstance(console.file, io.StringIO)
    assert doing in console.file.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "lines"), [(Terminal, 2), (io.StringIO, 1)], ids=["terminal", "file"])
def test_a_sentence_is_broken_between_words_on_a_terminal_alone(
    stream: type[io.StringIO], lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    written = stream()
    monkeypatch.setattr(sys, "stdout", written)
    print_text(f"  {REASON}")
    text = written.getvalue()
    assert text.startswith("  it needs")
    assert len(text.splitlines()) == lines
    assert text.split() == REASON.split()


def read_end(run: RunRecord) -> list[str]:
    study = StudyFile.model_construct(seconds={"screen": 200.0, "confirm": 376.0}, budget_seconds=600.0)
    return show(render_end(Path("bakeoff-cifar100"), run, study), 80)


def test_a_study_ends_with_the_answer_in_one_line_and_then_where_things_are() -> None:
    assert read_end(WINNER) == [
        "Answer: mobilenet-v2@96, test top-1 83.0 % (81.9 to 84.0 %)",
        "  model    bakeoff-cifar100/bundle",
        "  try      bakeoff predict bakeoff-cifar100/bundle IMAGE",
        "  report   bakeoff-cifar100/report.html",
        "  spent    9.6 min of 10.0 min; the test split was opened once",
    ]
    again = WINNER.model_copy(update={"refit_of": "a" * 12})
    assert read_end(again)[2] == "  trained  once more, on training and validation images together"


@pytest.mark.parametrize(
    ("where", "one_line"),
    [({}, True), ({"force_jupyter": True}, False), ({"force_terminal": True}, False)],
    ids=["file", "notebook", "terminal"],
)
def test_a_note_is_one_line_in_a_file_alone(where: dict[str, bool], one_line: bool) -> None:
    shown = Console(width=80, record=True, file=io.StringIO(), **where)
    with shown.capture() if where.get("force_jupyter") else contextlib.nullcontext():
        print_note(shown, "images were left out " * 10)
    assert (len(shown.export_text().strip().splitlines()) == 1) is one_line
