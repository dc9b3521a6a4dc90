"""Networks with all kinds of layers leave in every format, whatever precision they were trained in."""

import keras
import numpy as np
import pytest

from bakeoff.data.batches import load_split
from bakeoff.deploy.bundle import Format, format_label, open_bundle
from bakeoff.deploy.export import TOLERANCES, FinishedRun, Tolerance, write_bundle
from bakeoff.deploy.export.folder import PARITY_IMAGES
from bakeoff.networks.find import find_network
from bakeoff.networks.model import build_network
from bakeoff.networks.table import TABLE
from bakeoff.runs.config import Model, Precision, override
from bakeoff.runs.predictions import Predictions
from bakeoff.training.head import fit_head
from bakeoff.training.inference import compile_forward, predict_logits
from factories import make_record

pytestmark = pytest.mark.kernels

QUICK = {"lenet"}
# The smallest of those that one module builds stands for all of them. Deep ones amplify rounding.
DEEP = {"efficientnet-b7", "resnet-152-v2"}
FLOATS = [kind for kind in TOLERANCES if kind[1] is None]
# What is shipped computes in float32 after any precision, so one format shows that it can be built.
MIXED = [(Format.KERAS, None)]
KINDS = {Precision.FLOAT32: list(TOLERANCES), Precision.BFLOAT16: MIXED, Precision.FLOAT16: MIXED}
# Random weights lose more in fewer bits than trained ones. A failed conversion loses everything.
LOOSE = Tolerance(agreement=0.5, near_tie=0.1, mean_gap=0.3)
# Least moving variance of a channel, as a part of the mean of its normalisation.
LEAST_VARIANCE = 0.1


def prepare(name, precision, dataset):
    """A run of a network with random weights, whose head has learned to tell their features apart."""
    keras.utils.set_random_seed(0)
    row, classes = find_network(name), len(dataset.class_names)
    size = max(32, row.min_size)
    train, val = load_split(dataset, "train", subset=200), load_split(dataset, "val")
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision.value)
    try:
        network = build_network(row, Model(name=name, size=size), side=dataset.side, classes=classes)
    finally:
        keras.config.set_dtype_policy(policy)
    for layer in network.backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
        if type(layer).__name__ == "LayerScale":  # at first it makes all of a block of ConvNeXt a millionth
            layer.gamma.assign(np.full(layer.gamma.shape, 0.5))
    model, features = network.model(size), network.features(size)
    # Random moving averages would make the features of all images the same.
    features(train.images[:64], training=True)
    for layer in network.backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # Where almost nothing varies, a division by it would leave rounding alone: of EfficientNet-B7, Keras in a
            # graph and without one then differ by many times the features.
            variance = np.asarray(layer.moving_variance)
            layer.moving_variance.assign(np.maximum(variance, LEAST_VARIANCE * variance.mean()))
    compiled = compile_forward(features)
    head = fit_head(predict_logits(compiled, train), train.labels, classes)
    network.head.set_weights([head.kernel, head.bias])
    logits = head.logits(predict_logits(compiled, val))
    assert logits.std(axis=0).min() > 0.05
    record = make_record(f"{name}@{size}")
    record = record.model_copy(update={"config": override(record.config, [f"train.precision={precision.value}"])})
    predictions = {"val": Predictions(logits, val.labels, val.ids)}
    return FinishedRun(model, record, dataset, predictions, compile_forward(model))


@pytest.fixture(scope="module")
def prepared(request, digits):
    """The run of a network under a precision, which all its formats share."""
    return prepare(*request.param, digits)


def _rows():
    """The networks of one's own, one of each module of Keras, and the deep ones."""
    first = {}
    for row in sorted(TABLE, key=lambda row: row.params_total):
        function = row.builder.partition(":")[2]
        module = getattr(keras.applications, function).__module__ if row.hub_file else row.builder
        first.setdefault(module, row.name)
    return [row for row in TABLE if row.name in DEEP | set(first.values())]


def _cases():
    for row in _rows():
        quick = row.name in QUICK
        for precision in Precision:
            # pytest prepares a run once for all cases that have the same object.
            run = row.name, precision
            for form, quantize in FLOATS if quick else KINDS[precision]:
                label = f"{row.name}-{format_label(form, quantize)}-{precision}"
                marks = () if quick and precision is not Precision.FLOAT16 else pytest.mark.slow
                yield pytest.param(run, form, quantize, id=label, marks=marks)


@pytest.mark.parametrize(("prepared", "form", "quantize"), list(_cases()), indirect=["prepared"])
def test_a_network_leaves_in_every_format(prepared, form, quantize, tmp_path, record_property, monkeypatch):
    if quantize:
        monkeypatch.setitem(TOLERANCES, (form, quantize), LOOSE)
    parity = write_bundle(prepared, tmp_path / "bundle", form, quantize).parity
    record_property("gaps", f"worst {parity.worst_gap:.2g}, mean {parity.mean_gap:.2g}")  # for --junit-xml
    assert quantize or parity.images == PARITY_IMAGES
    images = load_split(prepared.dataset, "val").images[:32]
    sums = open_bundle(tmp_path / "bundle").probabilities(images).sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    weights = keras.models.load_model(tmp_path / "bundle" / "model.keras").weights if form is Format.KERAS else ()
    assert not {weight.dtype for weight in weights} & {"float16", "bfloat16"}
