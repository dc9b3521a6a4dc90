"""Presets are downloaded by the hubs' own packages, here from a server on this machine."""

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("huggingface_hub")
pytest.importorskip("keras_hub")

from bakeoff.cache import list_others
from bakeoff.errors import WeightsError
from bakeoff.networks.hub import download_preset, fetch, find_lack
from bakeoff.networks.hub.fetch import _explain, _watch
from bakeoff.networks.hub.places import expect_bytes
from bakeoff.study import presets
from bakeoff.study.presets import fetch_presets
from test_hub import write, write_preset, write_timm

REVISION = "0123456789abcdef0123456789abcdef01234567"
NAME = "kaggle://me/vit/keras/tiny"
DOWNLOAD = (
    "import sys; from bakeoff.errors import BakeoffError; from bakeoff.networks.hub import download_preset\n"
    "try: download_preset(sys.argv[1], lambda size: None, sys.exit, float(sys.argv[2]))\n"
    "except BakeoffError as error: sys.exit(str(error))\n"
)


class _Hub(BaseHTTPRequestHandler):
    """What `huggingface_hub` asks of Hugging Face's hub, for the files of one folder."""

    folder: Path

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        if "gated" in self.path:
            return self._send(403, b"{}", {"X-Error-Code": "GatedRepo"}, body=body)
        if "/me/mine" not in self.path:
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body=body)
        name = self.path.partition("?")[0].rpartition("/")[2]
        if (path := self.folder / name).is_file():
            return self._send(200, path.read_bytes(), {"X-Repo-Commit": REVISION, "ETag": f'"{name}"'}, body=body)
        files = sorted(self.folder.iterdir())
        if "/tree/" in self.path:
            table = [
                {"type": "file", "path": each.name, "size": each.stat().st_size, "oid": REVISION} for each in files
            ]
            return self._send(200, json.dumps(table).encode(), {"Content-Type": "application/json"}, body=body)
        listed = [{"rfilename": each.name, "size": each.stat().st_size} for each in files]
        facts = {"id": "me/mine", "sha": REVISION, "siblings": listed, "private": False, "tags": [], "downloads": 0}
        return self._send(200, json.dumps(facts).encode(), {"Content-Type": "application/json"}, body=body)

    def _send(self, code: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(code)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a hub with one checkpoint of timm, and a file of code beside it."""
    _Hub.folder = write_timm(tmp_path / "served")
    (_Hub.folder / "evil.py").write_text("raise SystemExit")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a preset in the cache of Kaggle: that of NAME."""
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    return write_preset(tmp_path.joinpath("kaggle", "models", *NAME.split("/")[2:], "2"))


def download(name: str, endpoint: str, home: Path, limit: float = math.inf) -> subprocess.CompletedProcess[str]:
    """Download in a process of its own, as `huggingface_hub` reads its settings when it is imported."""
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-c", DOWNLOAD, name, str(limit)], env=environment, capture_output=True, text=True, timeout=120
    )


