"""A comparison is fair by construction: all its runs differ in the network and in what belongs to it."""

import io
import re
from unittest import mock

import pytest
from rich.console import Console

from bakeoff.console.plans import render_plan
from bakeoff.errors import ConfigError, OutputError, WeightsError
from bakeoff.runs.config import Candidate, Data, FolderLayout, Run, WeightsChoice, parse_candidate, parse_weights
from bakeoff.runs.folder import run_dir
from bakeoff.runs.history import CURVE_SHARE
from bakeoff.runs.record import State, write_record
from bakeoff.runs.study_file import StudyData
from bakeoff.study import assign_weights, find_missing, make_comparison, open_state
from bakeoff.study.entry import enter
from bakeoff.study.request import StudyRequest
from bakeoff.study.unnamed import find_availability, unnamed_for_comparison
from factories import make_forecast, make_record

COUNTS = {"train": 45_000, "val": 5_000, "test": 10_000}
LITE = Candidate(name="efficientnet-lite0", size=96)
LENET = Candidate(name="lenet", size=32)
VGG = Candidate(name="vgg-16", size=64)


def _compare(*candidates, **options):
    fields = {"data": Data(source="cifar100"), "counts": COUNTS, "weights": WeightsChoice(), "seed": 3} | {
        "forecast": make_forecast()
    }
    return make_comparison(candidates, **(fields | options))


def test_a_budget_gives_every_candidate_the_same_training_seconds_and_images_to_be_scored_on():
    plan = _compare(LITE, LENET, VGG, budget=600)
    lengths = {(run.train.seconds, run.train.val_images, run.train.evaluations) for run in plan.runs}
    assert len(lengths) == 1
    seconds, val_images, _ = lengths.pop()
    assert 3 * seconds < 600
    assert val_images <= COUNTS["val"]
    assert all(run.train.count_probe for run in plan.runs)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("val", [150, 1000, 5000])
@pytest.mark.parametrize(("budget", "rate"), [(600, 20), (3600, 9), (3600, 20), (3600, 300), (20_000, 300)])
def test_all_that_the_runs_of_a_plan_take_fits_into_its_budget_and_uses_it(budget, rate, val, slots):
    counts, forecast = COUNTS | {"val": val}, make_forecast(rate)
    plan = _compare(LITE, LENET, VGG, budget=budget, counts=counts, forecast=forecast, slots=slots)
    each = [(1 + CURVE_SHARE) * run.train.seconds + forecast.around(run, counts) for run in plan.runs]
    taken = sum(each) if slots == 1 else max(each)
    assert 0.85 * budget < taken < budget


@pytest.mark.parametrize("setting", ["train.flip_test=true", "train.patience=3", "train.evaluations=8"])
@pytest.mark.parametrize("recipe", [None, Run()])
def test_a_budget_counts_what_a_recipe_and_settings_have_a_run_score(setting, recipe):
    forecast = make_forecast(20)
    plan = _compare(LITE, LENET, budget=3600, forecast=forecast, recipe=recipe, settings=[setting])
    taken = sum((1 + CURVE_SHARE) * run.train.seconds + forecast.around(run, COUNTS) for run in plan.runs)
    assert taken == pytest.approx(0.95 * 3600, abs=1)


def test_a_slow_network_is_scored_less_often_on_the_way():
    slow, fast = (_compare(LITE, VGG, budget=3600, forecast=make_forecast(rate)).runs[0].train for rate in (20, 2000))
    assert (slow.evaluations, fast.evaluations) == (1, 8)


def test_images_give_every_candidate_the_same_images_and_the_whole_validation_split():
    plan = _compare(LITE, LENET, images=50_000)
    assert {run.train.images for run in plan.runs} == {50_000}
    assert {run.train.seconds for run in plan.runs} == {None}
    assert {run.train.val_images for run in plan.runs} == {None}
    assert plan.budget_seconds is None


