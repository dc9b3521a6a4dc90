"""A bundle answers as the run did, and says what is wrong with what it is given."""

import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from bakeoff.backbones import find_backbone
from bakeoff.config import Model
from bakeoff.errors import BakeoffError, BundleError
from bakeoff.evaluate import softmax
from bakeoff.export import write_bundle
from bakeoff.model import build_network
from bakeoff.pipeline import load_split
from bakeoff.serve import open_bundle
from bakeoff.shards import open_dataset, prepare_cached
from bakeoff.weights import load_weights, locate_weights
from factories import make_record


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        dataset = open_dataset(prepare_cached("digits"))
        keras.utils.set_random_seed(0)
        row = find_backbone("efficientnet-lite0")
        network = build_network(row, Model(size=32), side=dataset.side, classes=10)
        load_weights(network.backbone, row, locate_weights(row, "auto"))
        model, val = network.model(32), load_split(dataset, "val", subset=20)
        folder = tmp_path_factory.mktemp("bundle")
        write_bundle(model, make_record("efficientnet-lite0@32"), dataset, val, folder)
        return folder, model, val


@pytest.fixture
def bundle(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "bundle")


def test_a_bundle_gives_the_probabilities_of_the_run(made, bundle):
    _, model, val = made
    expected = softmax(model.predict(val.images, verbose=0))
    assert expected.std() > 0.01
    assert np.allclose(open_bundle(bundle).probabilities(val.images), expected, atol=1e-5)


def test_images_are_answered_in_order_and_bad_ones_with_their_error(made, bundle, tmp_path):
    val = made[2]
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(val.images[number]).save(paths[-1])
    paths[1].write_text("this is no image")
    paths.append(tmp_path / "missing.png")
    opened = open_bundle(bundle)
    answers = list(opened.predict(paths, top=3))
    assert [answer.path for answer in answers] == [str(path) for path in paths]
    assert [answer.error is None for answer in answers] == [True, False, True, False]
    assert "No such file" in answers[3].error
    probabilities = opened.probabilities(val.images[[0, 2]])
    for answer, row in zip((answers[0], answers[2]), probabilities, strict=True):
        assert len(answer.top) == 3
        assert answer.top[0][0] == opened.class_names[row.argmax()]
        assert answer.top[0][1] == pytest.approx(row.max(), abs=1e-5)


def test_the_bundle_says_what_it_is(bundle):
    card = (bundle / "model_card.md").read_text()
    assert "efficientnet-lite0@32" in card
    assert "95 % interval" in card
    assert json.loads((bundle / "labels.json").read_text())["classes"] == [str(digit) for digit in range(10)]


def test_a_changed_file_is_noticed(bundle):
    labels = bundle / "labels.json"
    labels.write_text(labels.read_text().replace('"1"', '"7"'))
    with pytest.raises(BundleError, match=r"labels\.json.*hash"):
        open_bundle(bundle)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        open_bundle(tmp_path)


def test_a_bundle_that_answers_otherwise_is_never_written(made, tmp_path, monkeypatch):
    _, model, val = made
    dataset = open_dataset(prepare_cached("digits"))
    load = keras.models.load_model

    def load_other(*args, **kwargs):
        loaded = load(*args, **kwargs)
        loaded.set_weights([weight * 0.5 for weight in loaded.get_weights()])
        return loaded

    monkeypatch.setattr(keras.models, "load_model", load_other)
    with pytest.raises(BakeoffError, match="answers otherwise"):
        write_bundle(model, make_record("efficientnet-lite0@32"), dataset, val, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
