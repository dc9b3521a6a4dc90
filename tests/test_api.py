"""The package in a notebook: cheap to import, the names of the command line, and results that show themselves."""

import inspect
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import bakeoff
from bakeoff import errors
from bakeoff.cli import data, studies, tuning, use, views
from bakeoff.errors import BakeoffError, ConfigError, OutputError
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


# What each verb's options are as parameters, where the names differ.
RENAMED = {"form": "format", "run_dir": "run"}
# Options that say how a result is printed.
PRINTING = {"as_json", "as_csv", "weigh"}
# Parameters of Python alone.
CALLING = {"progress", "command"}
VERBS = {
    "run": studies.run,
    "screen": studies.screen,
    "compare": studies.compare,
    "train": studies.train,
    "tune": tuning.tune,
    "evaluate": views.evaluate,
    "verify": views.verify,
    "export": use.export,
    "predict": use.predict,
    "check": data.check,
}


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_and_its_function_have_the_same_parameters_and_defaults(name: str) -> None:
    ours, theirs = (inspect.signature(function).parameters for function in (getattr(bakeoff, name), VERBS[name]))
    options = {RENAMED.get(option, option): value for option, value in theirs.items() if option not in PRINTING}
    assert set(ours) - CALLING == set(options)
    assert {key: ours[key].default for key in options} == {key: value.default for key, value in options.items()}


@pytest.mark.parametrize("name", [*VERBS, "load"])
def test_help_describes_every_parameter_what_is_returned_and_what_is_raised(name: str) -> None:
    function = getattr(bakeoff, name)
    text = inspect.getdoc(function) or ""
    assert all(re.search(rf"^{head}:$", text, re.MULTILINE) for head in ("Args", "Returns", "Raises"))
    arguments = text.partition("Args:")[2].partition("Returns:")[0]
    assert re.findall(r"^    (\w+): ", arguments, re.MULTILINE) == list(inspect.signature(function).parameters)
    raised = re.findall(r"^    (\w+): ", text.partition("Raises:")[2], re.MULTILINE)
    assert raised
    assert all(issubclass(getattr(errors, error), BakeoffError) for error in raised)
    assert name in pydoc.render_doc(function)


def test_run_refuses_bad_input_as_an_exception(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="10 parsecs"):
        bakeoff.run("digits", budget="10 parsecs", out=tmp_path / "out")
    with pytest.raises(ConfigError, match="resnet-5"):
        bakeoff.run("digits", candidates=["lenet", "resnet-5"], out=tmp_path / "out")
    assert not list(tmp_path.iterdir())
