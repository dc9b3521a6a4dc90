"""Probes that are scored by cross-validation: the run, what keeps images together, and what reads the predictions."""

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from bakeoff.data.batches import load_split
from bakeoff.data.checks import find_alike, keep_together
from bakeoff.data.shards import open_dataset, prepare
from bakeoff.data.sources import open_source
from bakeoff.errors import ConfigError, OutputError
from bakeoff.launch import launch
from bakeoff.report.board import explain_win, measure_lead, name_images, rank, render_table
from bakeoff.report.certainty import compare_leaders
from bakeoff.report.failures import describe_failures
from bakeoff.report.gallery import show_images
from bakeoff.report.verify import verify_records
from bakeoff.report.why import explain_in_table
from bakeoff.runs.calibration import softmax
from bakeoff.runs.config import Data, Mode, Run, override, run_id
from bakeoff.runs.folder import run_dir
from bakeoff.runs.paired import compare, difference_on_shared, mcnemar
from bakeoff.runs.predictions import Predictions, read_predictions, write_predictions
from bakeoff.runs.record import Stage, State, list_records
from bakeoff.training.folds import cross_fit
from factories import make_record
from running import work_here

FOLDED = Run().revised(
    model={"name": "efficientnet-lite0", "size": 32, "unfreeze": 0.0},
    train={"mode": "probe", "epochs": None, "subset": 300, "val_images": 60, "folds": 5},
)


@pytest.fixture(scope="module")
def folded(make_once, shards):
    """A study with one cross-validated probe; the record is in it."""

    def make(out):
        with pytest.MonkeyPatch.context() as patch:
            work_here(patch)
            launch(FOLDED, stage=Stage.SCREEN, out=out, data=shards)

    return make_once("folded", make)


def test_a_cross_validated_probe_scores_each_image_of_validation_and_training_once(folded, digits):
    (record,) = list_records(folded)
    assert record.state is State.COMPLETE, record.reason
    assert (record.folds, record.val.n, record.images_seen) == (5, 360, 288)
    assert record.scoring == "in 5-fold cross-validation"
    assert record.val.top1 > 0.7
    assert record.model_bytes == 0
    predictions = read_predictions(run_dir(folded, record.id), "val")
    val, train = load_split(digits, "val", subset=60), load_split(digits, "train", subset=300)
    assert predictions.ids == [*val.ids, *train.ids]
    assert np.array_equal(predictions.labels, [*val.labels, *train.labels])
    assert np.bincount(predictions.folds).tolist() == [72] * 5
    assert predictions.split_name == "cross-validation"


def test_a_cross_validated_probe_is_read_wherever_predictions_are(folded, digits, shards, tmp_path):
    (record,) = list_records(folded)
    assert [check for check in verify_records(folded, [record], {record.id: digits}) if not check.matches] == []
    assert describe_failures(folded, record).split == "cross-validation"
    out = tmp_path / "out"
    shutil.copytree(folded, out)
    again = launch(FOLDED, stage=Stage.SCREEN, out=out, data=shards)
    assert again == record


@pytest.mark.usefixtures("workers_here")
def test_a_cross_validated_probe_averages_over_mirror_images_if_it_is_asked_to(shards, tmp_path):
    quick = FOLDED.revised(model={"name": "lenet"}, train={"subset": 60, "val_images": 30})
    runs = [quick, quick.revised(train={"flip_test": True})]
    records = [launch(run, stage=Stage.SCREEN, out=tmp_path, data=shards) for run in runs]
    assert {record.state for record in records} == {State.COMPLETE}, records
    first, second = (read_predictions(run_dir(tmp_path, record.id), "val") for record in records)
    assert first.ids == second.ids
    assert not np.allclose(first.logits, second.logits)
    assert [check for check in verify_records(tmp_path, records) if not check.matches] == []


def test_heads_of_folds_average_the_probabilities_of_images_and_mirror_images():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(12, 4)).astype(np.float32)
    labels, folds = np.arange(12, dtype=np.int32) % 2, np.arange(12) // 4
    alone = cross_fit(features, labels, 2, folds)
    assert np.allclose(softmax(cross_fit(features, labels, 2, folds, mirrored=features)), softmax(alone), atol=1e-6)
    mirrored = rng.normal(size=(12, 4)).astype(np.float32)
    both = softmax(cross_fit(features, labels, 2, folds, mirrored=mirrored))
    assert not np.allclose(both, softmax(alone), atol=1e-3)
    assert np.allclose(both.sum(1), 1)