def test_the_error_for_a_short_budget_names_one_that_is_enough():
    with pytest.raises(ConfigError, match=r"too short for 3 candidates; give at least (\d+)s") as caught:
        _compare(LITE, LENET, VGG, budget=60)
    least = float(str(caught.value).split("at least ")[1].split("s,")[0])
    assert _compare(LITE, LENET, VGG, budget=least + 1).runs
    # What preparing the data has used of it is not there for the runs.
    with pytest.raises(ConfigError, match=f"give at least {least + 300:.0f}s"):
        _compare(LITE, LENET, VGG, budget=least, spent=300)
    seconds = [
        _compare(LITE, LENET, VGG, budget=budget, spent=spent).runs[0].train.seconds
        for budget, spent in ((900, 0), (1200, 300), (1200, 0))
    ]
    assert seconds[0] == seconds[1] < seconds[2]
    with pytest.raises(ConfigError, match="needs a length"):
        _compare(LITE)


@pytest.mark.parametrize(("rate", "val"), [(9, 5000), (20, 5000), (20, 100), (300, 100)])
def test_the_budget_that_is_named_is_enough_for_slow_networks_and_few_images_too(rate, val):
    options = {"forecast": make_forecast(rate), "counts": COUNTS | {"val": val}}
    with pytest.raises(ConfigError, match=r"give at least (\d+)s") as caught:
        _compare(LITE, LENET, VGG, budget=20, **options)
    least = int(re.search(r"at least (\d+)s", str(caught.value))[1])
    assert _compare(LITE, LENET, VGG, budget=least, **options).runs
    with pytest.raises(ConfigError):
        _compare(LITE, LENET, VGG, budget=least - 2, **options)


def test_a_recipe_sets_everything_but_the_network_and_settings_override_it():
    recipe = Run().revised(optim={"name": "adam", "learning_rate": 5e-5}, train={"epochs": 7, "batch": 128})
    plan = _compare(LITE, VGG, recipe=recipe, settings=["train.batch=16"])
    assert [run.candidate for run in plan.runs] == ["efficientnet-lite0@96", "vgg-16@64"]
    for run in plan.runs:
        assert (run.optim.learning_rate, run.train.epochs, run.train.batch) == (5e-5, 7, 16)
        assert run.train.probe_images == 0
        assert (run.data.source, run.seed) == ("cifar100", 3)
    assert {run.train.images for run in _compare(LITE, VGG, recipe=recipe, images=256).runs} == {256}


def test_only_pretrained_networks_start_from_a_probe():
    plan = _compare(LITE, LENET, VGG, budget=600, weights=WeightsChoice(named={"vgg-16": "none"}))
    assert [run.train.probe_images > 0 for run in plan.runs] == [True, False, False]
    assert plan.runs[2].model.weights == "none"


def test_probes_can_be_compared_but_have_no_length():
    recipe = Run().revised(train={"mode": "probe", "epochs": None, "subset": 500})
    assert _compare(LITE, VGG, recipe=recipe).runs[0].train.subset == 500
    with pytest.raises(ConfigError, match="has no length"):
        _compare(LITE, recipe=recipe, budget=600)


@pytest.mark.parametrize("length", [{"images": 600}, {"budget": 600}, {"settings": ["train.epochs=2"]}])
@pytest.mark.parametrize("folds", [0, 5])
def test_a_setting_makes_training_runs_of_a_recipe_of_a_probe(length, folds):
    recipe = Run().revised(train={"mode": "probe", "epochs": None, "subset": 500, "folds": folds})
    settings = ["train.mode=fit", *(["train.folds=0"] if folds else []), *length.get("settings", [])]
    (run,) = _compare(LITE, recipe=recipe, **(length | {"settings": settings})).runs
    assert (run.train.mode, run.train.subset, run.train.folds) == ("fit", 500, 0)
    assert [run.train.images, run.train.seconds, run.train.epochs].count(None) == 2
    with pytest.raises(ConfigError, match="needs a length"):
        _compare(LITE, recipe=recipe, settings=["train.mode=fit"])


