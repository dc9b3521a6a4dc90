"""The settings of the user's own Keras programs, `keras.json` and KERAS_BACKEND, change nothing or are named."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from bakeoff.deploy.bundle import Format, open_bundle
from bakeoff.deploy.bundle.runtimes import open_runtime
from bakeoff.errors import BundleError, InputError
from bakeoff.launch import launch
from bakeoff.machine import tensorflow_environment
from bakeoff.runs.folder import run_dir
from bakeoff.runs.predictions import read_predictions
from bakeoff.runs.record import Stage
from learned import TINY

OTHERS = {"floatx": "float16", "image_data_format": "channels_first", "backend": "jax", "epsilon": 0.1}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """`settings(text)` is what the user's keras.json says."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras").mkdir()
    return (tmp_path / "keras" / "keras.json").write_text


def test_a_run_is_the_same_under_other_settings(finished, shards, settings, tmp_path, monkeypatch):
    settings(json.dumps(OTHERS))
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    record = launch(TINY, stage=Stage.TRAIN, out=tmp_path / "out", data=shards)
    assert (record.id, record.val) == (finished.record.id, finished.record.val)
    logits = [read_predictions(run_dir(out, record.id), "val").logits for out in (finished.out, tmp_path / "out")]
    np.testing.assert_array_equal(*logits)


@pytest.mark.slow
def test_a_bundle_answers_the_same_under_other_settings(bundled, settings, tmp_path):
    settings(json.dumps(OTHERS))
    code = (
        "import sys; from pathlib import Path; import numpy as np; from bakeoff.deploy.bundle import open_bundle\n"
        "bundle = open_bundle(Path(sys.argv[1])); images = np.random.default_rng(0).integers(\n"
        "    0, 256, (3, bundle.facts.side, bundle.facts.side, 3), np.uint8)\n"
        "import keras; np.save(sys.argv[2], bundle.probabilities(images)); print(keras.config.image_data_format())\n"
    )
    folder = bundled(Format.KERAS)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path / "answers.npy")],
        env=tensorflow_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["channels_first"]
    answers = np.load(tmp_path / "answers.npy")
    assert answers.dtype == np.float32
    model = keras.models.load_model(folder / "model.keras", compile=False)
    images = np.random.default_rng(0).integers(0, 256, (3, *model.input_shape[1:]), np.uint8)
    np.testing.assert_allclose(answers, model(images, training=False), atol=1e-6)


@pytest.mark.parametrize("text", ['{"floatx": "bfloat16"}', "[]"], ids=["unknown type", "no table"])
def test_settings_that_keras_cannot_use_are_named(text, shards, settings, tmp_path):
    settings(text)
    with pytest.raises(InputError, match=r"Keras does not start with .*keras\.json"):
        launch(TINY, stage=Stage.TRAIN, out=tmp_path / "out", data=shards)


def test_a_program_that_uses_keras_with_another_backend_is_told(bundled, monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(BundleError, match="this program has started Keras with jax"):
        open_bundle(bundled(Format.KERAS))


@pytest.mark.parametrize("form", [Format.KERAS, Format.SAVED_MODEL])
def test_a_program_that_asks_tensorflow_for_threads_too_late_is_told(form, tmp_path):
    keras.ops.zeros(1)  # starts TensorFlow
    with pytest.raises(
        BundleError, match=r"cannot have 77 threads: .* start a new one, or leave `threads` out"
    ) as raised:
        open_runtime(tmp_path, form, 77)
    assert "export it again" not in str(raised.value)
