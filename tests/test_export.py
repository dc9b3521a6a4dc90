"""Export: temperature, the parity check, and the files of a bundle."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from bakeoff.data.batches import load_split
from bakeoff.deploy.bundle import (
    Format,
    Quantize,
    ThresholdKind,
    ThresholdRule,
    check_format,
    closer_forms,
    measure_model,
    open_bundle,
    read_facts,
    write_facts,
)
from bakeoff.deploy.export import TOLERANCES, Tolerance, calibrate, folder, litert_file, model_file, write_bundle
from bakeoff.deploy.export.card import write_card
from bakeoff.deploy.export.parity import check_parity
from bakeoff.errors import BundleError, OutputError
from bakeoff.files import PARTIAL
from bakeoff.locks import hold
from bakeoff.runs.calibration import softmax
from bakeoff.runs.predictions import Predictions
from bakeoff.training.inference import compile_forward, predict_logits
from bakeoff.training.test import open_test

DEPLOY = Path(__file__).parents[1] / "docs" / "how-to" / "export.md"


@pytest.fixture
def bundle(bundled, tmp_path):
    return shutil.copytree(bundled(Format.KERAS), tmp_path / "bundle")


@pytest.fixture
def leaky(lenet, digits):
    """A run whose model has a Keras image layer, which is in training mode by default."""
    keras.utils.set_random_seed(0)
    side, classes = digits.side, len(digits.class_names)
    images = keras.Input((side, side, 3), dtype="uint8")
    x = keras.layers.Resizing(16, 16)(keras.layers.Rescaling(1 / 255)(images))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, strides=2)(x))
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    model = keras.Model(images, keras.layers.Dense(classes, kernel_initializer="random_normal")(x))
    val = load_split(digits, "val")
    forward = compile_forward(model)
    predictions = Predictions(predict_logits(forward, val), val.labels, val.ids)
    return dataclasses.replace(lenet, model=model, predictions={"val": predictions}, forward=forward)


def test_a_bundle_has_a_card_labels_and_hashes(bundle):
    card = (bundle / "model_card.md").read_text()
    for words in ("lenet@32", "95 % interval", "temperature of", "Licence: "):
        assert words in card
    for words in ("| top-1 | ", "| balanced accuracy | ", "| AUROC | ", "selected by top-1 on the validation split"):
        assert words in card
    assert json.loads((bundle / "labels.json").read_text())["classes"] == [str(digit) for digit in range(10)]
    assert sorted(json.loads((bundle / "bundle.json").read_text())["files"]) == [
        "labels.json",
        "model.keras",
        "model_card.md",
    ]


def test_the_card_of_a_balanced_run_says_for_which_images_its_confidence_is_right(bundle, lenet, digits):
    config = lenet.record.config
    cards = [
        write_card(
            lenet.record.model_copy(update={"config": config.revised(train={"balance": balance})}),
            digits,
            read_facts(bundle),
        )
        for balance in ("none", "logits")
    ]
    said = ["`train.balance = logits`" in card and "as frequent as in validation" in card for card in cards]
    assert said == [False, True]


def test_the_card_names_the_metric_that_decided_first(bundle, lenet, digits):
    config = lenet.record.config.revised(train={"metric": "balanced"})
    card = write_card(lenet.record.model_copy(update={"config": config}), digits, read_facts(bundle))
    assert "selected by balanced accuracy on the validation split" in card
    assert card.index("| balanced accuracy | ") < card.index("| top-1 | ")


def test_a_changed_file_is_noticed(bundle):
    labels = bundle / "labels.json"
    labels.write_text(labels.read_text().replace('"1"', '"7"'))
    with pytest.raises(BundleError, match=r"labels\.json.*hash"):
        open_bundle(bundle)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        open_bundle(tmp_path)


def test_a_bundle_never_replaces_something_else(lenet, tmp_path):
    (tmp_path / "thesis.tex").write_text("important")
    with pytest.raises(OutputError, match=r"holds something other than a bundle: thesis\.tex; move it away"):
        write_bundle(lenet, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_beside_a_bundle_is_never_deleted(lenet, bundle):
    (bundle / "saved_model").mkdir()
    (bundle / "notes").mkdir()
    (bundle / "notes" / "monday.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds something other than a bundle: notes; move it away"):
        write_bundle(lenet, bundle)
    assert (bundle / "notes" / "monday.txt").read_text() == "mine"
    shutil.rmtree(bundle / "notes")
    write_bundle(lenet, bundle)


def test_a_bundle_that_differs_from_the_run_is_never_written(lenet, bundle, monkeypatch):
    load, before = keras.models.load_model, (bundle / "bundle.json").read_bytes()

    def load_other(*args, **kwargs):
        loaded = load(*args, **kwargs)
        loaded.set_weights([weight * 0.5 for weight in loaded.get_weights()])
        return loaded

    monkeypatch.setattr(keras.models, "load_model", load_other)
    with pytest.raises(BundleError, match="differs from the run"):
        write_bundle(lenet, bundle)
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]
    assert (bundle / "bundle.json").read_bytes() == before


def test_a_model_whose_image_layer_leaks_training_mode_is_exported_right(leaky, tmp_path):
    assert write_bundle(leaky, tmp_path / "out", Format.ONNX).parity.agreement == 1.0


def test_the_check_catches_a_leak_of_training_mode(leaky, tmp_path, monkeypatch):
    def export_in_training_mode(model, *, flip, temperature):
        assert not flip
        return keras.Sequential([model, keras.layers.Rescaling(1 / temperature), keras.layers.Softmax()])

    monkeypatch.setattr(folder, "build_exported_model", export_in_training_mode)
    with pytest.raises(BundleError, match="differs from the run"):
        write_bundle(leaky, tmp_path / "out", Format.ONNX)
    assert not list(tmp_path.iterdir())


def test_a_saved_model_holds_every_weight_once(lenet, bundled):
    path = bundled(Format.SAVED_MODEL) / "saved_model" / "1" / "variables" / "variables.data-00000-of-00001"
    weights = 4 * lenet.model.count_params()
    assert weights <= path.stat().st_size < 1.2 * weights


@pytest.mark.parametrize("has_old", [False, True])
def test_the_files_of_a_killed_export_are_removed(has_old, tmp_path):
    """Killed during writing, and between removing the old folder and moving the new one to its place."""
    code = (
        "import os, sys; from pathlib import Path; from bakeoff.locks import replacing_folder\n"
        f"with replacing_folder(Path({str(tmp_path / 'bundle')!r})) as staged:\n"
        "    (staged / 'model').write_text('new')\n"
        f"    {has_old} and (staged.parent / 'old').mkdir()\n"
        "    os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert [path.name for path in tmp_path.iterdir()] == [f"{PARTIAL}bundle"]
    hold(tmp_path)
    names = ["bundle", "bundle/model"] if has_old else []
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {".lock", *names}


def test_the_temperature_is_limited_if_every_prediction_is_correct():
    predictions = Predictions(np.eye(4, dtype=np.float32) * 5, np.arange(4, dtype=np.int32))
    assert calibrate({"val": predictions}).temperature == 0.2


@pytest.mark.parametrize("quantize", [None, Quantize.INT8], ids=str)
def test_a_bundle_marks_answers_below_the_threshold_of_its_precision(lenet, digits, tmp_path, quantize):
    """By the probabilities that it returns itself, also where they are not those of the run."""
    rule = ThresholdRule(ThresholdKind.PRECISION, 0.99)
    run = dataclasses.replace(lenet, predictions=lenet.predictions | {"test": lenet.predictions["val"]})
    threshold = write_bundle(run, tmp_path / "out", Format.LITERT, quantize, rule=rule).threshold
    bundle, val = open_bundle(tmp_path / "out"), load_split(digits, "val")
    probabilities = bundle.probabilities(val.images)
    is_answered = np.array([not bundle.is_unsure(row) for row in probabilities])
    hits = probabilities.argmax(axis=1) == val.labels
    is_right = hits[is_answered]
    assert is_answered.mean() > 0.3
    # How well it has learned differs from machine to machine: if it is right often enough, all are answered.
    assert is_answered.all() == (hits.mean() >= 0.99)
    assert is_right.mean() >= 0.99
    assert threshold.val.answered == is_answered.sum()
    assert threshold.val.precision == is_right.mean()
    assert (threshold.test is None) == bool(quantize)
    assert bundle.min_confidence == read_facts(tmp_path / "out").threshold.min_confidence == threshold.min_confidence
    assert " ".join(threshold.sentences) in (tmp_path / "out" / "model_card.md").read_text()
    assert open_bundle(tmp_path / "out", min_confidence=0.4).min_confidence == 0.4


def test_a_bundle_without_a_threshold_marks_nothing(bundle):
    facts = json.loads((bundle / "bundle.json").read_text())
    del facts["threshold"]  # as in bundles of older versions
    (bundle / "bundle.json").write_text(json.dumps(facts))
    opened = open_bundle(bundle)
    assert opened.min_confidence is None
    assert opened.is_unsure(np.float32([0.5, 0.5])) is None


@pytest.mark.parametrize("kind", TOLERANCES, ids=lambda kind: "-".join(str(part) for part in kind if part))
def test_parity_accepts_rounding_and_refuses_another_class_or_nan(kind):
    expected = softmax(np.random.default_rng(0).normal(0, 3, (200, 10)).astype(np.float32))
    assert check_parity(expected, expected + np.float32(1e-7), TOLERANCES[kind]).agreement == 1.0
    with pytest.raises(BundleError, match="differs from the run"):
        check_parity(expected, np.roll(expected, 1, axis=1), TOLERANCES[kind])
    broken = expected.copy()
    broken[0, 0] = np.nan
    with pytest.raises(BundleError, match="not numbers"):
        check_parity(expected, broken, TOLERANCES[kind])


@pytest.mark.parametrize("form", [Format.KERAS, Format.SAVED_MODEL])
def test_a_format_without_quantisation_names_those_with_it(form):
    with pytest.raises(BundleError, match=r"cannot be quantised.*onnx or litert"):
        check_format(form, Quantize.INT8)


@pytest.mark.parametrize("quantize", [None, *Quantize])
def test_the_documentation_states_the_tolerances(quantize):
    found = TOLERANCES[Format.LITERT, quantize]
    kind, images = (f"`{quantize}`", "all of validation") if quantize else ("not quantised", folder.PARITY_IMAGES)
    row = f"| {kind} | {images} | {found.agreement:.0%} | {found.near_tie} | {found.mean_gap} | {found.worst_gap:g} |"
    assert row in DEPLOY.read_text(encoding="utf-8")


@pytest.mark.parametrize("form", [Format.SAVED_MODEL, Format.LITERT], ids=str)
def test_a_bundle_is_written_and_opened_whatever_its_folder_is_called(lenet, bundled, digits, tmp_path, form):
    odd = tmp_path / "a[1]*?\\ #%20."
    write_bundle(lenet, odd, form)
    images = load_split(digits, "val").images[:4]
    expected = open_bundle(bundled(form)).probabilities(images)
    np.testing.assert_allclose(open_bundle(odd).probabilities(images), expected, atol=1e-6)


def _run_of(model, lenet, digits):
    """A run of any model, with what it predicts for validation images."""
    val = load_split(digits, "val")
    forward = compile_forward(model)
    predictions = Predictions(predict_logits(forward, val), val.labels, val.ids)
    assert predictions.logits.std(axis=0).min() > 0.01
    return dataclasses.replace(lenet, model=model, predictions={"val": predictions}, forward=forward)


def test_maps_of_one_pixel_are_normalised_right(lenet, digits, tmp_path):
    """As in ConvNeXt at 32 pixels."""
    keras.utils.set_random_seed(0)
    images = keras.Input((digits.side, digits.side, 3), dtype="uint8")
    x = keras.layers.Conv2D(8, digits.side)(keras.layers.Rescaling(1 / 255)(images))
    x = keras.layers.Conv2D(8, 3, padding="same", groups=8)(x)
    x = keras.layers.Dense(16, activation="gelu")(keras.layers.LayerNormalization(epsilon=1e-6)(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(images, keras.layers.Dense(10, kernel_initializer="he_normal")(x))
    assert write_bundle(_run_of(model, lenet, digits), tmp_path / "out", Format.ONNX).parity.agreement == 1.0


@pytest.mark.parametrize("form", [Format.ONNX, Format.LITERT], ids=str)
def test_layers_that_the_converters_do_not_know_are_exported_right(lenet, digits, tmp_path, form):
    """Those of EfficientNet, ConvNeXt and ResNeXt, and large images made smaller."""
    keras.utils.set_random_seed(0)
    images = keras.Input((digits.side, digits.side, 3), dtype="uint8")
    x = keras.layers.Resizing(16, 16, antialias=True)(keras.layers.Rescaling(1 / 255)(images))
    x = keras.layers.Normalization(mean=[0.5, 0.4, 0.3], variance=[0.1, 0.2, 0.3])(x)
    stem = keras.Sequential([keras.layers.Conv2D(8, 4, strides=4), keras.layers.LayerNormalization(epsilon=1e-6)])
    x = keras.layers.Conv2D(16, 3, padding="same", groups=8, bias_initializer="random_normal")(stem(x))
    x = keras.layers.Conv2D(8, 3, padding="same", groups=4, activation="relu")(x)
    x = keras.layers.Flatten()(keras.layers.Activation("gelu")(x))
    model = keras.Model(images, keras.layers.Dense(len(digits.class_names), kernel_initializer="he_normal")(x))
    model = keras.models.model_from_json(model.to_json())  # as from a file
    run = _run_of(model, lenet, digits)
    assert write_bundle(run, tmp_path / "out", form).parity.agreement == 1.0


class Inside(keras.layers.Layer):
    """A layer whose call has operations that no layer of Keras' shows."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(16, activation="gelu")

    def call(self, x):
        x = keras.activations.celu(self.dense(x))
        return keras.ops.log1p(keras.ops.relu(x)) + keras.ops.erfc(x)


