"""Runs of a user's own network: what is on record, what opens their models again, and what travels to a node."""

import contextlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bakeoff
from bakeoff.cache import list_others
from bakeoff.deploy.bundle import Format, open_bundle, read_facts
from bakeoff.deploy.export.card import _plugin
from bakeoff.errors import ConfigError, DataError
from bakeoff.files import cache_dir, write_json
from bakeoff.launch import launch, node, open_test
from bakeoff.launch.messages import make_request
from bakeoff.launch.process import Worker
from bakeoff.networks.find import find_network
from bakeoff.networks.plugin import forget_plugins, pack_plugin, unpack_plugin
from bakeoff.networks.saved import open_model
from bakeoff.report.board import read_row
from bakeoff.runs.config import Run
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.record import RunRecord, Stage, State
from bakeoff.study.plan import StudyPlan
from bakeoff.study.state import _describe_difference
from own_networks import SCALE, look_here, write_module
from running import run_process, work_here
from test_node import Pretended


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> SimpleNamespace:
    """A run of a network with a layer of its own, in a folder with the module, its bundle, and the cache of both."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE_DIR", str(folder / "cache"))
        patch.chdir(folder)
        look_here(patch)
        work_here(patch)
        write_module(folder, "scaled", SCALE)
        run = Run().revised(
            model={"name": "scaled:NET", "source": find_network("scaled:NET").source, "size": 32},
            train={"epochs": None, "images": 128, "batch": 32, "evaluations": 1},
        )
        record = launch(run, stage=Stage.TRAIN, out=folder / "study", data=shards)
        assert record.state is State.COMPLETE, record.reason
        open_test(run_dir(folder / "study", record.id), shards, bundle=folder / "bundle")
    return SimpleNamespace(folder=folder, record=record, run=run, path=run_dir(folder / "study", record.id))


@pytest.fixture
def own(trained: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The same, where its user would be: in the folder of the module."""
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(trained.folder / "cache"))
    monkeypatch.chdir(trained.folder)
    forget_plugins()
    return trained


@pytest.fixture
def elsewhere(trained: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on another machine, where the module lies but was never named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "scaled", raising=False)
    shutil.copy(trained.folder / "scaled.py", tmp_path)
    forget_plugins()
    return tmp_path


def test_the_record_says_where_the_network_is_from(own: SimpleNamespace) -> None:
    record = own.record
    assert record.candidate == "scaled:NET@32"
    assert record.plugin.model_dump() == {
        "module": "scaled",
        "attribute": "NET",
        "source": record.config.model.source,
        "package": "",
        "licence": "MIT",
        "from_scratch": True,
        "objects": ("scaled:Scale",),
    }
    assert RunRecord.model_validate(json.loads(RunFolder(own.path).record.read_text())).plugin == record.plugin
    assert read_row(record).weights == "scratch"


def test_the_bundle_and_its_card_say_what_it_needs(own: SimpleNamespace) -> None:
    assert read_facts(own.folder / "bundle").plugin == own.record.plugin
    card = (own.folder / "bundle" / "model_card.md").read_text()
    assert f"The network is `scaled:NET`; SHA-256 of its source: `{own.record.plugin.source}`." in card
    assert "not Keras' own: `scaled:Scale`. Opening the model needs them: keep `scaled`" in card
    assert _plugin(own.record.plugin, Format.ONNX)[0].endswith("This format needs none of them.")


def test_a_saved_model_opens_again_with_its_layers(own: SimpleNamespace) -> None:
    images = np.zeros((2, 8, 8, 3), np.uint8)
    bundle = open_bundle(own.folder / "bundle")
    assert bundle.probabilities(images).shape == (2, 10)
    model = open_model(RunFolder(own.path).model, own.record.plugin)
    layers = [layer for inner in model.layers if hasattr(inner, "layers") for layer in inner.layers]
    assert [type(layer).__name__ for layer in layers if layer.name == "scaled"] == ["Scale"]


def test_a_file_never_makes_bakeoff_import_a_module(trained: SimpleNamespace, elsewhere: Path) -> None:
    with pytest.raises(ConfigError, match="asked for on this machine yet; `bakeoff models --check scaled:NET`"):
        open_bundle(trained.folder / "bundle")
    assert "scaled" not in sys.modules
    (elsewhere / "scaled.py").unlink()
    with pytest.raises(ConfigError, match="there is no module 'scaled'"):
        open_bundle(trained.folder / "bundle")