def test_a_recipe_that_cannot_have_the_length_is_refused():
    recipe = Run().revised(train={"deterministic": True})
    assert _compare(LITE, recipe=recipe, images=600).runs[0].train.deterministic
    with pytest.raises(ConfigError, match="the recipe: train: a deterministic run cannot end by the clock"):
        _compare(LITE, recipe=recipe, budget=600)


@pytest.mark.parametrize(("images", "probed"), [(100, 25), (4_000, 1_000), (50_000, 3_000)])
def test_the_probe_is_a_part_of_the_images_and_never_most_of_them(images, probed):
    assert _compare(LITE, images=images).runs[0].train.probe_images == probed


@pytest.mark.parametrize(("length", "probed"), [("train.epochs=2", 3_000), ("train.images=4000", 1_000)])
def test_a_setting_can_give_the_length(length, probed):
    run = _compare(LITE, settings=[length]).runs[0]
    assert [run.train.epochs, run.train.images, run.train.seconds].count(None) == 2
    assert (run.train.epochs or run.train.images) == float(length.split("=")[1])
    assert run.train.probe_images == probed
    with pytest.raises(ConfigError, match=f"--set {re.escape(length)} says how long runs are, and --budget as well"):
        _compare(LITE, settings=[length], budget=600)
    with pytest.raises(ConfigError, match=f"--set {re.escape(length)} says how long runs are, and --images as well"):
        _compare(LITE, settings=[length], images=600)


def test_a_setting_can_make_all_runs_probes():
    run = _compare(LITE, settings=["train.mode=probe"]).runs[0]
    assert (run.train.mode, run.train.probe_images) == ("probe", 0)
    with pytest.raises(ConfigError, match="each run is a probe, which has no length: leave out --budget"):
        _compare(LITE, settings=["train.mode=probe"], budget=600)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["train.mode=probe"], "a linear classifier on frozen features for each"),
        (["train.seconds=90"], "90 s of training for each"),
        (["train.images=4000"], "4,000 images of training for each"),
        (["train.epochs=1.5"], "1.5 epochs of training for each"),
    ],
)
def test_the_plan_says_what_each_run_gets(settings, says):
    console = Console(width=200, file=io.StringIO())
    console.print(render_plan(_compare(LITE, settings=settings)))
    assert says in console.file.getvalue()


def test_without_records_all_runs_are_pending():
    plan = _compare(LITE, LENET, budget=600)
    assert plan.pending([]) == plan.runs


def test_a_weight_file_goes_to_the_one_network_it_can_be_for(tmp_path):
    path = str(tmp_path / "mine.h5")
    assert assign_weights([LITE, LENET], parse_weights([path])) == WeightsChoice(named={"efficientnet-lite0": path})
    with pytest.raises(ConfigError, match="say which network it is for"):
        assign_weights([LITE, VGG], parse_weights([path]))
    with pytest.raises(ConfigError, match="names vgg-16, which is no candidate"):
        assign_weights([LITE], parse_weights([f"vgg-16={path}"]))


def test_weights_are_named_by_network_or_for_all():
    choice = parse_weights(["none", "mobilenet-v2=a.h5", "vgg-16=auto"], partial=True)
    assert choice.of("xception") == "none"
    assert choice.of("vgg-16") == "auto"
    assert choice.of("mobilenet-v2").endswith("/a.h5")
    assert choice.partial
    with pytest.raises(ConfigError, match="is empty"):
        parse_weights([" "])


def test_what_keras_would_have_to_download_is_missing_and_a_missing_file_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert [spec.name for spec in find_missing([LITE, LENET, VGG], WeightsChoice())] == ["vgg-16"]
    assert find_missing([VGG], WeightsChoice(default="none")) == []
    with pytest.raises(WeightsError, match=r"no weight file .*nowhere\.h5"):
        find_missing([VGG], parse_weights([f"vgg-16={tmp_path}/nowhere.h5"]))