class Rolls(keras.layers.Layer):
    """Moves windows as Swin does, also all the way round and not at all."""

    def call(self, x):
        x = keras.ops.roll(x, (-3, 1), axis=(1, 2)) + keras.ops.roll(x, 9, axis=-2)
        return keras.layers.Flatten()(keras.ops.gelu(keras.ops.roll(x, 8, axis=1) * x, approximate=False))


@pytest.mark.parametrize(
    ("form", "layers"),
    [
        pytest.param(Format.ONNX, lambda: [keras.layers.Flatten(), Inside()], id="onnx"),
        pytest.param(Format.LITERT, lambda: [Rolls()], id="litert"),
    ],
)
def test_operations_that_a_format_has_not_are_written_with_others_wherever_they_are(
    lenet, digits, tmp_path, form, layers
):
    keras.utils.set_random_seed(0)
    images = x = keras.Input((digits.side, digits.side, 3), dtype="uint8")
    for layer in (keras.layers.Rescaling(1 / 255), *layers()):
        x = layer(x)
    model = keras.Model(images, keras.layers.Dense(len(digits.class_names), kernel_initializer="he_normal")(x))
    run = _run_of(model, lenet, digits)
    parity = write_bundle(run, tmp_path / "out", form).parity
    assert parity.agreement == 1.0
    assert parity.worst_gap < 1e-5


