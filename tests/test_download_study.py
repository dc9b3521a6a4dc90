"""A study whose candidates' weights arrive meanwhile, from a server on this machine."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bakeoff.machine import count_cores
from bakeoff.networks.backbone import build_backbone
from bakeoff.networks.find import find_network
from bakeoff.networks.weights import published
from bakeoff.profile import add_observation
from bakeoff.runs.config import Mode
from factories import make_observation
from running import run_cli
from stand_in import StandIn, serve

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*HDF5 file.*")]

SMALL = find_network("mobilenet-v3-small")
SCREEN = ("screen", "digits", "--classes", "4", "--budget", "3m", "--candidates", f"lenet,{SMALL.name}@48")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of random weights, of the kind that Keras publishes."""
    path = tmp_path_factory.mktemp("weights") / str(SMALL.hub_file)
    build_backbone(SMALL, (48, 48, 3)).save(path)
    return path.read_bytes()


@pytest.fixture
def stand_in(weights: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for name in ("BAKEOFF_OFFLINE", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, mode in (("lenet", Mode.FIT), (SMALL.name, Mode.PROBE)):
        add_observation(
            make_observation(name, size=32 if name == "lenet" else 48, mode=mode, rate=900.0, threads=count_cores())
        )
    folder, _ = published.FILES[str(SMALL.hub_file)]
    monkeypatch.setitem(published.FILES, str(SMALL.hub_file), (folder, hashlib.md5(weights).hexdigest()))
    with serve() as place:
        monkeypatch.setattr(published, "BASE_URL", f"{place.url}/")
        place.files[f"/{folder}/{SMALL.hub_file}"] = weights
        yield place


@pytest.fixture
def screen(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], str]]:
    """Screen, and return `study.json` and what was printed."""

    def do(*options: str) -> tuple[dict[str, Any], str]:
        done = run_cli(*SCREEN, *options, "--out", tmp_path / "study", COLUMNS="200")
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / "study" / "study.json").read_text()), done.stderr

    return do


def _screened(study: dict[str, Any]) -> int:
    return len(study["stages"][0]["runs"])


def test_a_network_is_screened_once_its_weights_have_arrived(
    stand_in: StandIn, screen: Callable[..., Any], weights: bytes
) -> None:
    stand_in.manner, stand_in.pause = "slow", 0.002
    study, printed = screen()
    assert _screened(study) == 2
    (fact,) = study["downloads"]
    assert (fact["network"], fact["bytes"], fact["why"]) == (SMALL.name, len(weights), "")
    assert f"{SMALL.name} (4." in printed
    assert len(stand_in.asked) == 1


def test_a_study_goes_on_without_what_is_not_the_published_file(stand_in: StandIn, screen: Callable[..., Any]) -> None:
    stand_in.manner = "slow"
    stand_in.headers = {"Content-Length": "4000"}
    study, printed = screen()
    assert _screened(study) == 1
    assert "hash differs" in study["plan"]["unavailable"][f"{SMALL.name}@48"]
    assert f"without {SMALL.name}@48: what came from" in printed
