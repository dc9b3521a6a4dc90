"""The package in a notebook: cheap to import, the names of the command line, and results that show themselves."""

import inspect
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import bakeoff
from bakeoff.cli import studies
from bakeoff.errors import ConfigError, OutputError
from bakeoff.report.board import Row
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import Stage, State, write_record
from factories import make_record

WINNER = make_record("a@96", 0.8, stage=Stage.CONFIRM, test_top1=0.77)
OTHERS = [make_record("a@96", 0.7), make_record("b@64", 0.69, seconds=20)]
FAILED = make_record("f@64", None, state=State.FAILED, reason="out of <memory>")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for record in (WINNER, *OTHERS, FAILED):
        write_record(run_dir(tmp_path, record.id), record)
    return tmp_path


def test_importing_it_loads_next_to_nothing() -> None:
    code = (
        "import sys, bakeoff; print(sorted({'tensorflow', 'keras', 'pandas', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_names_that_are_not_there_are_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trains'"):
        bakeoff.trains  # noqa: B018


def test_the_best_is_the_winner_and_its_record_has_everything(out: Path) -> None:
    results = bakeoff.load(out)
    assert results.best == WINNER
    assert results.best is not None
    assert results.best.test is not None
    assert results.best.test.top1 == 0.77
    assert {record.id for record in results.records} == {record.id for record in (WINNER, *OTHERS, FAILED)}


def test_the_board_is_a_table_with_the_fields_of_its_json(out: Path) -> None:
    board = bakeoff.load(str(out)).board
    assert isinstance(board, pd.DataFrame)
    assert list(board.columns) == list(Row.model_fields)
    assert board.iloc[0]["id"] == WINNER.id
    assert board["memory_peak_bytes"].max() == 640_000_000
    assert pd.isna(board.iloc[-1]["val_top1"])


def test_it_shows_itself_with_the_answer_and_every_run(out: Path) -> None:
    html = bakeoff.load(out)._repr_html_()
    assert "<strong>a@96</strong>: 77.0 % top-1 on test (95 % interval 74.3 to 79.5 %). a@96 won with" in html
    assert html.count("<tr>") == 5
    assert "FAILED out of &lt;memory&gt;" in html


def test_a_study_that_has_only_begun_shows_that(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    results = bakeoff.load(tmp_path)
    assert results.best is None
    assert results.board.empty
    assert "No run has completed" in results._repr_html_()
    with pytest.raises(OutputError, match="no bundle"):
        _ = results.bundle


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no runs"):
        bakeoff.load(tmp_path)


def test_without_pandas_the_error_names_the_extra(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"pip install 'bakeoff\[notebook\]'"):
        _ = bakeoff.load(out).board


def test_run_takes_what_the_command_takes_under_the_same_names() -> None:
    ours, theirs = (inspect.signature(function).parameters for function in (bakeoff.run, studies.run))
    assert set(ours) == set(theirs) - {"as_json"}
    for name in ("data", "budget", "classes", "seed", "tune"):
        assert ours[name].default == theirs[name].default


def test_run_refuses_bad_input_as_an_exception(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="10 parsecs"):
        bakeoff.run("digits", budget="10 parsecs", out=tmp_path / "out")
    with pytest.raises(ConfigError, match="resnet-5"):
        bakeoff.run("digits", candidates=["lenet", "resnet-5"], out=tmp_path / "out")
    assert not list(tmp_path.iterdir())