def test_a_preset_is_downloaded_into_the_cache_of_its_hub(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = download("hf://me/mine", server, tmp_path / "hf")
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    from bakeoff.networks.find import find_network

    spec = find_network("hf://me/mine")
    assert (spec.family, spec.licence) == ("resnet", "apache-2.0")
    assert sorted(path.name for path in Path(spec.preset).iterdir()) == ["config.json", "model.safetensors"]


def test_what_is_larger_than_the_limit_is_not_downloaded(server: str, tmp_path: Path) -> None:
    kept = [path for path in _Hub.folder.iterdir() if path.suffix != ".py"]
    size = sum(path.stat().st_size for path in kept)
    done = download("hf://me/mine", server, tmp_path / "hf", size - 1)
    assert done.returncode == 1
    says = "cannot download hf://me/mine (its 0 MB are more than the 0 MB that --download-limit leaves); raise it"
    assert done.stderr.strip().splitlines()[-1] == says
    assert not list(tmp_path.glob("hf/hub/*/blobs/*"))
    done = download("hf://me/mine", server, tmp_path / "hf", size)
    assert done.returncode == 0, done.stderr
    # Of what is here nothing is downloaded again.
    (weights,) = tmp_path.glob("hf/hub/*/snapshots/*/model.safetensors")
    weights.resolve().unlink()
    weights.unlink()
    done = download("hf://me/mine", server, tmp_path / "hf", (_Hub.folder / weights.name).stat().st_size)
    assert done.returncode == 0, done.stderr
    assert weights.is_file()


def test_a_preset_of_kaggle_is_expected_to_have_the_size_of_its_parameters(tmp_path: Path) -> None:
    expected = 4 * 85_798_656
    assert expect_bytes("hub:vit_base_patch16_224_imagenet") == expected
    # Before anything is asked.
    done = download("hub:vit_base_patch16_224_imagenet", "http://127.0.0.1:9", tmp_path, 300e6)
    assert "its 343 MB are more than the 300 MB that --download-limit leaves" in done.stderr


class _Steps(threading.Event):
    """The end of a download, which comes after a few steps of it."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        super().__init__()
        self.steps = [*steps]

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - nothing is waited for
        if self.steps:
            self.steps.pop(0)()
            return False
        return True


def watch(folder: Path, *steps: Callable[[], object]) -> list[str]:
    """Why a download is given up of which 10 bytes may arrive."""
    reasons = list[str]()
    _watch(folder, _Steps(*steps), lambda _: None, reasons.append, 10)
    assert all("--download-limit" in reason for reason in reasons)
    return reasons


@pytest.mark.parametrize(("bytes_", "given_up"), [(10, 0), (11, 1)])
def test_files_that_grow_above_the_limit_are_given_up(bytes_: int, given_up: int, preset: Path) -> None:
    weights = preset / "model.weights.h5"
    before = weights.read_bytes()
    assert len(watch(preset.parent, lambda: weights.write_bytes(before + bytes(bytes_)))) == given_up


@pytest.mark.parametrize(("bytes_", "given_up"), [(10, 0), (11, 1)])
def test_an_archive_that_grows_above_the_limit_is_given_up(bytes_: int, given_up: int, tmp_path: Path) -> None:
    archive, unpacked = tmp_path / "1.archive", tmp_path / "model.weights.h5"
    archive.write_bytes(bytes(20))  # of a download that was interrupted
    steps = (
        lambda: archive.write_bytes(bytes(20 + bytes_)),
        lambda: unpacked.write_bytes(bytes(100)),
        archive.unlink,
    )
    assert len(watch(tmp_path, *steps)) == given_up


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:30])


INTERRUPTED: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: [path.unlink() for path in folder.iterdir()],
    "no weights": lambda folder: (folder / "model.weights.h5").unlink(),
    "half of the weights": lambda folder: _cut(folder / "model.weights.h5"),
    "half of the configuration": lambda folder: _cut(folder / "config.json"),
    "no scaling": lambda folder: (folder / "image_converter.json").unlink(),
}


@pytest.mark.parametrize("left", INTERRUPTED)
def test_a_preset_that_is_not_whole_is_downloaded_further(
    left: str, preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    INTERRUPTED[left](preset)
    with pytest.raises(WeightsError, match=f"{NAME} is not whole on this machine, and downloads are switched off"):
        fetch_presets([NAME], lambda *_: None)
    monkeypatch.delenv("BAKEOFF_OFFLINE")
    monkeypatch.setattr(presets, "_check_presets", lambda *_: None)
    asked_for = list[str]()

    def fetch_preset(name: str, *_: Any, **__: Any) -> None:
        asked_for.append(name)
        write_preset(preset)

    monkeypatch.setattr(presets, "fetch_preset", fetch_preset)
    for _ in range(2):
        fetch_presets([NAME], lambda *_: None)
    assert asked_for == [NAME]


def test_the_weights_of_a_repository_of_which_only_the_configuration_is_here_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    kept = tmp_path / "hub" / "models--me--mine"
    folder = write_timm(kept / "snapshots" / REVISION)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(REVISION)
    assert not find_lack("hf://me/mine")
    (folder / "model.safetensors").unlink()
    assert find_lack("hf://me/mine") == "is not whole on this machine"
    assert find_lack("hf://me/other") == "is not on this machine"


def test_a_folder_and_a_preset_of_no_use_are_not_downloaded(preset: Path) -> None:
    (preset / "model.weights.h5").unlink()
    assert find_lack(NAME)
    assert not find_lack(f"hub:{preset}")
    write_preset(preset, kind="BertBackbone")
    assert not find_lack(NAME)


def test_a_preset_is_whole_when_its_download_has_ended(preset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(preset)
    monkeypatch.setattr(socket, "setdefaulttimeout", lambda _: None)

    def fail(_: str) -> None:
        raise OSError("no route")

    def interrupt(_: str) -> None:
        write_preset(preset)
        raise OSError("cut")

    def go_on(_: str) -> None:
        # Not every preset has this file, so that nothing tells that it is missing.
        write(preset / "task.json", {"config": {"pooling": "gap"}})

    monkeypatch.setattr(fetch, "_kaggle", fail)
    with pytest.raises(WeightsError, match="no route"):
        download_preset(NAME, lambda _: None, pytest.fail)
    write_preset(preset)  # by another program
    assert not find_lack(NAME)
    shutil.rmtree(preset)
    monkeypatch.setattr(fetch, "_kaggle", interrupt)
    with pytest.raises(WeightsError, match=r"cannot download kaggle://me/vit/keras/tiny \(cut\)"):
        download_preset(NAME, lambda _: None, pytest.fail)
    assert find_lack(NAME) == "is not whole on this machine"
    monkeypatch.setattr(fetch, "_kaggle", go_on)
    download_preset(NAME, lambda _: None, pytest.fail)
    assert not find_lack(NAME)
    assert list_others() == []
    # Another process may have downloaded it meanwhile.
    monkeypatch.setattr(fetch, "_kaggle", pytest.fail)
    download_preset(NAME, lambda _: None, pytest.fail)


def test_kaggles_package_writes_where_bakeoff_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLEHUB_CACHE", "~/models")
    seen = list[tuple[str, str]]()
    package = SimpleNamespace(model_download=lambda handle: seen.append((handle, os.environ["KAGGLEHUB_CACHE"])))
    monkeypatch.setitem(sys.modules, "kagglehub", package)
    fetch._kaggle("me/vit/keras/tiny")
    assert seen == [("me/vit/keras/tiny", str(Path.home() / "models"))]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hf://me/nothing", "there is no preset hf://me/nothing; see its hub for the names"),
        ("hf://me/gated", "hf://me/gated is gated, or private: accept its terms on its page"),
    ],
)
def test_what_cannot_be_had_is_one_line(name: str, says: str, server: str, tmp_path: Path) -> None:
    done = download(name, server, tmp_path / "hf")
    assert done.returncode == 1
    assert says in done.stderr.strip().splitlines()[-1]


def test_a_host_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    done = download("hf://me/mine", "http://127.0.0.1:9", tmp_path / "hf")
    assert done.returncode == 1
    assert "cannot download hf://me/mine (" in done.stderr.strip().splitlines()[-1]


def test_what_kaggle_says_is_one_line() -> None:
    gated = _explain("hub:x", ValueError("403 Client Error. \n\n You don't have permission"))
    assert gated.startswith("hub:x is gated, or private")
    assert _explain("hub:x", ValueError("404 Client Error")).startswith("there is no preset hub:x")
    assert _explain("hub:x", OSError("no route\nto host")).startswith("cannot download hub:x (no route to host)")
