"""A download ends whole, or soon, and says why."""

import threading

import pytest

from bakeoff.errors import WeightsError
from bakeoff.networks.table import find_network
from bakeoff.networks.weights import download_weights, fetch

ROW = find_network("mobilenet-v3-small")


@pytest.fixture(autouse=True)
def written(tmp_path, monkeypatch):
    """Where Keras writes during a download."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    path = tmp_path / "home" / "models" / ROW.hub_file
    path.parent.mkdir(parents=True)
    return path


def _never(reason):
    raise AssertionError(reason)


def test_what_keras_has_checked_is_moved_to_its_place(written, tmp_path, monkeypatch):
    def build(row):
        assert row is ROW
        written.write_bytes(bytes(4 * ROW.params_total))
        told.wait(10)

    told = threading.Event()
    monkeypatch.setattr(fetch, "build_with_hub_weights", build)
    fractions = []
    download_weights(ROW, tmp_path / "mine.h5", lambda fraction: (fractions.append(fraction), told.set()), _never)
    assert fractions == [1.0]
    assert (tmp_path / "mine.h5").stat().st_size == 4 * ROW.params_total
    assert not written.exists()


def test_the_reason_is_keras_own_without_its_address(tmp_path, monkeypatch):
    def build(_):
        raise Exception("URL fetch failure on an address: 404 -- Not Found")

    monkeypatch.setattr(fetch, "build_with_hub_weights", build)
    with pytest.raises(WeightsError, match=r"^Not Found$"):
        download_weights(ROW, tmp_path / "mine.h5", lambda _: None, _never)
    assert not (tmp_path / "mine.h5").exists()


def test_a_network_that_says_nothing_is_given_up(tmp_path, monkeypatch):
    given_up = threading.Event()

    def build(_):
        assert given_up.wait(10)
        raise Exception("too late")

    monkeypatch.setattr(fetch, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(fetch, "build_with_hub_weights", build)
    reasons = []
    with pytest.raises(WeightsError):
        download_weights(ROW, tmp_path / "mine.h5", _never, lambda reason: (reasons.append(reason), given_up.set()))
    assert len(reasons) == 1
    assert "nothing came" in reasons[0]
