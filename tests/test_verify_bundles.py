"""`bakeoff verify` names a bundle that is not what it says: the model is a function here, so nothing is trained."""

import json
import shutil
from copy import copy
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.batches import load_split
from bakeoff.data.shards import open_dataset, prepare_cached
from bakeoff.deploy.bundle import (
    Bundle,
    Quantize,
    Scores,
    ThresholdKind,
    ThresholdRule,
    read_facts,
    read_labels,
    write_facts,
)
from bakeoff.deploy.export.threshold import choose_threshold
from bakeoff.deploy.temperature import calibrate
from bakeoff.files import hash_file, write_json
from bakeoff.report.verify import bundles, verify_bundles
from bakeoff.runs.calibration import softmax
from bakeoff.runs.config import Data
from bakeoff.runs.folder import run_dir
from bakeoff.runs.metrics import TestMetrics, score
from bakeoff.runs.predictions import Predictions, read_predictions, round_logits, write_predictions
from bakeoff.runs.record import DataFacts, write_record
from bakeoff.runs.selective import trace_predictions
from bakeoff.runs.study_file import AnyStudy, Winner
from factories import make_record, save_bundle

LIMIT = 0.6


class _Model:
    """Tells images apart by their distance to the mean image of each class."""

    def __init__(self, dataset, scale):
        train = load_split(dataset, "train")
        images = self._flatten(train.images[:])
        self.means = np.stack([images[train.labels == label].mean(axis=0) for label in np.unique(train.labels)])
        self.side, self.scale = dataset.side, scale

    def __call__(self, images):
        if images.shape[1] != self.side:
            raise TypeError(f"an input of {self.side} pixels was expected\nand more lines")
        return -self.scale * ((self._flatten(images)[:, None] - self.means) ** 2).sum(axis=2)

    @staticmethod
    def _flatten(images):
        return images.reshape(len(images), -1).astype(np.float32) / 255


def _make_bundled(out, dataset, name="lenet@32", scale=0.3, tested=True, bundle="bundle", **fields):
    """A run with its stored predictions and a bundle with a threshold; all values match."""
    model = _Model(dataset, scale)
    stored = {}
    for split in ("val", "test"):
        images = load_split(dataset, split, unlock=True)
        stored[split] = Predictions(round_logits(model(images.images[:])), images.labels, images.ids, split)
    scores = {split: score(each.logits, each.labels, dataset.superclass_of) for split, each in stored.items()}
    record = make_record(
        name,
        data=DataFacts(
            name=dataset.name,
            fingerprint=dataset.fingerprint,
            counts=dataset.counts,
            classes=len(dataset.class_names),
            fit=dataset.fit,
        ),
        val=scores["val"],
        test=TestMetrics(**scores["test"].model_dump(), openings=1) if tested else None,
        **fields,
    )
    if not tested:
        del stored["test"]
    folder = run_dir(out, record.id)
    write_record(folder, record)
    for each in stored.values():
        write_predictions(folder, each)
    calibration = calibrate(stored)
    curves = {split: trace_predictions(each, calibration.temperature) for split, each in stored.items()}
    by_hand = ThresholdRule(ThresholdKind.MIN_CONFIDENCE, LIMIT)
    bundle = out / bundle
    bundle.mkdir()
    (bundle / "model.keras").write_bytes(b"a model")
    save_bundle(
        bundle,
        record,
        classes=dataset.class_names,
        side=dataset.side,
        fit=dataset.fit,
        calibration=calibration,
        threshold=choose_threshold(by_hand, curves["val"], curves.get("test")),
        files={"model.keras": hash_file(bundle / "model.keras")},
    )
    return SimpleNamespace(
        out=out, record=record, dataset=dataset, model=model, temperature=calibration.temperature, bundle=bundle
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory, digits):
    """A bundle of the digits, which no test changes."""
    return _make_bundled(tmp_path_factory.mktemp("bundled"), digits)


@pytest.fixture
def made(built, tmp_path, monkeypatch):
    """A copy of it, and of its model."""
    out = shutil.copytree(built.out, tmp_path / "study")
    made = SimpleNamespace(**vars(built) | {"out": out, "bundle": out / "bundle", "model": copy(built.model)})
    _let_predict(monkeypatch, made)
    return made