def test_its_gallery_shows_training_images_too(folded, digits, monkeypatch):
    (record,) = list_records(folded)
    monkeypatch.setattr("bakeoff.report.gallery.find_dataset", lambda *_: digits)
    gallery = show_images(folded, record)
    assert gallery.missing == ""
    assert gallery.split == "cross-validation"
    assert gallery.mistakes
    assert gallery.hits


def test_ids_of_runs_without_folds_are_those_of_earlier_versions():
    assert run_id(Run(), "data", "weights") == "378065384fd4"
    assert run_id(override(Run(), ["train.xla=true"]), "data", "weights") == "007173d8ec67"
    probe = override(FOLDED, ["train.folds=0"])
    assert len({run_id(run, "data", "weights") for run in (probe, FOLDED, override(FOLDED, ["train.folds=10"]))}) == 3


@pytest.mark.parametrize(("setting", "says"), [("train.folds=1", "at least 2"), ("train.mode=fit", "only probes")])
def test_folds_that_make_no_sense_are_refused(setting, says):
    settings = [setting, *(["train.epochs=1"] if "fit" in setting else [])]
    with pytest.raises(ConfigError, match=says):
        override(FOLDED, settings)


# what keeps images together


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve scenes of two classes, three pictures of each that hardly differ, and ten pictures of their own."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("scenes")
    for number in range(22):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        pixels = np.asarray(coarse.resize((32, 32), Image.Resampling.BICUBIC)).astype(float)
        home = folder / "photos" / ("ill", "well")[number % 2]
        home.mkdir(parents=True, exist_ok=True)
        for frame in range(3 if number < 12 else 1):
            noisy = (pixels + rng.normal(0, 3, pixels.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(home / f"{number}-{frame}.png")
    return folder / "photos"


def _scenes(dataset, groups):
    """The groups of the images of each scene."""
    splits = [load_split(dataset, "train"), load_split(dataset, "val")]
    ids = [key for split in splits for key in split.ids]
    scenes = {}
    for key, group in zip(ids, groups, strict=True):
        scenes.setdefault(key.rpartition("/")[2].partition("-")[0], set()).add(group)
    return scenes


def test_images_that_are_nearly_the_same_are_in_one_group(photos, tmp_path):
    prepare(open_source(Data(source=str(photos))), tmp_path / "shards")
    dataset = open_dataset(tmp_path / "shards")
    splits = [load_split(dataset, "train"), load_split(dataset, "val")]
    groups, note = keep_together(dataset, *splits)
    assert note == ""
    scenes = _scenes(dataset, groups)
    assert all(len(found) == 1 for found in scenes.values())
    assert len(set(groups)) == len(scenes)
    (path,) = dataset.folder.glob("alike-*.json")
    assert find_alike(dataset.at_input(224)) == find_alike(dataset)
    path.write_text(json.dumps({"pairs": []}))
    assert keep_together(dataset, *splits) == (None, "")


def test_groups_of_the_data_stay_together_and_are_joined_by_pictures_that_are_nearly_the_same(photos, tmp_path):
    prepare(open_source(Data(source=str(photos), group=r"(\d)-\d")), tmp_path / "shards")
    dataset = open_dataset(tmp_path / "shards")
    splits = [load_split(dataset, "train"), load_split(dataset, "val")]
    groups, _ = keep_together(dataset, *splits)
    given = [group for split in splits for group in split.groups]
    joined = {}
    for group, mine in zip(given, groups, strict=True):
        joined.setdefault(group, set()).add(mine)
    assert all(len(found) == 1 for found in joined.values())


def test_where_nothing_is_searched_equal_pixels_stay_together(photos, tmp_path, monkeypatch):
    prepare(open_source(Data(source=str(photos))), tmp_path / "shards")
    dataset = open_dataset(tmp_path / "shards")
    train = load_split(dataset, "train")
    monkeypatch.setenv("BAKEOFF_MEMORY_LIMIT_BYTES", "0")
    copies = replace(train.take(np.arange(3)), ids=["a", "b", "c"])
    groups, note = keep_together(dataset, train, copies)
    assert groups[-3:] == groups[:3]
    assert len(set(groups)) == len(train)
    assert "too many images" in note


# pairs of runs that were scored on some common images


def _write(out, run, ids, correct, folds=None):
    labels = np.array([int(key) % 2 for key in ids], np.int32)
    logits = np.eye(2, dtype=np.float32)[np.where(correct, labels, 1 - labels)]
    (folder := run_dir(out, run)).mkdir(parents=True)
    write_predictions(folder, Predictions(logits, labels, ids, folds=folds))


def test_runs_are_compared_on_the_images_that_both_were_scored_on(tmp_path):
    every = [str(number) for number in range(200)]
    right = np.arange(200) % 5 > 0
    _write(tmp_path, "probe", every, right, folds=np.arange(200, dtype=np.int32) % 5)
    _write(tmp_path, "net", every[40:60][::-1], np.ones(20, bool))
    test = mcnemar(tmp_path, "probe", "net")
    assert (test.images, test.first_only, test.second_only) == (20, 0, 4)
    found = compare(tmp_path, ["net"], ["probe"])
    assert (found.images, found.points) == (20, pytest.approx(-0.2))
    _write(tmp_path, "other", ["300", "301"], [True, True])
    with pytest.raises(OutputError, match="not scored on the same images"):
        mcnemar(tmp_path, "net", "other")


def _record(name, out, correct, folds=5, **changes):
    """A screened run with its predictions."""
    n = len(correct)
    changes = {"stage": Stage.SCREEN, "folds": folds, "model_bytes": 0} | changes
    record = make_record(name, top1=float(np.mean(correct)), n=n, **changes)
    _write(out, record.id, [str(number) for number in range(n)], correct, np.arange(n, dtype=np.int32) % max(folds, 1))
    return record


def test_ties_of_cross_validated_rows_are_decided_in_pairs(tmp_path):
    """Nine images of 720 that only the better one classifies rightly, and none that only the other one does."""
    right = np.arange(720) >= 36
    better, worse = right.copy(), right.copy()
    worse[36:45] = False
    records = [_record("mobilenet-v2@96", tmp_path, better), _record("resnet-50@96", tmp_path, worse)]
    assert [row.tie for row in rank(records)] == [True, True]
    rows = rank(records, out=tmp_path)
    assert [row.tie for row in rows] == [False, False]
    _, low, high, *_ = measure_lead(*rows)
    assert 0 < low < 9 / 720 < high
    assert measure_lead(rows[1], rows[0])[1:3] == (-high, -low)
    assert "in 5-fold cross-validation on 720 images" in explain_win(rows)
    assert name_images(rows) == "5-fold cross-validation on 720 images"


def test_what_is_expected_of_cross_validated_probes_is_surer_in_pairs(tmp_path):
    right = np.arange(720) >= 36
    worse = right.copy()
    worse[36:67] = False
    scored = {"mobilenet-v2@96": right, "resnet-50@96": worse}
    records = [_record(name, tmp_path, each, mode=Mode.PROBE) for name, each in scored.items()]
    alone, paired = measure_lead(*rank(records)), measure_lead(*rank(records, out=tmp_path))
    assert alone.is_expected
    assert paired.is_expected
    assert alone.low < 0 < paired.low < 31 / 720 == pytest.approx(paired.difference)


def test_a_network_that_was_scored_on_fewer_images_is_compared_on_those(tmp_path):
    right = np.arange(720) >= 36
    probe, net = (
        _record("mobilenet-v2@96", tmp_path, right),
        make_record("lenet@32", top1=0.6, n=72, stage=Stage.SCREEN),
    )
    _write(tmp_path, net.id, [str(number) for number in range(648, 720)], np.arange(72) >= 29)
    rows = rank([probe, net], out=tmp_path)
    lead, paired = measure_lead(*rows), difference_on_shared(tmp_path, probe.id, net.id)
    assert lead == (paired.points, paired.low, paired.high, False, 72)
    # On all their images the two differ by 0.35.
    assert lead.difference == pytest.approx(29 / 72)
    assert lead.low < lead.difference < lead.high
    assert "40.3 points ahead of lenet@32 on the 72 images that both were scored on (" in explain_win(rows)
    why = explain_in_table(rows)
    assert (why.rows[1].behind, why.rows[1].score) == ("-40.3", "59.7 ±11.0")
    assert "The difference of lenet@32 is that on the 72 images that both were scored on." in why.notes
    leaders = compare_leaders(tmp_path, rows)
    assert ", compared on the 72 validation images that both were scored on, with 95 % intervals." in leaders.caption
    assert name_images(rows) == "5-fold cross-validation on 720 images; lenet@32: 72 validation images"
    text = io.StringIO()
    Console(width=120, file=text).print(render_table(rows))
    assert "screen: 5-fold cross-validation on 720 images; lenet@32: 72 validation images" in text.getvalue()


def test_without_predictions_the_samples_count_as_independent(tmp_path):
    records = [_record(name, tmp_path, np.arange(720) >= 36) for name in ("mobilenet-v2@96", "resnet-50@96")]
    shutil.rmtree(run_dir(tmp_path, records[0].id))
    assert difference_on_shared(tmp_path, *(record.id for record in records)) is None
    assert [row.tie for row in rank(records, out=tmp_path)] == [True, True]
