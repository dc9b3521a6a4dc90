"""Validation and test images that are nearly the same as training images are told before anything is trained."""

import json
import logging
from dataclasses import replace
from functools import partial
from itertools import count

import numpy as np
import pytest
from PIL import Image

import bakeoff
from bakeoff.data.batches import load_split
from bakeoff.data.checks import (
    Deadline,
    Leaks,
    alike,
    examine,
    find_alike,
    find_leaks,
    find_like_validation,
    keep_together,
    leaks,
    read_leaks,
    warn_of_leaks,
)
from bakeoff.data.shards import open_dataset, prepare
from bakeoff.data.sources import open_source
from bakeoff.deploy.export import card
from bakeoff.report import write_report
from bakeoff.report.summary import render_summary
from bakeoff.runs.config import Candidate, Data
from bakeoff.runs.folder import run_dir
from bakeoff.runs.predictions import Predictions
from bakeoff.runs.record import write_record
from bakeoff.runs.study_file import read_study
from bakeoff.study import provide
from bakeoff.study.begin import StudyRequest, open_study, prepare_study
from bakeoff.study.compare import make_comparison
from bakeoff.study.provide import check_splits
from bakeoff.training.test import score_without_leaks
from factories import make_record
from running import run_cli


def fill(folder, subjects=8, frames=6, side=32):
    """Two classes of subjects, each with frames that hardly differ."""
    rng = np.random.default_rng(0)
    for number in range(2 * subjects):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        pixels = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)).astype(float)
        home = folder / ("ill", "well")[number % 2] / f"subject{number}"
        home.mkdir(parents=True)
        for frame in range(frames):
            noisy = pixels + rng.normal(0, 3, pixels.shape)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(home / f"{frame}.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaks") / "photos"
    fill(folder)
    return folder


@pytest.fixture(scope="module")
def prepared(photos, tmp_path_factory):
    """Shards without groups, and with them."""
    folder = tmp_path_factory.mktemp("shards")
    for name, group in (("apart", ""), ("grouped", "folder")):
        prepare(open_source(Data(source=str(photos), group=group)), folder / name)
    return folder


@pytest.fixture
def dataset(prepared):
    """The images without groups, of which nothing was found yet."""
    for path in prepared.glob("*/near-duplicates-*.json"):
        path.unlink()
    return open_dataset(prepared / "apart")


class Watcher:
    def __init__(self):
        self.told = []

    def counted(self, *step):
        self.told.append(("counted", step))

    def noted(self, text):
        self.told.append(("noted", text))

    def warned(self, text):
        self.told.append(("warned", text))

    def data_read(self, dataset):
        self.told.append(("read", dataset))

    def study_began(self, *what):
        self.told.append(("began", what))


# finding


def test_frames_of_a_subject_leak_unless_they_are_grouped(dataset, prepared):
    found = find_leaks(dataset)
    assert len(found.test) == dataset.counts["test"]
    assert len(found.val) == dataset.counts["val"]
    assert find_leaks(open_dataset(prepared / "grouped")) == Leaks(val=(), test=())


def test_test_images_that_resemble_validation_images_are_found_for_a_model_that_learned_those(dataset, prepared):
    alike = find_like_validation(dataset)
    assert alike
    assert alike <= set(load_split(dataset, "test", unlock=True).ids)
    assert find_like_validation(open_dataset(prepared / "grouped")) == set()


@pytest.mark.parametrize(("name", "limit"), [("MAX_LEAK_PAIRS", 0), ("MAX_LEAK_BYTES", 0)])
def test_too_many_images_are_not_compared_with_validation_after_the_test_was_opened(dataset, monkeypatch, name, limit):
    mixed = replace(dataset, manifest=dataset.manifest.model_copy(update={"uniform": name == "MAX_LEAK_PAIRS"}))
    found = find_leaks(mixed)
    monkeypatch.setattr(leaks, name, limit)
    assert find_like_validation(mixed) is None
    split = load_split(mixed, "test", unlock=True)
    predictions = Predictions(np.zeros((len(split), 2), np.float16), split.labels, split.ids, "test")
    scores = score_without_leaks(predictions, split, mixed, learned_val=True)
    assert scores["near_duplicates"] == len(found.test)
    assert scores["near_duplicates_unsearched"] == "the validation images, which were learned too"
    assert score_without_leaks(predictions, split, mixed, learned_val=False)["near_duplicates_unsearched"] == ""