def _let_predict(monkeypatch, *made):
    """Open bundles as the functions that their runs are."""

    def open_bundle(folder):
        facts = read_facts(folder)
        (of_run,) = (each for each in made if each.record.id == facts.run)
        model, temperature = of_run.model, of_run.temperature
        return Bundle(folder, facts, read_labels(folder), lambda images: softmax(model(images) / temperature))

    monkeypatch.setattr(bundles, "open_bundle", open_bundle)


def _verify(made, datasets=True):
    known = {made.record.id: made.dataset} if datasets else None
    return list(verify_bundles(made.out, [made.record], known))


def _broken(checks):
    return [check.where for check in checks if not check.matches]


def test_a_bundle_that_is_what_it_says_matches(made):
    checks = _verify(made)
    assert [check for check in checks if not check.matches or check.note] == []
    wheres = {check.where for check in checks}
    assert {
        "bundle/model.keras: sha256",
        "bundle/bundle.json: fit",
        "bundle/bundle.json: calibration.temperature",
        "bundle/bundle.json: threshold.val",
        "bundle/bundle.json: threshold.test",
        "bundle/labels.json: classes",
        f"bundle/model.keras: predictions on {made.dataset.counts['test']} test images",
    } <= wheres
    assert {check.where for check in _verify(made, datasets=False)} < wheres


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda facts: facts.update(fit="pad"), ["fit"]),
        (lambda facts: facts.update(candidate="lenet@64"), ["candidate"]),
        (lambda facts: facts.update(side=4), ["side"]),
        (lambda facts: facts["calibration"].update(ece_after=0.0), ["calibration.ece_after"]),
        (lambda facts: facts["calibration"].update(images=9), ["calibration.images"]),
        (lambda facts: facts["threshold"].update(min_confidence=0.9), ["threshold.test", "threshold.val"]),
        (lambda facts: facts["threshold"]["test"].update(answered=3), ["threshold.test"]),
        (lambda facts: facts["threshold"].update(precision=0.999), ["threshold.val.precision"]),
    ],
    ids=["fit", "candidate", "side", "error", "images", "limit", "coverage", "precision"],
)
def test_a_fact_that_was_changed_is_named(made, change, named):
    raw = json.loads((made.bundle / "bundle.json").read_text())
    change(raw)
    write_json(made.bundle / "bundle.json", raw)
    assert _broken(_verify(made)) == [f"bundle/bundle.json: {name}" for name in named]


def test_a_temperature_that_is_not_the_models_is_named_with_its_predictions(made):
    facts = read_facts(made.bundle)
    wrong = facts.calibration.model_copy(update={"temperature": 3 * facts.calibration.temperature})
    write_facts(made.bundle, facts.model_copy(update={"calibration": wrong, "threshold": None}))
    temperature, predictions = _broken(_verify(made))
    assert temperature == "bundle/bundle.json: calibration.temperature"
    assert predictions.endswith("test images")


def test_names_of_classes_that_are_not_those_of_the_data_are_named(made):
    labels = json.loads((made.bundle / "labels.json").read_text())
    write_json(made.bundle / "labels.json", labels | {"classes": labels["classes"][::-1]})
    assert _broken(_verify(made)) == ["bundle/labels.json: classes"]


def test_a_bundle_with_another_model_is_named(made):
    made.model.means = made.model.means[::-1]
    (check,) = (check for check in _verify(made) if "predictions" in check.where)
    assert "in another class" in check.computed


def test_without_an_opened_test_split_the_stored_predictions_on_validation_are_compared(tmp_path, digits, monkeypatch):
    made = _make_bundled(tmp_path, digits, tested=False)
    _let_predict(monkeypatch, made)
    checks = _verify(made)
    assert _broken(checks) == []
    (check,) = (check for check in checks if "predictions" in check.where)
    assert (check.written, check.where[-17:]) == ("as in val-logits.npz", "validation images")
    made.model.means = made.model.means[::-1]
    assert check.where in _broken(_verify(made))


