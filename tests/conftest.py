"""Every test has its own cache, so that none reads what another, or the user, left there."""

import os
import shutil

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("BAKEOFF_WEIGHTS_DIR", str(tmp_path_factory.mktemp("weights")))
    monkeypatch.delenv("BAKEOFF_DATA_DIR", raising=False)


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """The handwritten digits, as shards."""
    from bakeoff.data.shards import open_dataset, prepare
    from bakeoff.data.sources import open_source

    folder = tmp_path_factory.mktemp("digits")
    prepare(open_source("digits"), folder)
    return open_dataset(folder)


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