@pytest.fixture
def reversing(lenet, digits):
    """A run whose model takes colours in the order of VGG and ResNet-50."""
    keras.utils.set_random_seed(0)
    images = keras.Input((digits.side, digits.side, 3), dtype="uint8")
    x = keras.ops.flip(keras.layers.Rescaling(1.0)(images), axis=-1)
    x = keras.layers.Rescaling(1.0, offset=[-103.9, -116.8, -123.7])(x)
    x = keras.layers.Flatten()(keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x))
    model = keras.Model(images, keras.layers.Dense(10, kernel_initializer=keras.initializers.RandomNormal(0, 0.005))(x))
    val = load_split(digits, "val")
    forward = compile_forward(model)
    logits = predict_logits(forward, val)
    predictions = Predictions(logits, logits.argmax(axis=1).astype(np.int32), val.ids)
    return dataclasses.replace(lenet, model=model, predictions={"val": predictions}, forward=forward)


def test_a_bundle_whose_precision_cannot_be_had_is_not_written(reversing, tmp_path):
    with pytest.raises(BundleError, match=r"--precision 0\.99 cannot be had on validation"):
        write_bundle(reversing, tmp_path / "out", rule=ThresholdRule(ThresholdKind.PRECISION, 0.99))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", [Format.ONNX, Format.LITERT], ids=str)
