"""Temperature, parity and what a bundle folder holds: a model that answers as the run did, or none."""

import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from bakeoff.backbones import find_backbone
from bakeoff.bundle import Format, Quantize, Source, check_kind, open_bundle, predict
from bakeoff.config import Model
from bakeoff.errors import BundleError, OutputError
from bakeoff.evaluate import compile_forward, predict_logits, softmax
from bakeoff.export import TOLERANCES, Logits, Trained, calibrate, write_bundle
from bakeoff.export.parity import check_parity
from bakeoff.model import build_network
from bakeoff.pipeline import load_split
from bakeoff.shards import open_dataset, prepare_cached
from bakeoff.weights import load_weights, locate_weights
from factories import make_record


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        dataset = open_dataset(prepare_cached("digits"))
        keras.utils.set_random_seed(0)
        row = find_backbone("efficientnet-lite0")
        network = build_network(row, Model(size=32), side=dataset.side, classes=10)
        load_weights(network.backbone, row, locate_weights(row, "auto"))
        model, val = network.model(32), load_split(dataset, "val")
        logits = Logits(predict_logits(compile_forward(model), val), val.labels)
        yield Trained(model, make_record("efficientnet-lite0@32"), dataset, {"val": logits})


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "bundle"
    write_bundle(trained, folder)
    return folder


@pytest.fixture
def bundle(made, tmp_path):
    return shutil.copytree(made, tmp_path / "bundle")


def test_a_bundle_gives_the_probabilities_of_the_run_at_its_temperature(trained, bundle):
    opened = open_bundle(bundle)
    val = load_split(trained.dataset, "val", subset=20)
    temperature = opened.facts.calibration.temperature
    expected = softmax(trained.model.predict(val.images, verbose=0) / np.float32(temperature))
    assert temperature != pytest.approx(1.0, abs=0.01)
    assert expected.std() > 0.01
    assert np.allclose(opened.probabilities(val.images), expected, atol=1e-5)


def test_images_are_answered_in_order_and_bad_ones_with_their_error(trained, bundle, tmp_path):
    val = load_split(trained.dataset, "val", subset=20)
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(val.images[number]).save(paths[-1])
    paths[1].write_text("this is no image")
    paths.append(tmp_path / "missing.png")
    opened = open_bundle(bundle)
    answers = list(predict(opened, map(Source.of, paths), top=3))
    assert [answer.path for answer in answers] == [str(path) for path in paths]
    assert [answer.error is None for answer in answers] == [True, False, True, False]
    assert "No such file" in answers[3].error
    probabilities = opened.probabilities(val.images[[0, 2]])
    for answer, row in zip((answers[0], answers[2]), probabilities, strict=True):
        assert len(answer.top) == 3
        assert answer.top[0].label == opened.class_names[row.argmax()]
        assert answer.top[0].probability == pytest.approx(row.max(), abs=1e-5)


def test_the_bundle_says_what_it_is(bundle):
    card = (bundle / "model_card.md").read_text()
    assert "efficientnet-lite0@32" in card
    assert "95 % interval" in card
    assert "temperature of" in card
    assert json.loads((bundle / "labels.json").read_text())["classes"] == [str(digit) for digit in range(10)]


def test_a_changed_file_is_noticed(bundle):
    labels = bundle / "labels.json"
    labels.write_text(labels.read_text().replace('"1"', '"7"'))
    with pytest.raises(BundleError, match=r"labels\.json.*hash"):
        open_bundle(bundle)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        open_bundle(tmp_path)


def test_a_bundle_never_replaces_something_else(trained, tmp_path):
    (tmp_path / "thesis.tex").write_text("important")
    with pytest.raises(OutputError, match="something else"):
        write_bundle(trained, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_bundle_that_answers_otherwise_is_never_written(trained, tmp_path, monkeypatch):
    load = keras.models.load_model

    def load_other(*args, **kwargs):
        loaded = load(*args, **kwargs)
        loaded.set_weights([weight * 0.5 for weight in loaded.get_weights()])
        return loaded

    monkeypatch.setattr(keras.models, "load_model", load_other)
    with pytest.raises(BundleError, match="answers otherwise"):
        write_bundle(trained, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_temperature_is_bounded_where_every_answer_is_right():
    logits = Logits(np.eye(4, dtype=np.float32) * 5, np.arange(4, dtype=np.int32))
    assert calibrate({"val": logits}).temperature == 0.2


@pytest.mark.parametrize("kind", TOLERANCES, ids=lambda kind: "-".join(str(part) for part in kind if part))
def test_parity_lets_rounding_pass_and_refuses_another_class_or_no_number(kind):
    expected = softmax(np.random.default_rng(0).normal(0, 3, (200, 10)).astype(np.float32))
    assert check_parity(expected, expected + np.float32(1e-7), TOLERANCES[kind]).agreement == 1.0
    with pytest.raises(BundleError, match="answers otherwise"):
        check_parity(expected, np.roll(expected, 1, axis=1), TOLERANCES[kind])
    broken = expected.copy()
    broken[0, 0] = np.nan
    with pytest.raises(BundleError, match="not numbers"):
        check_parity(expected, broken, TOLERANCES[kind])


@pytest.mark.parametrize("form", [Format.KERAS, Format.SAVED_MODEL])
def test_a_format_that_cannot_be_quantised_says_which_can(form):
    with pytest.raises(BundleError, match=r"cannot be quantised.*onnx or litert"):
        check_kind(form, Quantize.INT8)
