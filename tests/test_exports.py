"""Every network of the table leaves in every format, whatever precision it was trained in."""

import keras
import numpy as np
import pytest

from bakeoff.data.batches import load_split
from bakeoff.deploy.bundle import Format
from bakeoff.deploy.export import FinishedRun, write_bundle
from bakeoff.deploy.export.folder import PARITY_IMAGES
from bakeoff.networks.model import build_network
from bakeoff.networks.table import TABLE, find_network
from bakeoff.runs.config import Model, Precision, override
from bakeoff.runs.predictions import Predictions
from bakeoff.training.inference import compile_forward, predict_logits
from factories import make_record

pytestmark = pytest.mark.kernels

QUICK = {"lenet"}
FORMATS = [(form, Precision.FLOAT32) for form in Format]
# What is shipped computes in float32 after any precision, so one format shows that it can be built.
MIXED = [(Format.KERAS, Precision.BFLOAT16), (Format.KERAS, Precision.FLOAT16)]
ALL = [(form, precision) for form in Format for precision in Precision]
CASES = [(row.name, *kind) for row in TABLE for kind in (ALL if row.name in QUICK else FORMATS + MIXED)]


def prepare(name, precision, dataset):
    """A run of a network with random weights, whose answers depend on the image."""
    keras.utils.set_random_seed(0)
    row, classes = find_network(name), len(dataset.class_names)
    size = max(32, row.min_size)
    val = load_split(dataset, "val", subset=PARITY_IMAGES)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision.value)
    try:
        network = build_network(row, Model(name=name, size=size), side=dataset.side, classes=classes)
    finally:
        keras.config.set_dtype_policy(policy)
    for layer in network.backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model, features = network.model(size), network.features(size)
    # Random moving averages would make the features of all images the same.
    features(val.images[:], training=True)
    found = predict_logits(compile_forward(features), val)
    chosen = np.argsort(-found.std(axis=0))[:classes]
    kernel = np.zeros((found.shape[1], classes), np.float32)
    kernel[chosen, range(classes)] = 2 / (found[:, chosen].std(axis=0) + 1e-6)
    network.head.set_weights([kernel, -found.mean(axis=0) @ kernel])
    logits = predict_logits(compile_forward(model), val)
    assert logits.std(axis=0).min() > 1.0
    record = make_record(f"{name}@{size}")
    record = record.model_copy(update={"config": override(record.config, [f"train.precision={precision.value}"])})
    return FinishedRun(model, record, dataset, {"val": Predictions(logits, val.labels, val.ids)})


@pytest.mark.parametrize(
    ("name", "form", "precision"),
    [
        pytest.param(*case, id="-".join(case), marks=() if case[0] in QUICK else pytest.mark.slow)
        for case in sorted(CASES)
    ],
)
def test_a_network_leaves_in_every_format(name, form, precision, digits, tmp_path, record_property):
    parity = write_bundle(prepare(name, precision, digits), tmp_path / "bundle", form).parity
    record_property("gaps", f"worst {parity.worst_gap:.2g}, mean {parity.mean_gap:.2g}")  # for --junit-xml
    assert parity.images == PARITY_IMAGES
    weights = keras.models.load_model(tmp_path / "bundle" / "model.keras").weights if form is Format.KERAS else ()
    assert {weight.dtype for weight in weights} <= {"float32"}
