"""Every test has its own cache, so that none reads what another, or the user, left there.

What takes long to make and is only read is made once, for all processes that share the work of one run of pytest.
"""

import gc
import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Each process that a test starts would compile all of bakeoff again, and each pytest rewrite the assertions again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The files that take longest come first, so that no process works alone on one of them at the end.
LONGEST = (
    "test_whole_path.py",
    "test_launch.py",
    "test_hub_networks.py",
    "test_train.py",
    "test_model.py",
    "test_report.py",
    "test_replicas.py",
    "test_api.py",
    "test_node.py",
    "test_checkpoint.py",
    "test_keras_settings.py",
    "test_lora.py",
    "test_hub_runs.py",
    "test_weights.py",
    "test_weights_files.py",
    "test_verify.py",
    "test_browser.py",
    "test_fuse.py",
    "test_tune.py",
    "test_page.py",
    "test_predict.py",
    "test_server.py",
    "test_cli.py",
    "test_probe_runs.py",
    "test_refit.py",
    "test_cross_validation.py",
    "test_balance.py",
    "test_spare.py",
    "test_heat_maps.py",
    "test_board.py",
    "test_cost.py",
    "test_contract.py",
    "test_parity.py",
    "test_search.py",
    "test_tryout.py",
    "test_layers.py",
    "test_suspicious_labels.py",
    "test_checks.py",
    "test_faults.py",
)


# What TensorFlow, Keras and the tests themselves consist of stays to the end. To look through it for garbage, again and
# again, took a seventh of the time.
gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish():
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def _caches(tmp_path_factory):
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(autouse=True)
def _own_cache(_caches, monkeypatch):
    from factories import fill_profile

    # pytest's own folders have numbers, for which it reads the names of all that are there.
    folder = Path(tempfile.mkdtemp(dir=_caches))
    fill_profile(folder / "cache")
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("BAKEOFF_WEIGHTS_DIR", str(folder / "weights"))
    # The presets that other programs have downloaded are not those of a test.
    monkeypatch.setenv("HF_HOME", str(folder / "huggingface"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(folder / "kagglehub"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("HUGGINGFACE_HUB_CACHE", raising=False)
    monkeypatch.delenv("BAKEOFF_DATA_DIR", raising=False)
    # A test that downloads something has a server of its own.
    monkeypatch.setenv("BAKEOFF_OFFLINE", "1")


@pytest.fixture(autouse=True)
def _own_policy():
    """A test that builds a network in half precision leaves no trace in those after it."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_dtype_policy("float32")


@pytest.fixture(scope="module", autouse=True)
def _no_spare():
    """No process is started ahead of its job, which most tests never come to.

    It is in test_spare.py, and in what a test starts in a process of its own.
    """
    from bakeoff.launch import Spare

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Spare, "prepare", lambda *_: None)
        yield


@pytest.fixture
def workers_here(monkeypatch):
    """Runs are done in this process, not in workers: for tests that have one of them at a time."""
    from running import work_here

    work_here(monkeypatch)


@pytest.fixture(scope="session")
def make_once(tmp_path_factory):
    """`make_once(name, make)` is a folder that `make(folder)` fills, in whichever process asks for it first."""
    from filelock import FileLock

    own = tmp_path_factory.getbasetemp()
    shared = own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own

    def make_once(name, make):
        folder = shared / f"once-{name}"
        with FileLock(folder.with_suffix(".lock")):
            if not folder.exists():
                unfinished = tmp_path_factory.mktemp(name)
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return make_once


@pytest.fixture(scope="session")
def shards(make_once):
    """The folder of the handwritten digits as shards."""
    from bakeoff.data.shards import prepare
    from bakeoff.data.sources import open_source
    from bakeoff.runs.config import Data

    return make_once("digits", lambda folder: prepare(open_source(Data(source="digits")), folder))


@pytest.fixture(scope="session")
def digits(shards):
    """The handwritten digits, opened."""
    from bakeoff.data.shards import open_dataset

    return open_dataset(shards)


@pytest.fixture(scope="session")
def finished(make_once, shards):
    """A study with one run that was launched and is complete: `out` (a test that changes it takes a copy), `record`,
    and the `events` that were told."""
    from bakeoff.launch import launch
    from bakeoff.runs.events import RunProgress
    from bakeoff.runs.record import Stage, list_records
    from learned import TINY

    def train(folder):
        events = []
        launch(TINY, stage=Stage.TRAIN, out=folder, data=shards, on_progress=events.append)
        (folder / "events.json").write_text(json.dumps([asdict(event) for event in events]))

    out = make_once("finished", train)
    (record,) = list_records(out)
    events = [RunProgress(**event) for event in json.loads((out / "events.json").read_text())]
    return SimpleNamespace(out=out, record=record, events=events)


@pytest.fixture
def make_client(tmp_path):
    """`make_client(**settings)` is a client of a server in this process."""
    from serving import make_client

    return partial(make_client, tmp_path)


@pytest.fixture(scope="session")
def lenet(digits):
    """A LeNet that tells them apart."""
    from learned import learn

    return learn("lenet", 32, digits)


@pytest.fixture(scope="session")
def bundled(lenet, tmp_path_factory):
    """The folder of that LeNet's bundle in a format; each is written once."""
    from functools import cache

    from bakeoff.deploy.export import write_bundle

    @cache
    def bundled(model_format, quantize=None):
        folder = tmp_path_factory.mktemp("study") / "bundle"
        write_bundle(lenet, folder, model_format, quantize)
        return folder

    return bundled


# While it is there, its driver's event loop is this thread's; later modules have loops of their own.
@pytest.fixture(scope="module")
def browser():
    """A browser to which every host but this machine is unknown."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = os.environ.get("BAKEOFF_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("no chromium on this machine: apt-get install chromium, or name one in BAKEOFF_CHROMIUM")
    with playwright.sync_playwright() as driver:
        # Without its sandbox, which root may not have.
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        browser = driver.chromium.launch(executable_path=found, args=arguments, timeout=120_000)
        yield browser
        browser.close()