def test_a_search_that_takes_too_long_is_stopped_and_is_not_made_again_by_the_same_study(dataset, monkeypatch):
    # Every look at this clock takes a second; the search looks at it eight times.
    assert find_leaks(dataset, deadline=Deadline(3, clock=count().__next__)) is None
    assert read_leaks(dataset) is None
    with monkeypatch.context() as patched:
        patched.setattr(leaks, "load_split", None)
        assert find_leaks(dataset) is None
        assert find_leaks(dataset, deadline=Deadline(3, clock=count().__next__)) is None
    found = find_leaks(dataset, deadline=Deadline(100, clock=count().__next__))
    assert found == read_leaks(dataset) == find_leaks(dataset)
    assert found.test


def test_images_of_folds_are_compared_no_longer_than_they_may(prepared, monkeypatch):
    for path in prepared.glob("*/alike-*.json"):
        path.unlink()
    dataset = open_dataset(prepared / "apart")
    assert find_alike(dataset, deadline=Deadline(3, clock=count().__next__)) is None
    with monkeypatch.context() as patched:
        patched.setattr(alike, "load_split", None)
        assert find_alike(dataset) is None
    val, train = (load_split(dataset, name) for name in ("val", "train"))
    groups, note = keep_together(dataset, val, train)
    assert groups is None
    assert note.startswith("too many images, or too little time, to search them all for near-duplicates")
    assert find_alike(dataset, deadline=Deadline(100, clock=count().__next__)).pairs


def test_a_study_is_told_of_a_search_that_was_stopped(dataset, monkeypatch):
    monkeypatch.setattr(provide, "Deadline", partial(Deadline, clock=count(step=10).__next__))
    watcher = Watcher()
    findings = check_splits(dataset, watcher, folded=True, seconds=15.0)
    assert findings.warnings == ()
    (note,) = findings.notes
    assert ("noted", note) in watcher.told
    assert "were not searched for, because that would take more than 15 s; `bakeoff data check` does" in note


def test_what_was_found_is_kept_and_read(dataset, monkeypatch):
    steps = []
    before = find_leaks(dataset, on_count=lambda *step: steps.append(step))
    assert steps[-1] == ("comparing validation and test with training images", 20, 20)
    monkeypatch.setattr(leaks, "find_near_duplicates", None)
    assert find_leaks(dataset) == before
    (path,) = dataset.folder.glob("near-duplicates-*.json")
    path.write_text(json.dumps({"val": [], "test": ["a"]}))
    assert find_leaks(dataset).test == ("a",)


def test_a_damaged_file_of_what_was_found_is_written_again(dataset):
    before = find_leaks(dataset)
    (path,) = dataset.folder.glob("near-duplicates-*.json")
    path.write_text("[")
    assert find_leaks(dataset) == before
    assert json.loads(path.read_text())["test"] == list(before.test)


def test_the_checks_of_the_data_find_the_same(dataset, monkeypatch):
    before = find_leaks(dataset)
    find_like_validation(dataset)
    (path,) = dataset.folder.glob("near-duplicates-*.json")
    path.unlink()
    examine(dataset)
    found = Leaks.model_validate_json(path.read_text())
    assert (found.val, found.test) == (before.val, before.test)
    assert set(found.test_like_val) == find_like_validation(dataset)
    monkeypatch.setattr(leaks, "MAX_LEAK_PAIRS", 0)
    assert find_like_validation(dataset) == set(found.test_like_val)


@pytest.mark.parametrize(("name", "limit"), [("MAX_LEAK_PAIRS", 20 * 76 - 1), ("MAX_LEAK_BYTES", 1000)])
def test_what_takes_long_is_not_searched_and_the_user_is_told(dataset, monkeypatch, name, limit):
    # Images of one size are read without decoding, so only the number of pairs counts for them.
    mixed = replace(dataset, manifest=dataset.manifest.model_copy(update={"uniform": name == "MAX_LEAK_PAIRS"}))
    monkeypatch.setattr(leaks, name, limit)
    watcher = Watcher()
    findings = check_splits(mixed, watcher)
    assert findings.warnings == ()
    ((kind, note),) = watcher.told
    assert (kind, note) == ("noted", findings.notes[0])
    assert "were not searched for" in note


def test_images_of_few_pixels_are_not_compared(tmp_path):
    fill(tmp_path / "small", side=16)
    prepare(open_source(Data(source=str(tmp_path / "small"))), tmp_path / "s")
    watcher = Watcher()
    assert check_splits(open_dataset(tmp_path / "s"), watcher) == ((), ())
    assert watcher.told == []