def test_a_network_with_a_file_is_a_candidate_without_being_asked_for(digits):
    for given, others in (([], {"efficientnet-lite0", "lenet"}), (["none"], {"lenet"})):
        weights = parse_weights([*given, "mobilenet-v2=a.h5"])
        available = find_availability(weights)
        field = unnamed_for_comparison(None, digits, weights, make_forecast(), available)
        names = {parse_candidate(entrant.candidate).name for entrant in field.entrants}
        assert {"mobilenet-v2", *others} <= names
        assert "vgg-16" not in names
        assert ("efficientnet-lite0" in names) == (not given)


def test_the_same_comparison_is_resumed_when_the_pace_was_measured_since(tmp_path):
    data = StudyData(name="cifar100", fingerprint="d")
    slow, fast = (_compare(LITE, LENET, budget=600, forecast=make_forecast(rate)) for rate in (50.0, 5000.0))
    assert slow != fast
    open_state(tmp_path, slow, data=data, command="")
    assert open_state(tmp_path, fast, data=data, command="").plan == slow
    older = slow.model_copy(update={"settings": None})
    open_state(tmp_path / "older", older, data=data, command="")
    assert open_state(tmp_path / "older", fast, data=data, command="").plan == older
    said = _compare(LITE, LENET, budget=600, data=Data(source="cifar100", layout=FolderLayout.CLASSES))
    assert open_state(tmp_path, said, data=data, command="").plan == slow
    with pytest.raises(OutputError, match="candidates or their settings"):
        open_state(tmp_path, _compare(LITE, VGG, budget=600), data=data, command="")
    for settings in (["train.val_images=500"], ["train.evaluations=2"]):
        with pytest.raises(OutputError, match="candidates or their settings"):
            open_state(tmp_path, _compare(LITE, LENET, budget=600, settings=settings), data=data, command="")
    with pytest.raises(OutputError, match="budget_seconds is 600"):
        open_state(tmp_path, _compare(LITE, LENET, budget=700), data=data, command="")


def test_without_a_budget_it_does_not_matter_where_the_length_was_given():
    given, set_ = _compare(LITE, LENET, images=4000), _compare(LITE, LENET, settings=["train.images=4000"])
    assert given.asked == set_.asked


@pytest.mark.parametrize("weights", ["auto", "gone.h5"])
def test_a_comparison_that_is_finished_needs_no_weights(digits, tmp_path, monkeypatch, weights):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("BAKEOFF_OFFLINE", "1")
    choice = WeightsChoice(named={"vgg-16": str(tmp_path / weights) if weights != "auto" else weights})
    plan = _compare(VGG, LENET, images=64, weights=choice)
    open_state(tmp_path, plan, data=StudyData(name="digits", fingerprint="d" * 64), command="")
    request = StudyRequest(Data(), candidates=(VGG, LENET), out=tmp_path)

    def again():
        return enter(request, digits, choice, make_forecast(), mock.Mock(), started=0.0, slots=1).candidates

    states = {"vgg-16": State.RUNNING, "lenet": State.COMPLETE}
    for run in plan.runs:
        record = make_record(config=run, state=states[run.model.name])
        write_record(run_dir(tmp_path, record.id), record)
    with pytest.raises(WeightsError, match=r"the weights of vgg-16|no weight file .*gone\.h5"):
        again()
    for run in plan.runs:
        record = make_record(config=run)
        write_record(run_dir(tmp_path, record.id), record)
    assert again() == (VGG, LENET)


def test_a_comparison_that_was_begun_goes_on_where_runs_have_taken_longer_than_was_assumed():
    slow, options = make_forecast(300, overhead=90), {"budget": 150, "spent": 20}
    planned = _compare(LITE, LENET, forecast=make_forecast(300), **options)
    with pytest.raises(ConfigError, match="too short for 2 candidates"):
        _compare(LITE, LENET, forecast=slow, **options)
    assert _compare(LITE, LENET, forecast=slow, begun=True, **options).asked == planned.asked
