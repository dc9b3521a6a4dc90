"""A download is complete, or fails within seconds with the reason."""

import threading

import pytest

from bakeoff.errors import WeightsError
from bakeoff.networks.find import find_network
from bakeoff.networks.weights import download_weights, fetch

SPEC = find_network("mobilenet-v3-small")


@pytest.fixture(autouse=True)
def written(tmp_path, monkeypatch):
    """Where Keras writes during a download."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    path = tmp_path / "home" / "models" / SPEC.hub_file
    path.parent.mkdir(parents=True)
    return path


def _never(reason):
    raise AssertionError(reason)


def test_a_download_that_keras_has_checked_is_moved_to_the_target(written, tmp_path, monkeypatch):
    def build(spec):
        assert spec is SPEC
        written.write_bytes(bytes(4 * SPEC.params_total))
        reported.wait(10)

    reported = threading.Event()
    monkeypatch.setattr(fetch, "build_with_hub_weights", build)
    fractions = []
    download_weights(SPEC, tmp_path / "mine.h5", lambda fraction: (fractions.append(fraction), reported.set()), _never)
    assert fractions == [1.0]
    assert (tmp_path / "mine.h5").stat().st_size == 4 * SPEC.params_total
    assert not written.exists()


def test_the_error_has_the_reason_of_keras_without_the_url(tmp_path, monkeypatch):
    def build(_):
        raise Exception("URL fetch failure on an address: 404 -- Not Found")

    monkeypatch.setattr(fetch, "build_with_hub_weights", build)
    with pytest.raises(WeightsError, match=r"^Not Found$"):
        download_weights(SPEC, tmp_path / "mine.h5", lambda _: None, _never)
    assert not (tmp_path / "mine.h5").exists()


def test_a_download_without_any_bytes_is_given_up(tmp_path, monkeypatch):
    given_up = threading.Event()

    def build(_):
        assert given_up.wait(10)
        raise Exception("too late")

    monkeypatch.setattr(fetch, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(fetch, "build_with_hub_weights", build)
    reasons = []
    with pytest.raises(WeightsError):
        download_weights(SPEC, tmp_path / "mine.h5", _never, lambda reason: (reasons.append(reason), given_up.set()))
    assert len(reasons) == 1
    assert "nothing came" in reasons[0]