def test_colours_in_another_order_survive_int8(reversing, tmp_path, form):
    assert write_bundle(reversing, tmp_path / "out", form, Quantize.INT8).parity.near_agreement >= 0.97


@pytest.mark.parametrize("form", [Format.ONNX, Format.LITERT], ids=str)
def test_what_divides_by_deviations_survives_int8(lenet, digits, tmp_path, form):
    """Parts of the images are black: their variance is zero, and that of others is not."""
    keras.utils.set_random_seed(0)
    images = keras.Input((digits.side, digits.side, 3), dtype="uint8")
    x = keras.layers.Reshape((-1, 16))(keras.layers.Conv2D(16, 4, strides=4)(keras.layers.Rescaling(1 / 255)(images)))
    for _ in range(2):
        x += keras.layers.Dense(16, activation="gelu")(keras.layers.LayerNormalization(epsilon=1e-6)(x))
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.LayerNormalization(epsilon=1e-6)(x))
    model = keras.Model(images, keras.layers.Dense(10, kernel_initializer=keras.initializers.RandomNormal(0, 1))(x))
    run = _run_of(model, lenet, digits)
    assert write_bundle(run, tmp_path / "out", form, Quantize.INT8).parity.worst_gap < 0.3


@pytest.mark.slow
def test_the_operation_that_spoils_int8_is_named(reversing, tmp_path, monkeypatch):
    """LiteRT's reversal copies bytes, and the converter gives its result another scale."""
    monkeypatch.setattr(litert_file, "_FLOAT_OPERATIONS", ["SOFTMAX", "LOG"])
    with pytest.raises(BundleError, match=r"REVERSE_V2 at .* the first .* far off, .*; choose --quantize dynamic"):
        write_bundle(reversing, tmp_path / "out", Format.LITERT, Quantize.INT8)
    assert not list(tmp_path.iterdir())


