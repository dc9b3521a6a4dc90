"""The same image gets the same prediction in the run's evaluation, every export, `predict` and `serve`."""

import dataclasses

import numpy as np
import pytest
from fastapi.testclient import TestClient

from bakeoff.data.batches import load_split
from bakeoff.deploy.bundle import QUANTIZATIONS, ClassScore, Format, ImageInput, open_bundle, predict
from bakeoff.deploy.export import TOLERANCES, calibrate, write_bundle
from bakeoff.deploy.export.parity import check_parity
from bakeoff.deploy.serve import Settings, make_app
from bakeoff.runs.calibration import softmax
from bakeoff.runs.config import override
from bakeoff.runs.predictions import Predictions
from bakeoff.training.inference import compile_forward, predict_logits
from factories import encode_png
from learned import learn

pytestmark = pytest.mark.kernels
EXACT = [(model_format, None) for model_format in Format]
EVERY = EXACT + [(model_format, quantize) for model_format, able in QUANTIZATIONS.items() for quantize in able]
IMAGES = 70


def _name(kind):
    return "-".join(part for part in kind if part)


def _in_order(bundle, answers):
    """The probabilities (n, classes) of predictions that list every class, in the order of the classes."""
    tables = [{named.label: named.probability for named in top} for top in answers]
    return np.array([[table[name] for name in bundle.class_names] for table in tables], np.float32)


def _check(trained, folder, model_format, quantize):
    """Compare an exported model with the run's own evaluation of the same images."""
    opened, val = open_bundle(folder), load_split(trained.dataset, "val")
    temperature = np.float32(calibrate(trained.predictions).temperature)
    expected = softmax(trained.predictions["val"].logits / temperature)[:IMAGES]
    # Uniform random predictions would agree within any tolerance.
    assert (expected.argmax(axis=1) == val.labels[:IMAGES]).mean() > 0.8
    assert expected.max(axis=1).std() > 0.01

    pictures = [encode_png(image) for image in val.images[:IMAGES]]
    sources = [ImageInput(str(number), lambda data=data: data) for number, data in enumerate(pictures)]
    patient = Settings(upload_seconds=600, request_seconds=600)
    with TestClient(make_app(opened, patient), base_url="http://127.0.0.1") as client:
        files = [("image", (str(number), data)) for number, data in enumerate(pictures[:20])]
        served = client.post("/predict?top=10", files=files).json()
        served += client.post("/predict?top=10", content=pictures[20], headers={"Content-Type": "image/png"}).json()
    said = {
        "the model": opened.probabilities(val.images[:IMAGES]),
        "predict": _in_order(opened, [answer.top for answer in predict(opened, sources, top=10)]),
        "serve": _in_order(opened, [[ClassScore(**named) for named in answer["top"]] for answer in served]),
    }
    for rows in said.values():
        check_parity(expected[: len(rows)], rows, TOLERANCES[model_format, quantize])


@pytest.mark.parametrize("kind", EVERY, ids=_name)
def test_lenet_predicts_the_same_everywhere(kind, lenet, bundled):
    _check(lenet, bundled(*kind), *kind)


def test_a_run_that_is_scored_with_the_mirror_image_is_exported_with_it(lenet, digits, tmp_path):
    config = override(lenet.record.config, ["train.flip_test=true"])
    val = load_split(digits, "val")
    predictions = Predictions(predict_logits(compile_forward(lenet.model), val, flip=True), val.labels, val.ids)
    record = lenet.record.model_copy(update={"config": config})
    trained = dataclasses.replace(lenet, record=record, predictions={"val": predictions})
    write_bundle(trained, tmp_path / "bundle", Format.ONNX)
    _check(trained, tmp_path / "bundle", Format.ONNX, None)
    assert np.abs(softmax(predictions.logits) - softmax(lenet.predictions["val"].logits)).max() > 0.01


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param("cnn-small", 32, marks=pytest.mark.slow),
        pytest.param("cnn-custom", 32, marks=pytest.mark.slow),
        pytest.param("efficientnet-lite0", 48, marks=pytest.mark.slow),
        pytest.param("efficientnet-lite1", 48, marks=pytest.mark.slow),
        pytest.param("efficientnet-lite2", 48, marks=pytest.mark.slow),
    ],
)
def test_a_network_predicts_the_same_everywhere(name, size, digits, tmp_path):
    trained = learn(name, size, digits)
    for model_format, quantize in EXACT:
        folder = tmp_path / _name((model_format, quantize))
        write_bundle(trained, folder, model_format, quantize)
        _check(trained, folder, model_format, quantize)
