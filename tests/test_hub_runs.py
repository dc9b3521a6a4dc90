"""Studies with networks of presets: trained, recorded, exported in every format, carried to another machine."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras_hub")

from bakeoff.data.batches import load_split
from bakeoff.deploy.bundle import Format, Quantize, format_label, open_bundle
from bakeoff.deploy.export import TOLERANCES, FinishedRun, write_bundle
from bakeoff.errors import ConfigError
from bakeoff.networks.find import find_network
from bakeoff.runs.config import Candidate, Model, Precision
from bakeoff.runs.record import RunRecord, State, list_records
from bakeoff.study.defaults import default_size, progressive_sizes
from bakeoff.study.sizes import sizes_for
from presets import FAMILIES, SIDE, save_preset
from running import run_cli
from test_exports import LOOSE, prepare

QUICK = {"vit"}


@pytest.fixture
def folder(make_once: Any) -> Path:
    """The preset of a ViT."""
    made: Path = make_once("preset-vit", lambda folder: save_preset("vit", folder))
    return made


def train(folder: Path, out: Path, *settings: str) -> RunRecord:
    short = [word for setting in ("train.epochs=1", "train.subset=64", *settings) for word in ("--set", setting)]
    name = f"model.name=hub:{folder}"
    done = run_cli("train", "digits", "--set", name, "--set", f"model.size={SIDE}", *short, "--out", out)
    assert done.returncode == 0, done.stderr
    (record,) = list_records(out)
    return record


@pytest.mark.usefixtures("workers_here")
def test_a_run_says_where_its_network_is_from(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    record = train(folder, tmp_path / "study", "model.unfreeze=block2")
    assert record.state is State.COMPLETE
    assert record.candidate == f"hub:{folder}@{SIDE}"
    assert (record.weights.origin, record.weights.licence) == ("preset", "mit")
    assert record.weights.tensors_matched == record.weights.tensors_total > 0
    assert record.config.model.source == find_network(record.config.model.name).source != ""
    assert 0 < record.params_trainable < record.params_total
    run = tmp_path / "study" / "runs" / record.id
    done = run_cli("export", run, "--format", "onnx")
    assert done.returncode == 0, done.stderr
    card = next(tmp_path.rglob("model_card.md")).read_text()
    assert f"Starting weights: preset (hub:{folder}). Licence: mit." in card
    done = run_cli("board", tmp_path / "study", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    rows = shown["rows"] if isinstance(shown, dict) else shown
    assert (rows[0]["weights"], rows[0]["licence"]) == ("preset", "mit")


@pytest.mark.usefixtures("workers_here")
@pytest.mark.slow
def test_a_run_is_another_one_with_other_weights(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "preset"
    shutil.copytree(folder, copy)
    first = train(copy, tmp_path / "study")
    again = train(copy, tmp_path / "study")
    assert first == again
    import keras_hub

    model = keras_hub.models.Backbone.from_preset(str(copy))
    model.weights[0].assign(model.weights[0] + 1.0)
    model.save_weights(copy / "model.weights.h5")
    done = run_cli(
        *("train", "digits", "--set", f"model.name=hub:{copy}", "--set", f"model.size={SIDE}"),
        *("--set", "train.epochs=1", "--set", "train.subset=64", "--out", tmp_path / "study"),
    )
    assert done.returncode == 0, done.stderr
    assert len(list_records(tmp_path / "study")) == 2


def _exports() -> Iterator[Any]:
    for family in FAMILIES:
        for form, quantize in TOLERANCES:
            quick = family in QUICK and form is Format.ONNX and quantize is None
            label = f"{family}-{format_label(form, quantize)}"
            yield pytest.param(family, form, quantize, id=label, marks=() if quick else pytest.mark.slow)


@pytest.fixture(scope="module")
def prepared(request: pytest.FixtureRequest, make_once: Any, digits: Any) -> FinishedRun:
    """A run of a preset, which all its formats share."""
    folder = make_once(f"preset-{request.param}", lambda folder: save_preset(request.param, folder))
    return prepare(f"hub:{folder}", Precision.FLOAT32, digits)


@pytest.mark.parametrize(("prepared", "form", "quantize"), list(_exports()), indirect=["prepared"])
def test_a_network_leaves_in_every_format(
    prepared: FinishedRun,
    form: Format,
    quantize: Quantize | None,
    tmp_path: Path,
    record_property: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if quantize:
        monkeypatch.setitem(TOLERANCES, (form, quantize), LOOSE)
    parity = write_bundle(prepared, tmp_path / "bundle", form, quantize).parity
    record_property("gaps", f"worst {parity.worst_gap:.2g}, mean {parity.mean_gap:.2g}")  # for --junit-xml
    images = load_split(prepared.dataset, "val").images[:32]
    sums = open_bundle(tmp_path / "bundle").probabilities(images).sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_input_sizes_are_those_that_the_patches_allow(folder: Path) -> None:
    spec = find_network(f"hub:{folder}")
    assert default_size(spec, 32) == 32
    assert default_size(spec, 8) == 48
    assert all(size % 8 == 0 for side in (8, 32, 160) for size in sizes_for(spec, side))
    assert progressive_sizes(spec, 192) == ()


@pytest.mark.slow
def test_a_size_between_patches_is_one_line(folder: Path, tmp_path: Path) -> None:
    done = run_cli("run", "digits", "--candidates", f"hub:{folder}@36", "--out", tmp_path / "study")
    assert done.returncode == 2
    assert "the side of its input is a multiple of 8 pixels; give 32 or 40" in done.stderr
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
def test_a_network_of_one_size_has_no_further_sizes(folder: Path, tmp_path: Path) -> None:
    done = run_cli(
        *("train", "digits", "--set", f"model.name=hub:{folder}", "--set", f"model.size={SIDE}"),
        *("--set", "train.sizes=[16]", "--out", tmp_path / "study"),
    )
    assert done.returncode in (2, 3)
    assert "is built for one input size: remove train.sizes" in done.stderr


@pytest.mark.slow
def test_a_preset_can_be_exported_with_the_other_weights(folder: Path, tmp_path: Path) -> None:
    name = f"hub:{folder}"
    done = run_cli("weights", "export", tmp_path / "kit", "--networks", name, "--json")
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads(done.stdout)
    assert (entry["network"], entry["origin"]) == (name, "preset")
    done = run_cli("weights", "import", tmp_path / "kit", BAKEOFF_WEIGHTS_DIR=str(tmp_path / "mine"))
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "mine" / "presets").glob("*/model.weights.h5"))


def test_a_candidate_keeps_its_name() -> None:
    assert str(Candidate(name="hub:/a/b", size=32)) == "hub:/a/b@32"
    with pytest.raises(ConfigError):
        find_network("hub:/a/b")
    assert Model(name="hf://timm/resnet18.a1_in1k").name == "hf://timm/resnet18.a1_in1k"
