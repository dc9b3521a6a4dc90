"""The package in a notebook: cheap to import, the names of the command line, and results that show themselves."""

import importlib
import inspect
import json
import os
import pydoc
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bakeoff
from bakeoff import errors
from bakeoff.api import runs as api_runs
from bakeoff.api.arguments import (
    describe_call,
    read_candidates,
    read_data,
    read_path,
    read_seconds,
    read_settings,
    read_weights,
)
from bakeoff.api.plain import make_plain
from bakeoff.api.results import Results
from bakeoff.cli import comparing, data, studies, tuning, use, views
from bakeoff.data.checks import read_edits
from bakeoff.deploy.bundle import read_facts
from bakeoff.errors import BakeoffError, ConfigError, DataError, NothingTrainedError, OutputError
from bakeoff.locks import hold, release
from bakeoff.report.board import Row
from bakeoff.runs.config import Data, Run
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import Stage, State, write_record
from bakeoff.runs.study_file import read_study
from factories import make_record, save_bundle
from running import run_cli, work_here

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
    assert list(board.columns) == [name for name, field in Row.model_fields.items() if not field.exclude]
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


def test_the_bundle_of_another_run_is_not_that_of_the_results(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = OTHERS[0]
    save_bundle(out / "bundle", other)
    with pytest.raises(
        OutputError, match=f"of run {other.id}, not that of the winner, run {WINNER.id}; `bakeoff export"
    ):
        _ = bakeoff.load(out).bundle
    assert Results(out, run=other.id).bundle == out / "bundle"
    monkeypatch.setattr(bakeoff, "export", lambda *_, **__: (out / "bundle", read_facts(out / "bundle")))
    assert "not that of the winner" in run_cli("export", run_dir(out, other.id), "--json").stderr
    save_bundle(out / "bundle", WINNER)
    assert bakeoff.load(out).bundle == out / "bundle"
    assert run_cli("export", out, "--json").stderr == ""
    with pytest.raises(OutputError, match="not that of the winner"):
        _ = Results(out, run=other.id).bundle


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
# An option that is a function by itself: `check_network`.
OTHER_FUNCTIONS = {"check"}
# Parameters of Python alone.
CALLING = {"progress", "command"}
VERBS = {
    "run": studies.run,
    "screen": studies.screen,
    "compare": comparing.compare,
    "train": comparing.train,
    "tune": tuning.tune,
    "evaluate": views.evaluate,
    "verify": views.verify,
    "export": use.export,
    "predict": use.predict,
    "check": data.check,
    "info": views.info,
    "models": views.models,
}


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_and_its_function_have_the_same_parameters_and_defaults(name: str) -> None:
    ours, theirs = (inspect.signature(function).parameters for function in (getattr(bakeoff, name), VERBS[name]))
    left_out = PRINTING | OTHER_FUNCTIONS
    options = {RENAMED.get(option, option): value for option, value in theirs.items() if option not in left_out}
    assert set(ours) - CALLING == set(options)
    assert {key: ours[key].default for key in options} == {key: value.default for key, value in options.items()}


@pytest.mark.parametrize("name", [*(name for name in VERBS if name != "info"), "load", "check_network"])
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


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A comparison of one small network on four digits, with what its progress function was called with."""
    folder = tmp_path_factory.mktemp("api")
    events: list[bakeoff.ProgressEvent] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE_DIR", str(folder / "cache"))
        work_here(patch)
        results = bakeoff.compare(
            "digits",
            candidates=["lenet"],
            images=np.int64(256),
            classes=np.int64(4),
            settings={"train.batch": np.int32(32), "optim.name": "adam", "train.evaluations": 1},
            out=folder / "study",
            progress=events.append,
        )
        yield SimpleNamespace(results=results, events=events, folder=folder)


@pytest.fixture
def shared(study: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The study, with the cache that it was made with."""
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(study.folder / "cache"))
    return study


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture
def quiet(shared: SimpleNamespace, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing is printed, and `os.environ` is the same afterwards; with the cache of the shared study."""
    assert shared.folder.is_dir()
    # What libraries set when they are imported is theirs.
    importlib.import_module("tensorflow")
    importlib.import_module("sklearn")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
        patch.setenv("KERAS_BACKEND", "jax")
        before = _environment()
        capfd.readouterr()
        yield
        assert _environment() == before
        assert capfd.readouterr() == ("", "")


def test_arguments_are_pythons_and_numpys(study: SimpleNamespace) -> None:
    (record,) = study.results.records
    assert study.results.best == record
    assert record.candidate == "lenet@32"
    config = record.config
    assert (config.data.classes, config.train.images, config.train.batch) == ("4", 256, 32)
    assert config.optim.name == "adam"
    command = read_study(study.results.out).command
    assert command.startswith("bakeoff.compare('digits', candidates=['lenet'], images=256, settings={'train.batch': ")
    assert "progress" not in command


def test_every_path_may_begin_with_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "wrong.csv").write_text("id\napple/1.png\n")
    data = read_data("~/photos", None, None, "~/wrong.csv", image_folder="~/photos", relabel=Path("~/labels.csv"))
    assert (data.exclude, data.relabel) == (str(tmp_path / "wrong.csv"), str(tmp_path / "labels.csv"))
    assert data.image_folder == str(tmp_path / "photos")
    assert read_path("out", "~/study") == tmp_path / "study"
    assert read_weights("weights", [Path("~/mine.h5")]) == [str(tmp_path / "mine.h5")]
    # A recipe may name it as well.
    assert list(read_edits(Data(exclude="~/wrong.csv")).excluded) == ["apple/1.png"]


def test_names_of_classes_are_taken_as_they_are() -> None:
    names = ["a, b", " c", "new\nline", "20"]
    assert json.loads(read_data("photos", names, None, None).classes) == names
    assert read_data("photos", "a,b", None, None).classes == "a,b"
    assert read_data("photos", 20, None, None).classes == "20"


def test_images_are_those_of_the_argument_the_settings_or_the_recipe_in_this_order() -> None:
    recipe = Run().revised(data={"source": "photos", "group": "folder", "seed": 3})
    assert read_data(None, None, None, None, recipe) == recipe.data
    assert read_data("hands", None, 5, None, recipe).model_dump(exclude_defaults=True) == {
        "source": "hands",
        "group": "folder",
        "seed": 5,
    }
    settings = ["data.source=hands", "data.exclude=found.csv", "train.epochs=3"]
    found = read_data(None, None, None, None, recipe, settings)
    assert (found.source, found.exclude, found.group) == ("hands", "found.csv", "folder")
    with pytest.raises(ConfigError, match=r"--set data\.exclude=found\.csv says what another argument says as well"):
        read_data(None, None, None, "other.csv", recipe, settings)


@pytest.mark.parametrize("verb", [bakeoff.compare, bakeoff.tune, bakeoff.train])
def test_a_recipe_brings_its_images(verb: Callable[..., object], tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(f'[data]\nsource = "{tmp_path}/nowhere"\n[train]\nepochs = 1\n')
    with pytest.raises(DataError, match="nowhere"):
        verb(recipe=tmp_path / "recipe.toml", out=tmp_path / "study", progress=False)
    with pytest.raises(DataError, match="elsewhere"):
        verb(settings={"data.source": f"{tmp_path}/elsewhere"}, out=tmp_path / "study", progress=False)


def test_a_progress_function_gets_events_from_the_preparation_to_the_record(study: SimpleNamespace) -> None:
    events, (record,) = study.events, study.results.records
    assert (events[0].stage, events[0].candidate) == ("prepare", "")
    runs = [event for event in events if event.stage == "compare"]
    assert {event.candidate for event in runs} == {"lenet@32"}
    assert [runs[0].doing, runs[-1].doing] == ["starting", "done"]
    assert "train" in {event.doing for event in runs}
    assert all(event.fraction is None or 0 <= event.fraction <= 1 for event in events)
    assert [event.record for event in events if event.record] == [record]
    assert runs[-1].val_top1 == record.val.top1


@pytest.mark.usefixtures("quiet")
def test_the_same_call_again_resumes_the_study_and_gives_its_folder_up(
    shared: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bakeoff")
    out = shared.results.out
    again = bakeoff.compare(
        candidates="lenet",
        images=256,
        classes=4,
        settings=["train.batch=32", "optim.name=adam", "train.evaluations=1"],
        out=str(out),
        progress=False,
    )
    assert again.records == shared.results.records
    assert "digits-4: 4 classes" in caplog.text
    hold(out)  # the call has given it up
    release(out)


@pytest.mark.usefixtures("quiet")
def test_train_returns_its_run_and_evaluate_opens_its_test_split(tmp_path: Path) -> None:
    write_record(run_dir(tmp_path, WINNER.id), WINNER)
    settings = {"model.name": "lenet", "model.size": 32, "train.images": 64, "train.val_images": 20}

    def train() -> bakeoff.Results:
        return bakeoff.train(classes="0,1", settings=settings, out=tmp_path, progress=False)

    trained = train()
    assert trained.best is not None
    assert trained.best.config.train.images == 64
    assert bakeoff.load(tmp_path).best == WINNER
    assert bakeoff.evaluate(trained.best_dir, progress=False).openings == 1
    # A run that is on record as failed is not tried again.
    write_record(trained.best_dir, trained.best.model_copy(update={"state": State.FAILED, "reason": "no luck"}))
    with pytest.raises(NothingTrainedError, match="lenet@32 failed: no luck") as raised:
        train()
    assert raised.value.out == tmp_path


def test_a_finished_run_is_found_without_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    done, from_scratch = make_record("vgg-16@64", 0.8), make_record("lenet@32", 0.5)
    running = make_record("vgg-19@64", None, state=State.RUNNING)
    for record in (done, from_scratch, running):
        write_record(run_dir(tmp_path, record.id), record)
    find, data = api_runs._find_without_weights, done.data.fingerprint
    assert find(done.config, tmp_path, data) == done
    assert find(done.config, tmp_path, "other data") is None
    assert find(done.config.revised(train={"batch": 8}), tmp_path, data) is None
    assert find(running.config, tmp_path, data) is None
    assert find(from_scratch.config, tmp_path, data) is None  # it needs none, so that the usual way finds it


@pytest.mark.usefixtures("quiet", "workers_here")
def test_train_takes_all_classes_where_they_are_asked_for_and_else_those_of_the_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(
        '{"data": {"classes": "0,1"}, "model": {"name": "lenet", "size": 32}, "train": {"images": 8, "val_images": 8}}'
    )
    found = [
        bakeoff.train(recipe=recipe, classes=classes, out=tmp_path / "study", progress=False).best
        for classes in (None, "all")
    ]
    assert [run and run.config.data.classes for run in found] == ["0,1", "all"]


@pytest.mark.usefixtures("quiet", "workers_here")
def test_export_writes_a_bundle_and_predict_answers_from_it(shared: SimpleNamespace, tmp_path: Path) -> None:
    exported = bakeoff.export(shared.results.best_dir, out=tmp_path / "bundle", progress=False)
    assert exported.folder == tmp_path / "bundle"
    assert exported.facts.timing is not None
    Image.new("L", (8, 8), 200).save(tmp_path / "grey.png")
    answers = bakeoff.predict(exported.folder, [tmp_path / "grey.png", "nowhere.png"], top=2, progress=False)
    assert [len(answer.top) for answer in answers] == [2, 0]
    assert 0 < answers[0].top[1].probability <= answers[0].top[0].probability < 1
    assert "No such file" in (answers[1].error or "")


@pytest.mark.usefixtures("quiet", "workers_here")
def test_verify_finds_a_number_that_was_changed(shared: SimpleNamespace, tmp_path: Path) -> None:
    assert all(check.matches for check in bakeoff.verify(shared.results.out, progress=False))
    copied = Path(shutil.copytree(shared.results.out, tmp_path / "copy"))
    board = copied / "board.csv"
    board.write_text(board.read_text().replace("lenet@32", "lenet@64"))
    (broken,) = [check for check in bakeoff.verify(copied, records_only=True, progress=False) if not check.matches]
    assert (broken.written, broken.computed) == ("lenet@64", "lenet@32")


@pytest.mark.usefixtures("quiet")
def test_check_returns_and_writes_its_findings(tmp_path: Path) -> None:
    found = bakeoff.check("digits", classes=["3", "7"], labels=False, out=tmp_path, progress=False)
    assert found.counts["grey"] == len(found.findings) > 300
    assert found.table.read_text().count("\n") == len(found.findings) + 1
    assert found.pairs is None
    assert "8 pixels are too few" in found.notes[0]


@pytest.mark.usefixtures("shared")
def test_a_dry_run_of_tune_shows_the_plan_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = bakeoff.tune(candidate="lenet", factors=["model.dropout"], dry_run=True, out=tmp_path / "out")
    assert (results.records, results.best, results.search) == ([], None, None)
    assert "model.dropout" in capsys.readouterr().err
    assert [parameter["key"] for parameter in results.plan["space"]["knobs"]] == ["model.dropout"]  # as in study.json
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("shared")
def test_what_a_progress_function_raises_comes_out_of_the_call(tmp_path: Path) -> None:
    def stop(event: bakeoff.ProgressEvent) -> None:
        if event.candidate:
            raise RuntimeError(event.doing)

    with pytest.raises(RuntimeError, match="starting"):
        bakeoff.compare("digits", candidates="lenet", images=64, out=tmp_path / "out", progress=stop)
    hold(tmp_path / "out")
    release(tmp_path / "out")


ROWS = {
    "tuple": ("lenet", "cnn-small@32"),
    "set": {"lenet", "cnn-small@32"},
    "dict": dict.fromkeys(("lenet", "cnn-small@32")).keys(),
    "array": np.array(["lenet", "cnn-small@32"]),
    "column": pd.Series(["lenet", "cnn-small@32"]),
    "generator": (name for name in ("lenet", "cnn-small@32")),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_every_kind_of_row_is_a_list(row: Any) -> None:
    plain = make_plain(row)
    assert sorted(plain) == ["cnn-small@32", "lenet"]
    assert {type(name) for name in plain} == {str}
    assert len(read_candidates("candidates", plain)) == 2


def test_values_of_numpy_are_pythons_and_paths_stay() -> None:
    given = {np.str_("a"): (np.int64(1), np.float32(0.5), np.bool_(True)), "p": Path("x"), "b": b"x"}
    plain = make_plain(given)
    assert plain == {"a": [1, 0.5, True], "p": Path("x"), "b": b"x"}
    assert [type(one) for one in plain["a"]] == [int, float, bool]
    table = pd.DataFrame({"a": [1]})
    assert make_plain(table) is table


def test_durations_weights_and_settings_are_taken_as_a_person_gives_them(tmp_path: Path) -> None:
    assert read_seconds("budget", make_plain(np.float64(90))) == read_seconds("budget", timedelta(minutes=1.5)) == 90
    assert read_weights("weights", None) == []
    assert read_weights("weights", "auto") == ["auto"]
    # A path with `=` in it is no NAME=PATH.
    assert read_weights("weights", [tmp_path / "a=b.h5", "lenet=c.h5"]) == [f"{tmp_path}/a=b.h5", "lenet=c.h5"]
    assert read_weights("weights", [Path("a=b.h5")]) == [str(Path("a=b.h5").absolute())]
    assert read_weights("weights", {"lenet": Path("a.h5"), "b": "auto"}) == ["lenet=a.h5", "b=auto"]
    nested = make_plain({"train": {"epochs": np.int8(3), "sizes": (16, 32)}, "model.name": "lenet", "x": Path("y")})
    assert read_settings(nested) == ["train.epochs=3", "train.sizes=[16, 32]", 'model.name="lenet"', 'x="y"']


def test_the_command_on_record_is_a_call_that_can_be_repeated() -> None:
    def command(**given: Any) -> str:
        parameters = inspect.signature(bakeoff.run).parameters
        arguments = {name: parameter.default for name, parameter in parameters.items()} | given
        return describe_call(bakeoff.run, {name: make_plain(value) for name, value in arguments.items()})

    assert command(candidates=(name for name in ("lenet",)), weights={"lenet": Path("a.h5")}, out=Path("o")) == (
        "bakeoff.run('digits', candidates=['lenet'], weights={'lenet': 'a.h5'}, out='o')"
    )


def test_results_stay_where_they_are_when_the_current_folder_changes(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(out.parent)
    results = bakeoff.load(out.name)
    monkeypatch.chdir("/")
    assert results.best == WINNER
    assert results.best_dir == run_dir(out, WINNER.id)
    assert len(results.records) == 4


def test_weights_of_criteria_that_are_no_dict_are_refused(out: Path) -> None:
    with pytest.raises(ConfigError, match="weigh='accuracy': give weights by criterion"):
        bakeoff.load(out).rank("accuracy")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("run", {"data": None}),
        ("run", {"budget": None}),
        ("run", {"budget": float("nan")}),
        ("run", {"budget": True}),
        ("run", {"seed": "a"}),
        ("run", {"seed": -1}),
        ("run", {"seed": 0.5}),
        ("run", {"candidates": 3}),
        ("run", {"candidates": []}),
        ("run", {"classes": ["one"]}),
        ("run", {"classes": 2.5}),
        ("run", {"weights": [1]}),
        ("run", {"weights": 0}),
        ("run", {"weights": {"lenet": 3}}),
        ("run", {"weights": {3: "x.h5"}}),
        ("run", {"weights": b"x.h5"}),
        ("run", {"candidates": {"lenet": 1}}),
        ("run", {"candidates": np.array([1, 2])}),
        ("run", {"classes": {0.5, 1.5}}),
        ("run", {"partial": "no"}),
        ("run", {"tune": "yes"}),
        ("run", {"workers": "2"}),
        ("run", {"cluster": 8265}),
        ("run", {"budget": timedelta(seconds=-1)}),
        ("run", {"out": 3}),
        ("run", {"workers": 0}),
        ("run", {"progress": "no"}),
        ("compare", {"images": 0}),
        ("compare", {"settings": {"train.epochs": 2j}}),
        ("compare", {"settings": {"train": {"epochs": {1, 2j}}}}),
        ("compare", {"deterministic": 1}),
        ("tune", {"strategy": "grid"}),
        ("tune", {"strategy": ["tpe"]}),
        ("tune", {"dry_run": "no"}),
        ("tune", {"seeds": 21, "strategy": "ablate"}),
        ("train", {"weights": 1}),
        ("train", {"partial": 1}),
        ("train", {"weights": ["a.h5", "b.h5"]}),
        ("train", {"weights": {"mobilenet-v2": "a.h5"}}),
        ("evaluate", {"run": None}),
        ("export", {"run": ".", "format": "torch"}),
        ("export", {"run": ".", "format": "onnx", "quantize": "int4"}),
        ("predict", {"bundle": "b", "images": 7, "top": 0}),
        ("predict", {"bundle": None, "images": "x"}),
        ("check", {"exclude": 1}),
        ("check", {"near": "no"}),
        ("check", {"labels": "no"}),
        ("check", {"relabel": 1}),
        ("verify", {"out": 0}),
        ("verify", {"out": ".", "records_only": "no"}),
        ("load", {"out": 0}),
    ],
    ids=str,
)
def test_an_argument_of_a_wrong_type_is_one_line_that_names_it(verb: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as raised:
        getattr(bakeoff, verb)(**arguments)
    assert "\n" not in str(raised.value)
    assert any(re.search(rf"\b{name}\b.*: give ", str(raised.value)) for name in arguments)
