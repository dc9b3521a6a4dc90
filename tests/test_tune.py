"""Tuning from beginning to end, on digits; the test split stays shut."""

import json
import re
import tomllib
from types import SimpleNamespace

import numpy as np
import pytest

import bakeoff
from bakeoff.data.shards import open_dataset, prepare_cached
from bakeoff.errors import ConfigError, NothingTrainedError
from bakeoff.networks.find import find_network
from bakeoff.runs.config import Data, Run, WeightsChoice, read_run
from bakeoff.runs.findings import SearchResult, Verdict
from bakeoff.runs.history import CURVE_SHARE
from bakeoff.runs.record import Stage, State, list_records
from bakeoff.runs.study_file import StudyData
from bakeoff.study import default_factors, default_run, make_ablation, open_state, run_ablation, run_tuning
from bakeoff.study.recipe import write_recipe
from bakeoff.study.search import Search
from bakeoff.study.space import Parameter, Space
from bakeoff.study.state import networks_left
from bakeoff.study.tune import search_for
from factories import fill_profile, make_forecast
from running import run_cli

BASE = Run().revised(
    model={"name": "lenet", "size": 32},
    augment={"policy": "crop"},
    train={"epochs": None, "seconds": 1.0, "evaluations": 4},
)
RATES = Parameter(key="optim.learning_rate", low=1e-4, high=3e-3, log=True)


class _Silent:
    def stage_began(self, *_):
        pass

    run_began = run_moved = run_ended = plan_revised = stage_began


@pytest.fixture
def trapped():
    """Digits with a test split that cannot be read."""
    folder = prepare_cached(Data(source="digits"))
    for shard in folder.glob("*test*"):
        shard.write_bytes(b"opened")
    return folder


def _facts(folder):
    dataset = open_dataset(folder)
    return StudyData(name=dataset.name, counts=dict(dataset.counts), classes=10, fingerprint=dataset.fingerprint)


@pytest.mark.usefixtures("workers_here")
def test_a_search_leaves_a_recipe_a_report_and_an_unopened_test_split(tmp_path, trapped):
    plan = Search(budget_seconds=100.0, base=BASE, space=Space(parameters=(RATES,)).widened_to(BASE))
    study = open_state(tmp_path, plan, data=_facts(trapped), command="bakeoff tune")
    assert networks_left(tmp_path, 1) == {"lenet"}
    # Time for some trials of a few seconds: three more must fit into what is left when one begins.
    study.spend("prepare", 84.0)
    found = run_tuning(study, tmp_path, trapped, _Silent())
    assert networks_left(tmp_path, 1) == set()
    records = list_records(tmp_path)
    assert {record.stage for record in records} == {Stage.TUNE}
    assert found.base in {record.id for record in records}
    assert all(record.test is None for record in records)
    recipe = read_run(tmp_path / "recipe.toml")
    assert recipe.model == BASE.model
    text = (tmp_path / "recipe.toml").read_text()
    assert ("# was 0.001" in text) == bool(found.chosen)
    page = (tmp_path / "report.html").read_text()
    assert re.search("recipes? with equal training time", page)
    again = open_state(tmp_path, plan, data=_facts(trapped), command="bakeoff tune")
    assert run_tuning(again, tmp_path, trapped, _Silent()) == found
    assert list_records(tmp_path) == records


@pytest.mark.usefixtures("workers_here")
def test_a_factor_by_factor_study_tells_what_hurts(tmp_path, trapped):
    factors = Space(
        parameters=(Parameter(key="optim.learning_rate", choices=(1e-6,)), Parameter(key="train.batch", choices=(32,)))
    )
    counts = {"train": 1000, "val": 150}
    plan = make_ablation(
        BASE, factors, budget=115.0, seeds=1, counts=counts, forecast=make_forecast(), settings=["train.seconds=2"]
    )
    assert len(plan.runs) == 3
    study = open_state(tmp_path, plan, data=_facts(trapped), command="bakeoff tune")
    assert networks_left(tmp_path, 1) == {"lenet"}
    effects = run_ablation(study, tmp_path, trapped, _Silent())
    assert networks_left(tmp_path, 1) == set()
    rate, batch = effects.effects
    assert (rate.key, rate.value, rate.difference.verdict) == ("optim.learning_rate", 1e-6, Verdict.HURTS)
    assert batch.key == "train.batch"
    assert rate.arm.top1 < effects.base.top1 - 0.2
    assert json.loads((tmp_path / "study.json").read_text())["effects"]["base"]["top1"] == effects.base.top1
    page = (tmp_path / "report.html").read_text()
    assert "learning rate 1e-06" in page
    assert "hurts" in page


