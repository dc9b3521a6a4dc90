"""What earlier searches found: it is tried first on similar data, and no more than that."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import bakeoff
from bakeoff.data.look import Look, measure_look
from bakeoff.errors import OutputError
from bakeoff.files import cache_dir
from bakeoff.runs.config import Run
from bakeoff.runs.findings import Difference, SearchResult
from bakeoff.runs.study_file import StudyData
from bakeoff.study import default_space, make_search, open_state, past
from bakeoff.study.past import DataTraits, Memory, choose_first, recall, remember
from bakeoff.study.search import MIN_SEARCH_SECONDS
from bakeoff.study.space import Parameter, Space
from bakeoff.study.trials import open_trials, suggest_value
from bakeoff.study.tune import run_tuning
from running import run_cli

BASE = Run().revised(model={"name": "lenet", "size": 32}, train={"epochs": None, "seconds": 60.0})
SPACE = Space(
    parameters=(
        Parameter(key="optim.learning_rate", low=1e-5, high=1e-2, log=True),
        Parameter(key="train.batch", choices=(16, 32, 64, 128)),
    )
)
COUNTS = {"train": 1000, "val": 500, "test": 100}
PHOTOS = DataTraits(images=1000, classes=10, side=64, imbalance=1.0, flat=0.05, grey=0.0)


def _about(**changes):
    return PHOTOS.model_copy(update=changes)


def _found(changes, points=0.012):
    gain = Difference(points=points, low=-0.01, high=0.03, images=500, seeds=1)
    return SearchResult(base="a", best="b", changes=changes, difference=gain, kept=bool(changes))


def _keep(changes, data="1", about=PHOTOS, network="lenet", **settings):
    base = BASE.revised(model={"name": network})
    remember(Memory(about=about, **settings), data, base, _found(changes))


@pytest.fixture(autouse=True)
def data(monkeypatch):
    """Data of which only what can be known without images is there: 64 pixels, ten classes, a thousand images."""
    monkeypatch.setattr(past, "measure_look", lambda _: Look(flat=0.05, grey=0.0))
    return SimpleNamespace(counts=COUNTS, class_names=[*"abcdefghij"], side=64, imbalance=1.0)


@pytest.fixture
def store():
    return cache_dir() / "searches" / "searches.json"


def _trials(out, plan, count):
    """The changes of the first trials of a search."""
    first = [trial.values for trial in plan.first]
    study = open_trials(out, base=plan.base, space=plan.space, parallel=False, first=first)
    return [plan.space.draw(plan.base, partial(suggest_value, study.ask()))[1] for _ in range(count)]


def _plan(memory):
    return make_search(BASE, SPACE, budget=MIN_SEARCH_SECONDS, counts=COUNTS, memory=memory)


def test_the_first_trial_is_what_won_on_the_nearest_data_and_the_next_ones_are_as_ever(tmp_path, data):
    _keep({"train.batch": 128}, "far", _about(images=8000, classes=100))
    _keep({"optim.learning_rate": 0.002, "train.batch": 16}, "near", _about(images=1200))
    _keep({"train.batch": 64}, "farther", _about(images=30_000, classes=100))
    _keep({"train.batch": 64}, "nearest, another network", network="cnn-small")
    plan = _plan(recall(data, ["lenet"]))
    (tmp_path / "new").mkdir()
    (tmp_path / "none").mkdir()
    trials = _trials(tmp_path / "new", plan, 5)
    assert trials[:2] == [{"optim.learning_rate": 0.002, "train.batch": 16}, {"train.batch": 128}]
    assert trials[2:] == _trials(tmp_path / "none", _plan(None), 3)
    assert trials[2] == {}


def test_without_memory_a_search_is_as_before(tmp_path, data):
    _keep({"train.batch": 128})
    plan = _plan(None)
    assert (plan.memory, plan.first) == (None, ())
    assert "memory" not in plan.asked
    assert _trials(tmp_path, plan, 1) == [{}]
    assert recall(data, ["lenet"]).past


def test_a_search_that_was_begun_does_not_change_when_the_store_has_grown(tmp_path, data):
    _keep({"train.batch": 16}, "1", _about(images=2000))
    facts = StudyData(name="mine", counts=COUNTS, classes=10, fingerprint="f" * 64)
    begun = open_state(tmp_path, _plan(recall(data, ["lenet"])), data=facts, command="bakeoff tune")
    assert _trials(tmp_path, begun.plan, 1) == [{"train.batch": 16}]
    _keep({"train.batch": 128}, "2")
    again = open_state(tmp_path, _plan(recall(data, ["lenet"])), data=facts, command="bakeoff tune")
    assert again.plan == begun.plan
    # The trial that was under way comes again after those that wait.
    assert {"train.batch": 128} not in _trials(tmp_path, again.plan, 3)
    with pytest.raises(OutputError, match="without --no-memory it goes on"):
        open_state(tmp_path, _plan(None), data=facts, command="bakeoff tune --no-memory")


def test_a_search_that_was_begun_without_memory_goes_on_without_it(tmp_path, data):
    facts = StudyData(name="mine", counts=COUNTS, classes=10, fingerprint="f" * 64)
    open_state(tmp_path, _plan(None), data=facts, command="bakeoff tune --no-memory")
    _keep({"train.batch": 128})
    again = open_state(tmp_path, _plan(recall(data, ["lenet"])), data=facts, command="bakeoff tune")
    assert (again.plan.memory, again.plan.first) == (None, ())


def test_the_distance_counts_doublings():
    assert PHOTOS.distance(PHOTOS) == 0
    assert PHOTOS.distance(_about(images=2000)) == _about(images=2000).distance(PHOTOS) == pytest.approx(1)
    assert PHOTOS.distance(_about(images=500, classes=40, side=128, imbalance=4.0)) == pytest.approx(1 + 2 + 1 + 2)
    assert PHOTOS.distance(_about(flat=0.8, grey=1.0)) == pytest.approx(4 * 0.75 + 4)


def test_data_that_are_far_away_tell_nothing(data):
    _keep({"train.batch": 16}, about=_about(images=1_000_000, classes=100))
    assert recall(data, ["lenet"]).past == ()


def test_where_the_usual_recipe_won_nothing_else_is_tried_in_its_place(data):
    _keep({}, "1")
    _keep({}, "2")
    _keep({"train.batch": 16}, "3", _about(images=4000))
    memory = recall(data, ["lenet"])
    assert [recipe.changes for recipe in memory.past] == [{}, {}]
    assert choose_first(memory, BASE, SPACE) == ()


def test_of_equal_distance_the_newest_counts_and_a_new_search_of_the_same_data_replaces_the_old_one(data, store):
    _keep({"train.batch": 16}, "1")
    _keep({"train.batch": 64}, "2")
    _keep({"train.batch": 128}, "1")
    assert [recipe.changes["train.batch"] for recipe in recall(data, ["lenet"]).past] == [128, 64]
    assert len(json.loads(store.read_text())["searches"]) == 2


def test_what_the_space_does_not_have_is_left_out(data):
    flips = {"augment.policy": "flip-crop-mixup"}
    base = BASE.revised(augment={"policy": "crop"})
    space = default_space(base)
    _keep(flips | {"optim.name": "sgd", "optim.learning_rate": 1e-9, "no.key": 3, "train.batch": True}, "1")
    _keep(flips, "2", _about(images=2000))
    (trial,) = choose_first(recall(data, ["lenet"]), base, space.widened_to(base))
    assert trial.changes == {"optim.name": "sgd"}
    # SGD's rates do not hold the base recipe's, so that one is drawn.
    assert not any(name.startswith("optim.learning_rate") for name in trial.values)
    assert trial.values["augment.policy"] == "crop"


def test_equal_recipes_are_tried_once(data):
    _keep({"train.batch": 16}, "1")
    _keep({"train.batch": 16}, "2")
    assert len(choose_first(recall(data, ["lenet"]), BASE, SPACE.widened_to(BASE))) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": 1, "searches": [{"network": "lenet"}]}', "is damaged"),
        ('{"format": 0, "searches": []}', "is of another version"),
    ],
)
def test_a_store_that_cannot_be_read_is_told_and_begun_anew(data, store, caplog, text, said):
    store.parent.mkdir()
    store.write_text(text)
    assert recall(data, ["lenet"]).past == ()
    assert f"{store} {said}" in caplog.text
    _keep({"train.batch": 16})
    assert len(recall(data, ["lenet"]).past) == 1


def test_the_store_is_bounded(data, store, monkeypatch):
    monkeypatch.setattr(past, "KEPT", 3)
    for number in range(5):
        _keep({"train.batch": 16}, str(number))
    assert [each["data"] for each in json.loads(store.read_text())["searches"]] == ["2", "3", "4"]
    assert len(recall(data, ["lenet"]).past) == past.NEAREST


def test_searches_that_end_together_are_all_kept(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: _keep({"train.batch": 16}, str(number)), range(16)))
    assert {each["data"] for each in json.loads(store.read_text())["searches"]} == set(map(str, range(16)))


def test_a_cache_that_cannot_be_written_is_told_and_ends_nothing(store, monkeypatch, caplog):
    def fail(*_):
        raise OutputError("cannot write searches.json: the disk is full")

    monkeypatch.setattr(past, "write_json", fail)
    _keep({"train.batch": 16})
    assert "not kept for later searches: cannot write" in caplog.text
    assert not store.exists()


def test_a_search_around_a_recipe_of_the_user_is_not_kept(store):
    _keep({"train.batch": 16}, keeps=False)
    remember(None, "1", BASE, _found({"train.batch": 16}))
    assert not store.exists()


@pytest.mark.parametrize(("kept", "changes"), [(True, {"train.batch": 16}), (False, {})])
def test_a_finished_search_leaves_what_won_and_no_name(tmp_path, data, store, monkeypatch, kept, changes):
    found = _found({"train.batch": 16}).model_copy(update={"kept": kept})
    monkeypatch.setattr("bakeoff.study.tune.run_search", lambda *_, **__: found)
    monkeypatch.setattr("bakeoff.study.context.write_report", lambda _: None)
    facts = StudyData(name="family-photos", counts=COUNTS, classes=10, fingerprint="f" * 64)
    study = open_state(tmp_path, _plan(recall(data, ["lenet"])), data=facts, command="bakeoff tune family-photos")
    watcher = SimpleNamespace(stage_began=lambda *_: None)
    assert run_tuning(study, tmp_path, tmp_path, watcher) == found
    (recipe,) = recall(data, ["lenet"]).past
    assert (recipe.changes, recipe.trial_seconds) == (changes, study.plan.base.train.seconds)
    assert recipe.gain == (found.difference if kept else None)
    assert "family" not in store.read_text()


def test_drawings_are_flat_and_photographs_are_not(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path))
    look = measure_look(digits)
    assert look.grey == 1.0
    assert 0.2 < look.flat < 0.9
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
    noise = bakeoff.tune(
        (images, np.arange(60) % 3), candidate="lenet", dry_run=True, progress=False, out=tmp_path / "o"
    )
    assert noise.plan["memory"]["about"]["images"] > 0
    kept = next(digits.folder.glob("look-*.json"))
    assert Look.model_validate_json(kept.read_text()) == measure_look(digits) == look


def test_the_plan_says_in_a_line_what_is_tried_first_and_no_memory_takes_nothing(store):
    command = "tune", "digits", "--candidate", "lenet", "--dry-run"
    about = DataTraits(images=1400, classes=10, side=8, imbalance=1.0, flat=0.05, grey=0.0)
    _keep({"train.batch": 128}, about=about)
    text = run_cli(*command).stderr
    assert "tried first: batch 128, which won on 10 classes, 1,400 training images of 8 pixels" in " ".join(
        text.split()
    )
    assert "tried first" not in run_cli(*command, "--no-memory").stderr
    kept = store.read_bytes()
    text = run_cli("run", "digits", "--candidates", "lenet,cnn-small", "--budget", "30m", "--tune", "--dry-run").stderr
    assert "if lenet leads, tried first as far as it fits: batch 128" in " ".join(text.split())
    assert store.read_bytes() == kept
