"""`bakeoff info`: what a report of a fault needs, and nothing private."""

import json
import os
import tomllib
from pathlib import Path

import bakeoff
from bakeoff.api.info import _EXTRAS
from bakeoff.machine import count_cores, tensorflow_settings
from running import run_cli


def test_it_names_versions_machine_and_what_is_at_hand(monkeypatch, tmp_path):
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path / "not" / "there"))
    done = run_cli("info", "--json")
    found = json.loads(done.stdout)
    assert (found["versions"]["bakeoff"], found["cores"]) == (bakeoff.__version__, count_cores())
    assert "efficientnet-lite0" in found["weights_at_hand"]
    assert found["cache_bytes"] == {}
    assert 0 < found["free_memory_bytes"] <= found["memory_bytes"]
    shown = run_cli("info").stdout
    assert all(word in shown for word in ("processor", found["versions"]["keras"], "efficientnet-lite0"))


def test_it_shows_neither_folders_nor_secrets(monkeypatch, tmp_path):
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path / "alice"))
    monkeypatch.setenv("BAKEOFF_TOKEN", "s3cr3t")
    monkeypatch.setenv("OMP_NUM_THREADS", "333")
    settings = bakeoff.info().settings
    assert settings["BAKEOFF_CACHE_DIR"] == settings["BAKEOFF_TOKEN"] == "set"
    assert settings["OMP_NUM_THREADS"] == "333"
    text = run_cli("info").stdout
    assert not any(word in text for word in ("alice", "s3cr3t", str(Path.home())))


def test_it_leaves_out_what_bakeoff_sets_itself(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("KERAS_", "OMP_"))]:
        monkeypatch.delenv(name)
    with tensorflow_settings():
        assert "KERAS_BACKEND" not in bakeoff.info().settings
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert bakeoff.info().settings["KERAS_BACKEND"] == "set"


def test_every_extra_for_users_is_named():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert set(project["optional-dependencies"]) - {"cpu", "gpu", "build", "dev", "docs"} <= set(_EXTRAS)