def test_the_plan_of_a_factor_by_factor_study_counts_what_each_level_scores_and_compiles():
    counts, forecast = {"train": 9000, "val": 2000}, make_forecast(100)
    base = default_run(find_network("efficientnet-lite0"), 96, Data(source="cifar100"), WeightsChoice(), 0)
    plan = make_ablation(
        base, default_factors(base), budget=20_000.0, seeds=2, counts=counts, forecast=forecast, head_start=True
    )
    scored = [forecast.scoring_of(run, counts) for run in plan.runs]
    assert max(scored) > 4 * min(scored)  # those that may stop early are scored twelve times on all images
    taken = sum((1 + CURVE_SHARE) * run.train.seconds + forecast.around(run, counts) for run in plan.runs)
    assert 0.9 * plan.budget_seconds < taken < plan.budget_seconds
    later = make_ablation(
        base,
        default_factors(base),
        budget=21_000.0,
        spent=1000.0,
        seeds=2,
        counts=counts,
        forecast=forecast,
        head_start=True,
    )
    assert later.runs == plan.runs


def test_a_factor_by_factor_study_that_was_begun_goes_on_where_runs_have_taken_longer_than_was_assumed():
    factors = Space(parameters=(Parameter(key="train.batch", choices=(32, 128)),))

    def plan(overhead, **options):
        forecast, counts = make_forecast(overhead=overhead), {"train": 1000, "val": 150}
        return make_ablation(BASE, factors, budget=120.0, seeds=1, counts=counts, forecast=forecast, **options)

    planned = plan(10.0)
    with pytest.raises(ConfigError, match="too short for 3 runs"):
        plan(60.0)
    assert plan(60.0, begun=True).asked == planned.asked
    assert plan(10.0, settings=["train.seconds=20"]).asked != planned.asked


@pytest.mark.slow
@pytest.mark.usefixtures("workers_here")
def test_a_factor_by_factor_study_ends_when_its_time_is_up_and_names_what_it_did_not_measure(tmp_path, trapped):
    factors = Space(parameters=(Parameter(key="train.batch", choices=(32, 128)),))
    counts = {"train": 1000, "val": 150}
    plan = make_ablation(
        BASE, factors, budget=115.0, seeds=1, counts=counts, forecast=make_forecast(), settings=["train.seconds=1"]
    )
    study = open_state(tmp_path, plan, data=_facts(trapped), command="bakeoff tune")
    study.spend("prepare", 115.0)
    effects = run_ablation(study, tmp_path, trapped, _Silent())
    assert len(list_records(tmp_path)) == 1
    assert (effects.effects, effects.missing) == ((), ("train.batch=32", "train.batch=128"))
    assert "no time left: train.batch=32, train.batch=128" in (tmp_path / "report.html").read_text()


def test_trials_inside_a_larger_study_begin_with_a_probe_that_leaves_them_time(monkeypatch):
    plans = []
    monkeypatch.setattr(
        "bakeoff.study.tune._search", lambda _, plan: plans.append(plan) or SearchResult(base="", best="")
    )
    base = Run().revised(model={"name": "efficientnet-lite0", "size": 128}, train={"probe_images": 5000})
    data = SimpleNamespace(counts={"train": 9000, "val": 1000}, imbalance=8.0)
    search_for(SimpleNamespace(study=SimpleNamespace(data=data)), base.revised(train={"count_probe": False}), 630)
    (plan,) = plans
    trial = plan.base.train
    assert (trial.seconds, trial.probe_images, trial.count_probe) == (31.5, 500, True)
    # Classes are uneven, so what is done about them is searched, too.
    assert "train.balance" in {parameter.key for parameter in plan.space.parameters}


@pytest.mark.usefixtures("workers_here")
def test_a_base_recipe_that_cannot_be_trained_is_the_end(tmp_path):
    folder = prepare_cached(Data(source="digits"))
    base = BASE.revised(model={"unfreeze": "block99"})
    plan = Search(budget_seconds=100.0, base=base, space=Space(parameters=(RATES,)).widened_to(base))
    study = open_state(tmp_path, plan, data=_facts(folder), command="bakeoff tune")
    for _ in range(2):  # the same command given again ends as the first one did
        with pytest.raises(NothingTrainedError, match=r"could not be trained: .*block99"):
            run_tuning(study, tmp_path, folder, _Silent())
        (record,) = list_records(tmp_path)
        assert record.state is State.FAILED
        assert "block99" in (tmp_path / "report.html").read_text()