def test_a_bundle_says_which_versions_wrote_it(bundle):
    versions = json.loads((bundle / "bundle.json").read_text())["versions"]
    assert versions["keras"] == keras.__version__
    assert versions["tensorflow"]
    assert (
        f"Keras {keras.__version__} and TensorFlow {versions['tensorflow']}" in (bundle / "model_card.md").read_text()
    )


@pytest.mark.parametrize(("written_by", "opens"), [("3.9999.1", False), ("4.0", False), (keras.__version__, True)])
def test_a_file_of_a_newer_keras_is_named(bundle, written_by, opens):
    facts = read_facts(bundle)
    write_facts(bundle, facts.model_copy(update={"versions": {"keras": written_by, "tensorflow": "2.21"}}))
    if opens:
        open_bundle(bundle)
    else:
        with pytest.raises(BundleError, match=rf"written by Keras {written_by}, and Keras {keras.__version__}"):
            open_bundle(bundle)


def test_a_saved_model_without_a_numbered_folder_is_opened(bundled, digits, tmp_path):
    """As older versions of bakeoff wrote it."""
    old = shutil.copytree(bundled(Format.SAVED_MODEL), tmp_path / "old")
    (old / "saved_model").rename(old / "all")
    (old / "all" / "1").rename(old / "saved_model")
    facts = read_facts(old)
    files = {name.replace("saved_model/1/", "saved_model/"): digest for name, digest in facts.files.items()}
    write_facts(old, facts.model_copy(update={"files": files, "versions": {}}))
    images = load_split(digits, "val").images[:4]
    expected = open_bundle(bundled(Format.SAVED_MODEL)).probabilities(images)
    np.testing.assert_array_equal(open_bundle(old).probabilities(images), expected)


@pytest.mark.parametrize("form", [Format.LITERT, Format.ONNX])
def test_an_open_bundle_answers_batches_of_every_size_after_its_files_are_gone(bundled, digits, tmp_path, form):
    images = load_split(digits, "val").images[:3]
    expected = open_bundle(bundled(form)).probabilities(images)
    folder = shutil.copytree(bundled(form), tmp_path / "bundle")
    opened = open_bundle(folder)
    shutil.rmtree(folder)
    np.testing.assert_array_equal(opened.probabilities(images), expected)


