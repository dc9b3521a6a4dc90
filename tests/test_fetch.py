"""Weights that are downloaded in the background: they arrive, or it is known why not, and a study is never held up."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bakeoff.download import HostError, file, partial_path, server
from bakeoff.errors import OutputError, WeightsError
from bakeoff.networks.find import find_network
from bakeoff.networks.weights import (
    DOWNLOAD_LIMIT,
    Downloads,
    can_download,
    fetch,
    hub_path,
    needs_download,
    published,
)
from bakeoff.runs.config import Candidate, WeightsChoice, parse_bytes
from bakeoff.study.provide import fetch_missing, plan_downloads, start_downloads
from stand_in import BODY, StandIn, serve, wait_until

NAMES = ("mobilenet-v3-small", "mobilenet-v2", "densenet-121")
SPECS = [find_network(name) for name in NAMES]
SMALL, V2, DENSE = SPECS


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Keras keeps weights: empty."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("BAKEOFF_OFFLINE", raising=False)
    monkeypatch.setattr(file, "PAUSE_SECONDS", 0.0)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "keras" / "models"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A server with small files in the places of the weights, whose hashes are known."""
    with serve() as place:
        monkeypatch.setattr(published, "BASE_URL", f"{place.url}/")
        for spec in SPECS:
            body = BODY + spec.name.encode()
            folder, _ = published.FILES[str(spec.hub_file)]
            place.files[f"/{folder}/{spec.hub_file}"] = body
            monkeypatch.setitem(published.FILES, str(spec.hub_file), (folder, hashlib.md5(body).hexdigest()))
        yield place


def _finish(downloads: Downloads) -> None:
    wait_until(lambda: downloads.wait(0.05) or not downloads.pending)


def test_weights_arrive_one_after_the_other_in_their_order(stand_in: StandIn, home: Path) -> None:
    counts: list[tuple[str, int, int]] = []
    downloads = Downloads(SPECS, on_count=lambda *count: counts.append(count))
    assert list(downloads.pending) == list(NAMES)
    assert all(map(needs_download, SPECS))
    downloads.start()
    _finish(downloads)
    downloads.poll()
    assert downloads.arrived == set(NAMES)
    assert not downloads.failed
    assert [Path(path).name for path in stand_in.paths] == [spec.hub_file for spec in SPECS]
    for spec in SPECS:
        assert (home / str(spec.hub_file)).read_bytes() == BODY + spec.name.encode()
        assert (f"downloading {spec.name}", len(BODY) + len(spec.name), len(BODY) + len(spec.name)) in counts
    assert not any(map(needs_download, SPECS))
    assert set(downloads.ended) == set(NAMES)


def test_a_host_that_does_not_answer_is_asked_once_for_all_its_files(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    calls: list[str] = []

    def count(remote: object, headers: object) -> object:
        calls.append(str(remote))
        return ask(remote, headers)  # type: ignore[arg-type]

    ask = server.ask
    monkeypatch.setattr(file, "ask", count)
    monkeypatch.setattr(published, "BASE_URL", "http://127.0.0.1:9/")
    downloads = Downloads(SPECS)
    downloads.start()
    _finish(downloads)
    assert downloads.failed == dict.fromkeys(NAMES, "127.0.0.1:9 does not answer: Connection refused")
    assert len(calls) == 1
    assert not list(home.iterdir())


@pytest.mark.usefixtures("stand_in")
def test_a_host_that_hangs_where_no_time_limit_applies_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()

    def hang(*_: object) -> None:
        end.wait(20)
        raise HostError("too late")

    monkeypatch.setattr(file, "ask", hang)
    monkeypatch.setattr(fetch, "_HANGS_SECONDS", 0.1)
    downloads = Downloads(SPECS)
    downloads.start()
    try:
        _finish(downloads)
        assert set(downloads.failed) == set(NAMES)
        assert all("nothing comes from 127.0.0.1" in why for why in downloads.failed.values())
    finally:
        end.set()


@pytest.mark.usefixtures("stand_in")
def test_one_wrong_file_does_not_keep_the_others_from_arriving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(published.FILES, str(V2.hub_file), (published.FILES[str(V2.hub_file)][0], "0" * 32))
    downloads = Downloads(SPECS)
    downloads.start()
    _finish(downloads)
    assert downloads.arrived == {SMALL.name, DENSE.name}
    assert "hash differs" in downloads.failed[V2.name]
    target = hub_path(V2)
    assert target is not None
    assert not target.exists()
    assert not partial_path(target).exists()


def test_a_full_disk_ends_all_downloads_with_one_reason(monkeypatch: pytest.MonkeyPatch, stand_in: StandIn) -> None:
    def disk_usage(_: object) -> object:
        return type("Usage", (), {"free": 10})

    monkeypatch.setattr("shutil.disk_usage", disk_usage)
    downloads = Downloads(SPECS)
    downloads.start()
    _finish(downloads)
    assert set(downloads.failed) == set(NAMES)
    assert len(set(downloads.failed.values())) == 1
    assert "No space left on device" in downloads.failed[SMALL.name]
    assert len(stand_in.asked) == 1
    for need in (lambda: fetch_missing(SPECS, lambda *_: None), lambda: _begin(f"lenet {SMALL.name}")):
        with pytest.raises(OutputError, match=r"^cannot write .*; free some space or choose another folder$"):
            need()


def test_what_is_stopped_is_taken_up_by_the_next_study(stand_in: StandIn) -> None:
    stand_in.manner = "slow"
    first = Downloads([SMALL])
    first.start()
    target = hub_path(SMALL)
    assert target is not None
    wait_until(lambda: partial_path(target).is_file() and partial_path(target).stat().st_size > 20_000)
    assert first.seconds_left(SMALL.name)
    first.stop()
    assert "had not arrived" in first.failed[SMALL.name]
    stand_in.manner = "honest"
    second = Downloads([SMALL])
    second.start()
    _finish(second)
    assert second.arrived == {SMALL.name}
    assert stand_in.asked[-1][1].startswith("bytes=")


def test_two_studies_that_download_the_same_file_fetch_it_once(stand_in: StandIn) -> None:
    stand_in.manner, stand_in.pause = "slow", 0.005
    both = [Downloads([SMALL]), Downloads([SMALL])]
    for downloads in both:
        downloads.start()
    for downloads in both:
        _finish(downloads)
        assert downloads.arrived == {SMALL.name}
    assert len(stand_in.asked) == 1


def test_the_time_that_is_left_is_told_by_the_pace_and_by_what_comes_before(stand_in: StandIn) -> None:
    stand_in.manner = "slow"
    downloads = Downloads(SPECS)
    assert downloads.seconds_left(DENSE.name) is None
    downloads.start()
    wait_until(lambda: downloads.seconds_left(SMALL.name) is not None)
    first, last = downloads.seconds_left(SMALL.name), downloads.seconds_left(DENSE.name)
    assert first is not None
    assert last is not None
    assert last > first > 0
    downloads.stop()


def test_what_is_over_the_limit_is_left_out_and_the_rest_is_not() -> None:
    sizes = [can_download(spec) for spec in SPECS]
    assert sizes == [published.file_size(spec) for spec in SPECS]
    downloads = Downloads(SPECS, limit_bytes=published.file_size(SMALL) + published.file_size(V2) + 1)
    assert list(downloads.pending) == [SMALL.name, V2.name]
    assert downloads.failed == {DENSE.name: "its 29 MB are more than the 0 MB that --download-limit leaves"}
    assert parse_bytes("500MB") == DOWNLOAD_LIMIT


def test_offline_nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch, stand_in: StandIn) -> None:
    monkeypatch.setenv("BAKEOFF_OFFLINE", "1")
    assert can_download(SMALL) == fetch.OFFLINE
    downloads = Downloads(SPECS)
    downloads.start()
    assert downloads.failed == dict.fromkeys(NAMES, fetch.OFFLINE)
    assert not stand_in.asked