def test_copies_of_training_images_are_told_where_nearly_equal_ones_are_not_searched_for(tmp_path):
    fill(tmp_path / "small" / "train", subjects=4, side=16)
    fill(tmp_path / "small" / "test", subjects=2, side=16)
    # The frames of the first subjects are drawn from the same numbers in both.
    assert (tmp_path / "small/test/ill/subject0/0.png").read_bytes() == (
        tmp_path / "small/train/ill/subject0/0.png"
    ).read_bytes()
    prepare(open_source(Data(source=str(tmp_path / "small"))), tmp_path / "s")
    (warning,) = check_splits(open_dataset(tmp_path / "s"), Watcher()).warnings
    # The other two were drawn for validation.
    assert warning.startswith("22 of 24 test images are byte-identical to training images: scores will not hold")
    assert check_splits(open_dataset(tmp_path / "s", "ill,well"), Watcher()).warnings == (warning,)
    for verb in (("prepare",), ("check", "--no-labels")):
        done = run_cli("data", *verb, tmp_path / "small", "--out", tmp_path / verb[0])
        assert f"warning: {warning}" in done.stderr


# telling


@pytest.mark.parametrize(
    ("val", "test", "beginning"),
    [
        (0, 10, "10 of 10 test images are nearly the same as training images: scores will not hold for new pictures"),
        (9, 6, "6 of 10 test images and 9 of 10 validation images are nearly the same"),
        (0, 5, "5 of 10 test images are nearly the same as training images: scores are higher than they would be"),
        (10, 4, "10 of 10 validation images"),
        (4, 4, ""),
        (0, 0, ""),
    ],
)
def test_a_warning_counts_the_images_where_they_are_many(dataset, val, test, beginning):
    assert dataset.counts == {"train": 76, "val": 10, "test": 10}
    warning = warn_of_leaks(dataset, Leaks(val=("a",) * val, test=("a",) * test))
    assert warning.startswith(beginning)
    assert bool(warning) == bool(beginning)


def test_a_warning_says_what_helps(dataset, prepared):
    found = Leaks(val=(), test=("a",) * 10)
    assert "--group folder" in warn_of_leaks(dataset, found)
    given = replace(dataset, manifest=dataset.manifest.model_copy(update={"drawn": ("val",)}))
    assert "The data give the test split; without splits, --group draws some" in warn_of_leaks(given, found)
    few = Leaks(val=(), test=("a",) * 5)
    assert "The data give the test split; `bakeoff data check` lists the pairs" in warn_of_leaks(given, few)
    both = Leaks(val=("a",) * 10, test=("a",) * 10)
    assert "The data give the test split; " in warn_of_leaks(given, both)
    grouped = open_dataset(prepared / "grouped")
    assert "They are grouped by the folder below the class" in warn_of_leaks(grouped, found)


def test_a_study_begins_with_the_warning_and_keeps_it(photos, tmp_path):
    watcher = Watcher()
    request = StudyRequest(Data(source=str(photos)), candidates=(Candidate(name="lenet"),), out=tmp_path / "out")
    ready = prepare_study(request, watcher)
    plan = make_comparison(
        ready.candidates,
        data=request.data,
        counts=ready.dataset.counts,
        weights=ready.weights,
        seed=0,
        forecast=ready.forecast,
        images=100,
    )
    with open_study(ready, plan, 1, watcher):
        pass
    told = [event for event in watcher.told if event[0] != "counted"]
    assert [kind for kind, _ in told] == ["warned", "began"]
    assert read_study(tmp_path / "out").data.warnings == (told[0][1],)
    record = make_record("lenet@32", 0.9)
    write_record(run_dir(tmp_path / "out", record.id), record)
    page = write_report(tmp_path / "out").read_text()
    assert page.index("are nearly the same as training images") < page.index('class="score"')
    assert "are nearly the same as training images" in render_summary(tmp_path / "out")


def test_what_the_search_left_out_is_told_where_the_score_on_test_is(tmp_path):
    record = make_record("lenet@32", 0.9, test_top1=0.8)
    left_out = {"near_duplicates": 3, "near_duplicates_unsearched": "the validation images, which were learned too"}
    record = record.model_copy(update={"test": record.test.model_copy(update=left_out)})
    write_record(run_dir(tmp_path, record.id), record)
    words = "Test images were not compared with the validation images, which were learned too"
    assert f"{words}, because that would take long" in write_report(tmp_path).read_text()
    assert any(words in line for line in card._leaks(record))


def test_a_dry_run_shows_the_warning_first(photos):
    done = run_cli("tune", photos, "--candidate", "lenet", "--budget", "10m", "--dry-run")
    assert done.returncode == 0
    assert done.stderr.splitlines()[0].startswith("warning: 10 of 10 test images and 10 of 10 validation images")


def test_in_python_the_warning_is_logged(photos, caplog):
    with caplog.at_level(logging.WARNING, "bakeoff"):
        bakeoff.tune(photos, candidate="lenet", budget="10m", dry_run=True, progress=False)
    assert "10 of 10 test images" in caplog.text