def test_a_network_that_was_named_there_is_enough(
    trained: SimpleNamespace, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert elsewhere.is_dir()
    look_here(monkeypatch)
    find_network("scaled:NET")
    assert open_bundle(trained.folder / "bundle").probabilities(np.zeros((1, 8, 8, 3), np.uint8)).shape == (1, 10)


def test_a_model_is_not_opened_with_another_source(
    trained: SimpleNamespace, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_here(monkeypatch)
    write_module(elsewhere, "scaled", SCALE + "\n    # edited\n")
    find_network("scaled:NET")
    with pytest.raises(ConfigError, match="scaled:NET is not what the model was trained with"):
        open_bundle(trained.folder / "bundle")


def test_a_run_of_an_edited_network_is_another_run(own: SimpleNamespace, shards: Path, tmp_path: Path) -> None:
    other = own.run.revised(model={"source": "f" * 64})
    with pytest.raises(ConfigError, match="scaled:NET has been edited since the run was planned"):
        launch(other, stage=Stage.TRAIN, out=tmp_path, data=shards)


@pytest.mark.parametrize("kind", ["study", "comparison"])
def test_a_study_of_an_edited_network_is_not_resumed_and_says_so(kind: str) -> None:
    def plan(source: str) -> SimpleNamespace:
        asked = {
            "study": {"sources": {"nets:NET": source}, "candidates": ["nets:NET"]},
            "comparison": {"runs": [{"model": {"name": "nets:NET", "source": source}, "data": {"source": "digits"}}]},
        }[kind]
        return SimpleNamespace(asked=asked)

    data = SimpleNamespace(fingerprint="f")
    study = SimpleNamespace(data=data, plan=plan("1" * 64), command="")
    words = _describe_difference(study, plan("2" * 64), data)
    assert words == (
        "its network nets:NET has been edited since: the SHA-256 of its source was 111111111111…, and is 222222222222…;"
        " with the source of then it goes on"
    )


def test_an_older_plan_has_no_sources() -> None:
    assert StudyPlan.model_fields["sources"].default == {}


def test_a_network_travels_to_a_node_with_its_package(
    own: SimpleNamespace, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = make_request(own.record, own.path, shards, limit=None, threads=1, environment={})
    place = f"sent-{own.record.plugin.source[:32]}"
    assert f"{place}/scaled.py" in request.plugin_files
    offered = pack_plugin(own.record.plugin, "scaled-net")
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path / "node"))
    monkeypatch.chdir(tmp_path)
    environment = unpack_plugin(own.record.plugin, offered)
    assert environment["PYTHONSAFEPATH"] == "1"
    folder = cache_dir() / "networks" / place
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == str(folder)
    assert (folder / "scaled.py").read_text() == (own.folder / "scaled.py").read_text()
    assert list_others() == []
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    forget_plugins()
    # Its facts came along, so nothing is looked at again; the name is that of an entry point.
    for name in ("scaled:NET", "scaled-net"):
        assert find_network(name).source == own.record.plugin.source


def test_what_leads_out_of_the_folder_of_a_node_is_refused(own: SimpleNamespace, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path))
    with pytest.raises(DataError, match="leads out of its folder"):
        unpack_plugin(own.record.plugin, {"../evil.py": b""})
    assert not (tmp_path / "evil.py").exists()


def test_a_damaged_bundle_is_still_named(own: SimpleNamespace, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(own.folder / "bundle", folder)
    facts = json.loads((folder / "bundle.json").read_text())
    facts["plugin"]["objects"] = []
    write_json(folder / "bundle.json", facts)
    # The layers are those of the network that was looked at, whatever a bundle says.
    assert open_bundle(folder).facts.plugin.objects == ()


@pytest.mark.slow
def test_a_run_on_a_node_is_of_the_source_that_was_sent(
    own: SimpleNamespace, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, in a folder with another module of that name."""

    def start(*arguments: Any, **options: Any) -> Worker:
        with contextlib.chdir(tmp_path):
            return Worker(*arguments, **options)

    (tmp_path / "scaled.py").write_text("raise RuntimeError('another module')\n")
    monkeypatch.setattr(node, "Worker", start)
    cluster = Pretended(tmp_path / "node")
    record = launch(own.run, stage=Stage.TRAIN, out=tmp_path / "far", data=shards, executor=cluster)
    assert (record.state, record.id) == (State.COMPLETE, own.record.id), record.reason
    assert record.plugin == own.record.plugin


@pytest.mark.slow
def test_a_study_with_a_network_of_ones_own_from_its_folder_to_a_served_answer(tmp_path: Path, monkeypatch) -> None:
    """In processes of their own, as a user does it."""
    monkeypatch.chdir(tmp_path)
    write_module(tmp_path, "scaled", SCALE)
    settings = ["model.name=scaled:NET", "model.size=32", "train.images=128", "train.batch=32", "train.evaluations=1"]
    done = run_process("train", "digits", *(part for each in settings for part in ("--set", each)))
    assert done.returncode == 0, done.stderr
    results = bakeoff.load("bakeoff-digits")
    assert run_process("evaluate", results.best_dir).returncode == 0
    done = run_process("export", results.best_dir, "--format", "keras", "--out", "bundle")
    assert done.returncode == 0, done.stderr
    assert results.best.plugin.objects == ("scaled:Scale",)
    (tmp_path / "scaled.py").write_text((tmp_path / "scaled.py").read_text() + "# edited\n")
    done = run_process("export", results.best_dir, "--format", "keras", "--out", "again")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "scaled:NET is not what the model was trained with" in done.stderr


def test_the_network_of_the_docs_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[1] / "docs" / "how-to" / "own-network.md").read_text(encoding="utf-8")
    network, scale = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    look_here(monkeypatch)
    used = network.replace("x, name=", "Scale(2.0)(x), name=").replace("def build(", scale + "\n\ndef build(", 1)
    for name, module in (("my_networks", network), ("my_scaled", used)):
        write_module(tmp_path, name, module)
        spec = find_network(f"{name}:TINY")
        assert (spec.licence, spec.native_size) == ("MIT", 64)
    assert spec.plugin.objects == ("my_scaled:Scale",)