def test_a_model_is_timed_on_the_processor_also_where_there_is_a_gpu(tmp_path, monkeypatch):
    hidden = []

    def run(command, *, env, **_):
        hidden.append(env["CUDA_VISIBLE_DEVICES"])
        return subprocess.CompletedProcess(command, 1, "", "that is enough")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(BundleError, match="that is enough"):
        measure_model(tmp_path / "model.keras", Format.KERAS, 8)
    assert hidden == ["-1"]


def test_what_is_compared_with_other_runtimes_is_computed_in_full_float32(lenet, tmp_path):
    """On GPUs; on processors float32 has all its bits anyway, but the setting is there."""
    is_rounded = tf.config.experimental.tensor_float_32_execution_enabled
    seen = []

    def forward(_images):
        seen.append(is_rounded())
        raise InterruptedError

    with pytest.raises(InterruptedError):
        write_bundle(dataclasses.replace(lenet, forward=forward), tmp_path / "bundle")
    with pytest.raises(InterruptedError):
        open_test(SimpleNamespace(folder=tmp_path, record=lenet.record, dataset=lenet.dataset, forward=forward))
    assert (seen, is_rounded()) == ([False, False], True)


@pytest.mark.parametrize(
    ("form", "quantize", "advice"),
    [
        (Format.ONNX, None, "choose --format keras or saved_model or litert"),
        (Format.ONNX, Quantize.INT8, "--quantize float16 and no --quantize fail too; choose --format keras or"),
    ],
    ids=["float32", "int8"],
)
def test_a_converter_that_fails_is_one_line_with_what_to_export_instead(
    lenet, tmp_path, monkeypatch, form, quantize, advice
):
    def fail(*_):
        raise ValueError("no operation Erfc\nat node 7")

    monkeypatch.setattr(model_file, f"write_{form}", fail)
    with pytest.raises(BundleError) as caught:
        write_bundle(lenet, tmp_path / "out", form, quantize)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("lenet@32 cannot be exported as")
    assert "ValueError: no operation Erfc" in line
    assert advice in line
    assert not list(tmp_path.iterdir())


def test_a_failed_check_names_the_limit_by_how_much():
    expected = softmax(np.eye(4, dtype=np.float32) * 5)
    with pytest.raises(BundleError, match=r"off by 0\.0073 in the mean \(at most 0\.0001\)$") as caught:
        check_parity(expected, expected * 0.99 + 0.0025, Tolerance(1.0, 0.0, 1e-4))
    assert "the same class" not in str(caught.value)


@pytest.mark.slow
def test_a_quantised_form_that_fails_names_the_next_one_that_holds(lenet, tmp_path, monkeypatch):
    for quantize in (Quantize.INT8, Quantize.DYNAMIC):
        monkeypatch.setitem(TOLERANCES, (Format.LITERT, quantize), Tolerance(1.0, 0.0, 1e-9))
    steps = []
    with pytest.raises(BundleError, match="--quantize float16, which was tried and holds"):
        write_bundle(
            lenet, tmp_path / "out", Format.LITERT, Quantize.INT8, on_step=lambda doing, _: steps.append(doing)
        )
    assert steps == ["writing litert", "trying litert-dynamic", "trying litert-float16"]
    assert not list(tmp_path.iterdir())


def test_the_closer_forms_end_without_quantisation():
    assert closer_forms(Format.ONNX, Quantize.INT8) == [Quantize.FLOAT16, None]
    assert closer_forms(Format.LITERT, Quantize.DYNAMIC) == [Quantize.FLOAT16, None]
    assert closer_forms(Format.KERAS, None) == []


@pytest.mark.parametrize("kind", TOLERANCES, ids=lambda kind: "-".join(str(part) for part in kind if part))
def test_probabilities_sum_to_one_in_every_form(bundled, digits, kind):
    sums = open_bundle(bundled(*kind)).probabilities(load_split(digits, "val").images[:32]).sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=1e-5)