def test_a_quantised_bundle_has_the_accuracy_that_it_states(made):
    val, facts = made.record.val, read_facts(made.bundle)
    scores = Scores(images=val.n, run_top1=val.top1, top1=val.top1, top1_ci95=val.top1_ci95)
    write_facts(made.bundle, facts.model_copy(update={"quantize": Quantize.INT8, "val": scores}))
    assert _broken(_verify(made)) == []
    better = scores.model_copy(update={"top1": 1.0})
    write_facts(made.bundle, facts.model_copy(update={"quantize": Quantize.INT8, "val": better}))
    (check,) = (check for check in _verify(made) if not check.matches)
    assert (check.written, check.computed) == (
        f"{val.n} of {val.n} right",
        f"{round(val.top1 * val.n)} of {val.n} right",
    )


def test_figures_on_test_are_not_compared_if_it_was_opened_again(made):
    made.record = made.record.model_copy(update={"test": made.record.test.model_copy(update={"openings": 2})})
    folder = run_dir(made.out, made.record.id)
    test = read_predictions(folder, "test")
    write_predictions(folder, test.select(test.ids[:100]))
    notes = [check.note for check in _verify(made) if check.note]
    assert len(notes) == 1
    assert "figures on test were not compared" in notes[0]
    assert "bundle/bundle.json: threshold.test" not in _broken(_verify(made))


def test_what_could_not_be_checked_is_said(made, monkeypatch):
    monkeypatch.setattr(bundles, "missing_modules", lambda _: ["onnxruntime"])
    (note,) = (check.note for check in _verify(made) if check.note)
    assert note == "bundle: onnxruntime is not installed, so its predictions were not compared"
    (note,) = (check.note for check in verify_bundles(made.out, [], {}) if check.note)
    assert note == f"bundle: its run {made.record.id} is not in runs/, so only the hashes were compared"


def test_a_run_without_stored_predictions_leaves_a_note(made):
    write_facts(made.bundle, read_facts(made.bundle).model_copy(update={"calibration": None, "threshold": None}))
    for split in ("val", "test"):
        (run_dir(made.out, made.record.id) / f"{split}-logits.npz").unlink()
    (note,) = (check.note for check in _verify(made) if check.note)
    assert note == "bundle: its run stored no predictions of this model, so they were not compared"


def test_a_bundle_that_cannot_predict_is_named(made):
    made.model.side = 16
    (check,) = (check for check in _verify(made) if not check.matches)
    assert check.where == "bundle"
    assert "cannot predict images of 8 pixels (an input of 16 pixels was expected)" in check.computed


def test_a_bundle_of_photographs_predicts_pictures_of_its_own_size(tmp_path, monkeypatch):
    """Shards are usually read with at most 160 pixels; a network with a larger input gets more."""
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 256, (200, 200, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    dataset = open_dataset(prepare_cached(Data(source=str(tmp_path / "photos"))))
    out = tmp_path / "out"
    out.mkdir()
    made = _make_bundled(out, dataset.at_input(192), name="lenet@192", scale=1e-3)
    made.dataset = dataset
    _let_predict(monkeypatch, made)
    assert (dataset.side, made.model.side) == (160, 192)
    checks = _verify(made)
    assert _broken(checks) == []
    assert any("predictions" in check.where for check in checks)


def test_bundles_of_runs_with_other_classes_get_their_own_images(tmp_path, shards, monkeypatch):
    whole, some = open_dataset(shards), open_dataset(shards, "0,1,2")
    made = (
        _make_bundled(tmp_path, whole, bundle="bundle", id="a" * 12),
        _make_bundled(tmp_path, some, bundle="bundle-onnx", id="b" * 12),
    )
    _let_predict(monkeypatch, *made)
    datasets = {each.record.id: each.dataset for each in made}
    checks = list(verify_bundles(tmp_path, [each.record for each in made], datasets))
    assert _broken(checks) == []
    assert sum("predictions" in check.where for check in checks) == 2


def test_a_bundle_of_another_run_than_the_winner_is_noted(made):
    winner = make_record(id="c" * 12)
    study = AnyStudy(winner=Winner(confirmed=winner.id, shipped=winner.id))
    write_json(made.out / "study.json", study.model_dump(mode="json", by_alias=True))
    checks = list(verify_bundles(made.out, [made.record, winner]))
    (note,) = (check.note for check in checks if check.note)
    assert f"holds the model of run {made.record.id}, not that of the winner, run {winner.id}" in note
    assert _broken(checks) == []