@pytest.fixture(scope="module")
def _prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    fill_profile(folder)
    return folder


@pytest.fixture
def tune(_prepared):
    """The verb on digits: exit code and standard error."""

    def call(*arguments):
        done = run_cli("tune", "digits", *arguments, BAKEOFF_CACHE_DIR=str(_prepared))
        return done.returncode, done.stderr

    return call


def test_a_dry_run_shows_the_plan_and_leaves_nothing(tmp_path, tune):
    code, text = tune("--candidate", "cnn-small", "--dry-run", "--out", tmp_path / "out")
    assert code == 0, text
    assert "(if optim.name is sgd)" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("largest", "there"), [(90, True), (20, False)])
def test_what_is_done_about_uneven_classes_is_searched_where_they_are(tmp_path, capsys, largest, there):
    labels = np.repeat([0, 1, 2], [largest, 12, 12])
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 3), np.uint8)
    bakeoff.tune((images, labels), candidate="lenet", dry_run=True, out=tmp_path / "out")
    assert ("train.balance" in capsys.readouterr().err) == there


def test_a_recipe_brings_its_network_its_classes_and_its_seed(tmp_path, tune):
    write_recipe(tmp_path / "mine.toml", BASE.revised(data={"classes": "0,1,7"}).model_copy(update={"seed": 5}), BASE)
    told = "--recipe", tmp_path / "mine.toml", "--dry-run"
    _, text = tune(*told)
    assert "lenet@32" in text
    assert "digits-3" in text
    _, other = tune(*told, "--candidate", "cnn-small", "--classes", "all")
    assert "cnn-small@32" in other
    assert "digits-3" not in other


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "1m"], "too short for a search"),
        (["--strategy", "ablate", "--budget", "1m"], "too short for"),
        (["--seeds", "3"], "--seeds repeats the runs of --strategy ablate"),
        (["--space", "nowhere.toml"], "cannot read the space nowhere.toml"),
        (["--recipe", "nowhere.toml"], "nowhere.toml"),
        (["--factors", "optim.rate,"], "the space has no 'optim.rate'"),
        (["--candidate", "lenet,cnn-small"], "name one network"),
        (["--set", "optim.name=adamant"], "optim.name"),
        (["--set", "model.size=8"], "size"),
        (["--set", "model.name=vgg-16"], "--set model.name=vgg-16: name networks with --candidate"),
        (["--set", "train.epochs=3"], "--set train.epochs=3: all runs train for the same seconds"),
        (["--set", "train.mode=probe"], "--set train.mode=probe: a probe trains nothing but its head"),
        (["--set", "data.source=photos"], "--set data.source=photos says what another argument says as well"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(arguments, message, tune):
    code, text = tune("--candidate", "cnn-small", *arguments)
    assert code == 2
    assert message in text
    assert len(text.strip().splitlines()) == 1


def test_the_recipe_of_a_probe_cannot_be_tuned(tmp_path):
    recipe = tmp_path / "probe.toml"
    recipe.write_text('[train]\nmode = "probe"\n')
    asked = {"candidate": "lenet", "recipe": recipe, "out": tmp_path / "out", "dry_run": True, "progress": False}
    with pytest.raises(ConfigError, match=r"probe\.toml: a probe trains nothing but its head"):
        bakeoff.tune("digits", **asked)
    for settings in (["train.mode=fit"], ["train.mode=fit", "train.seconds=20"]):
        fitted = bakeoff.tune("digits", settings=settings, **asked)
        assert fitted.plan["base"]["train"]["mode"] == "fit"


def test_the_recipe_can_be_trained_as_it_is(tmp_path):
    changed = BASE.revised(optim={"learning_rate": 0.002}, train={"batch": 32})
    path = tmp_path / "my\nstudy" / "recipe.toml"
    path.parent.mkdir()
    write_recipe(path, changed, BASE, " --data-dir here")
    assert read_run(path) == changed
    text = path.read_text()
    assert "--recipe 'my\\nstudy/recipe.toml' --set train.seconds=600 --data-dir here" in text.splitlines()[0]
    assert "learning_rate = 0.002 # was 0.001" in text
    assert "batch = 32 # was 64" in text
    assert text.count("# was") == 2
    assert tomllib.loads(text)["model"]["name"] == "lenet"