@pytest.mark.usefixtures("stand_in")
def test_a_command_that_needs_weights_waits_for_them() -> None:
    counts: list[str] = []
    fetch_missing(SPECS, lambda doing, *_: counts.append(doing))
    assert not any(map(needs_download, SPECS))
    assert f"downloading {SMALL.name}" in counts


@pytest.mark.parametrize("manner", ["page", "overloaded", "short"])
def test_weights_that_a_command_needs_and_cannot_have_are_one_line(manner: str, stand_in: StandIn, home: Path) -> None:
    stand_in.manner = manner
    with pytest.raises(WeightsError, match=r"cannot download the weights of mobilenet-v3-small \(.*\); copy them.*--w"):
        fetch_missing(SPECS, lambda *_: None)
    assert not [path for path in home.iterdir() if path.suffix == ".h5"]


def _begin(names: str, limit: float = DOWNLOAD_LIMIT, *, named: bool = True) -> Downloads:
    candidates = [Candidate(name=name) for name in names.split()]
    required = names.split() if named else ()
    downloads = plan_downloads(candidates, WeightsChoice(), lambda *_: None, limit, required=required)
    start_downloads(downloads, required=required)
    return downloads


def test_weights_of_named_candidates_are_on_their_way_once_the_server_has_answered(stand_in: StandIn) -> None:
    stand_in.manner = "slow"
    downloads = _begin(f"lenet {SMALL.name} {V2.name}")
    assert list(downloads.pending) == [SMALL.name, V2.name]
    assert stand_in.asked
    downloads.stop()


def test_a_server_that_does_not_answer_is_an_error_only_for_candidates_that_were_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(published, "BASE_URL", "http://127.0.0.1:9/")
    with pytest.raises(WeightsError, match=r"cannot download the weights of mobilenet-v2 .*Connection refused"):
        _begin(f"lenet {V2.name}")
    downloads = _begin(f"lenet {V2.name}", named=False)
    _finish(downloads)
    assert set(downloads.failed) == {V2.name}


def test_offline_a_candidate_that_was_named_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_OFFLINE", "1")
    with pytest.raises(WeightsError, match=r"mobilenet-v2 \(downloads are off by --offline or BAKEOFF_OFFLINE=1\)"):
        _begin(f"lenet {V2.name}")


@pytest.mark.usefixtures("stand_in")
def test_candidates_over_the_limit_are_left_out_unless_none_is_left() -> None:
    downloads = _begin(f"{SMALL.name} {DENSE.name}", 10_000_000)
    _finish(downloads)
    assert (downloads.arrived, set(downloads.failed)) == ({SMALL.name}, {DENSE.name})
    with pytest.raises(WeightsError, match="its 29 MB are more than the 1 MB that --download-limit leaves"):
        _begin(DENSE.name, 1_000_000)
