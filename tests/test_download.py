"""Files over HTTP: whole and checked or not there, whatever the server does, and resumed where they stopped."""

import base64
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from bakeoff.download import (
    DownloadError,
    HostError,
    Remote,
    StoppedError,
    download,
    file,
    is_offline,
    partial_path,
    server,
    working_offline,
)
from bakeoff.errors import OutputError
from stand_in import BODY, StandIn, serve, wait_until

MD5, SHA256 = hashlib.md5(BODY).hexdigest(), hashlib.sha256(BODY).hexdigest()
MAGIC = BODY[:8]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(server, "STALL_SECONDS", 0.3)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with serve() as place:
        yield place


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / "weights.h5"


def _remote(stand_in: StandIn, digest: str = MD5, most: int = 300_000) -> Remote:
    return Remote(f"{stand_in.url}/weights.h5", digest, most, MAGIC)


def _leave_part(stand_in: StandIn, target: Path, digest: str = MD5) -> int:
    """Begin a download and stop it; returns the bytes that have arrived."""
    stand_in.manner, stand_in.pause = "slow", 0.001
    seen: list[int] = []

    def count(done: int, _: int) -> None:
        seen.append(done)

    with pytest.raises(StoppedError):
        download(_remote(stand_in, digest), target, count, lambda: bool(seen) and seen[-1] > 50_000)
    stand_in.manner = "honest"
    stand_in.asked.clear()
    size = partial_path(target).stat().st_size
    assert 50_000 < size < len(BODY)
    assert not target.exists()
    return size


@pytest.mark.parametrize("digest", [MD5, SHA256, ""], ids=["md5", "sha256", "none published"])
def test_a_file_arrives_whole_and_nothing_is_left_beside_it(digest: str, stand_in: StandIn, target: Path) -> None:
    counts: list[tuple[int, int]] = []
    download(_remote(stand_in, digest), target, lambda *count: counts.append(count))
    assert target.read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert (counts[0], counts[-1]) == ((0, len(BODY)), (len(BODY), len(BODY)))


def test_a_file_that_is_there_is_not_asked_for(stand_in: StandIn, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"mine")
    download(_remote(stand_in), target)
    assert (target.read_bytes(), stand_in.asked) == (b"mine", [])


@pytest.mark.parametrize("digest", [MD5, ""], ids=["published hash", "none published"])
def test_the_next_download_asks_for_the_rest(digest: str, stand_in: StandIn, target: Path) -> None:
    size = _leave_part(stand_in, target, digest)
    download(_remote(stand_in, digest), target)
    assert target.read_bytes() == BODY
    assert stand_in.asked == [("/weights.h5", f"bytes={size}-", 206)]


def test_a_part_that_was_whole_already_is_only_checked(stand_in: StandIn, target: Path) -> None:
    _leave_part(stand_in, target)
    partial_path(target).write_bytes(BODY)
    download(_remote(stand_in), target)
    assert (target.read_bytes(), stand_in.asked) == (BODY, [])


def test_a_server_that_knows_no_pieces_sends_all_again(stand_in: StandIn, target: Path) -> None:
    _leave_part(stand_in, target)
    stand_in.manner = "whole"
    download(_remote(stand_in), target)
    assert target.read_bytes() == BODY
    assert [status for _, _, status in stand_in.asked] == [200]


@pytest.mark.parametrize("digest", [MD5, ""], ids=["published hash", "none published"])
def test_the_rest_of_another_version_is_never_put_behind_what_has_arrived(
    digest: str, stand_in: StandIn, target: Path
) -> None:
    _leave_part(stand_in, target, digest)
    changed = MAGIC + b"other" * 40_000
    stand_in.files["/weights.h5"] = changed
    if digest:
        with pytest.raises(DownloadError, match="hash differs"):
            download(_remote(stand_in, digest), target)
        assert not list(target.parent.iterdir())
    else:
        download(_remote(stand_in, digest), target)
        assert target.read_bytes() == changed
    assert [status for _, _, status in stand_in.asked] == [200]


@pytest.mark.parametrize("tag", ["", 'W/"weak"'], ids=["no tag", "weak tag"])
def test_without_a_hash_and_without_a_version_a_download_begins_anew(tag: str, stand_in: StandIn, target: Path) -> None:
    stand_in.headers = {"ETag": tag}
    _leave_part(stand_in, target, "")
    download(_remote(stand_in, ""), target)
    assert (target.read_bytes(), stand_in.asked) == (BODY, [("/weights.h5", "", 200)])


def test_parts_of_two_versions_are_noticed_by_the_hash_and_fetched_anew(stand_in: StandIn, target: Path) -> None:
    size = _leave_part(stand_in, target)
    partial_path(target).write_bytes(bytes(size))
    download(_remote(stand_in), target)
    assert target.read_bytes() == BODY
    assert [asked for _, asked, _ in stand_in.asked] == [f"bytes={size}-", ""]


@pytest.mark.parametrize("facts", [None, "{", "[]", '{"url": "http://elsewhere", "version": "1", "total": 9}'])
def test_a_part_of_which_nothing_is_known_is_fetched_anew(facts: str | None, stand_in: StandIn, target: Path) -> None:
    _leave_part(stand_in, target)
    beside = target.with_name(f"{target.name}.partial.json")
    beside.unlink() if facts is None else beside.write_text(facts)
    download(_remote(stand_in), target)
    assert (target.read_bytes(), stand_in.asked) == (BODY, [("/weights.h5", "", 200)])


def test_a_connection_that_is_cut_again_and_again_is_taken_up_where_it_ended(stand_in: StandIn, target: Path) -> None:
    stand_in.manner = "cutting"
    download(_remote(stand_in), target)
    assert target.read_bytes() == BODY
    assert [asked for _, asked, _ in stand_in.asked] == ["", "bytes=60000-", "bytes=120000-", "bytes=180000-"]
    assert stand_in.sent == len(BODY)


def test_a_server_that_cuts_every_connection_at_the_same_place_is_given_up(stand_in: StandIn, target: Path) -> None:
    stand_in.manner = "cutting_whole"
    with pytest.raises(HostError, match=r"127\.0\.0\.1.* cut the connection after 60,000 of 204,808 bytes"):
        download(_remote(stand_in), target)
    assert len(stand_in.asked) <= file.MOST_TRIES
    assert not target.exists()


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("short", "not the published file: its hash differs"),
        ("huge", "has 10,000,000,000,000 bytes, more than the 300,000"),
        ("endless", "sends more than the 300,000 bytes"),
        ("page", "sent a web page instead of the file"),
        ("text", "another kind of file"),
        ("circling", "redirects in a circle"),
        ("elsewhere", "to where there is no file"),
    ],
)
def test_what_is_not_the_file_is_refused_and_leaves_nothing(
    manner: str, reason: str, stand_in: StandIn, target: Path
) -> None:
    stand_in.manner = manner
    with pytest.raises(DownloadError, match=reason) as refused:
        download(_remote(stand_in), target)
    assert not isinstance(refused.value, HostError)
    assert "\n" not in str(refused.value)
    assert not list(target.parent.iterdir())


def test_a_file_that_is_not_there_says_so(stand_in: StandIn, target: Path) -> None:
    stand_in.files.clear()
    with pytest.raises(DownloadError, match="answered 404 Not Found"):
        download(_remote(stand_in), target)
    assert len(stand_in.asked) == 1


def test_bytes_in_another_encoding_are_refused(stand_in: StandIn, target: Path) -> None:
    stand_in.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(DownloadError, match="another encoding"):
        download(_remote(stand_in), target)


def test_without_a_published_hash_the_one_that_the_server_tells_counts(stand_in: StandIn, target: Path) -> None:
    told = base64.b64encode(hashlib.md5(BODY).digest()).decode()
    stand_in.headers = {"x-goog-hash": f"crc32c=AAAAAA==,md5={told}"}
    download(_remote(stand_in, ""), target)
    target.unlink()
    stand_in.headers = {"x-goog-hash": f"crc32c=AAAAAA==,md5={base64.b64encode(bytes(16)).decode()}"}
    with pytest.raises(DownloadError, match="hash differs"):
        download(_remote(stand_in, ""), target)
    assert not list(target.parent.iterdir())


def test_a_file_of_which_neither_length_nor_hash_is_known_is_refused(stand_in: StandIn, target: Path) -> None:
    stand_in.manner = "unmeasured"
    with pytest.raises(DownloadError, match="does not say how long the file is"):
        download(_remote(stand_in, ""), target)
    download(_remote(stand_in), target)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize(
    ("manner", "asked", "reason"),
    [("overloaded", 3, "503"), ("silent", 1, "sent nothing for 0 s"), ("stalling", 4, "sent nothing for 0 s")],
)
def test_a_host_that_does_not_do_its_work_is_given_up_after_a_few_tries(
    manner: str, asked: int, reason: str, stand_in: StandIn, target: Path
) -> None:
    stand_in.manner = manner
    with pytest.raises(HostError, match=reason):
        download(_remote(stand_in), target)
    assert len(stand_in.asked) == asked
    assert not target.exists()


def test_where_nobody_listens_that_is_known_at_once(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"^127\.0\.0\.1:9 does not answer: Connection refused$"):
        download(Remote("http://127.0.0.1:9/weights.h5"), tmp_path / "models" / "weights.h5")
    assert not list((tmp_path / "models").iterdir())


def test_a_full_disk_is_one_clear_line_before_anything_is_written(
    stand_in: StandIn, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match=r"No space left on device: it takes 204,808 more bytes, and 1,000 are free"):
        download(_remote(stand_in), target)
    assert not list(target.parent.iterdir())


def test_two_at_once_fetch_the_file_once(stand_in: StandIn, target: Path) -> None:
    stand_in.manner, stand_in.pause = "slow", 0.005
    waited: list[int] = []
    threads = [
        threading.Thread(
            target=download, args=(_remote(stand_in), target), kwargs={"on_wait": lambda: waited.append(1)}
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == BODY
    assert (len(stand_in.asked), len(waited)) == (1, 1)


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_process_that_is_ended_leaves_what_the_next_one_goes_on_with(
    signal_number: signal.Signals, stand_in: StandIn, target: Path
) -> None:
    stand_in.manner = "slow"
    # What runs in the background of a shell, as this suite may, ignores Ctrl-C, and so would its children.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from pathlib import Path; from bakeoff.download import Remote, download;"
        "download(Remote(sys.argv[1], sys.argv[2]), Path(sys.argv[3]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, f"{stand_in.url}/weights.h5", MD5, str(target)], stderr=subprocess.DEVNULL
    )
    part = partial_path(target)
    wait_until(lambda: part.is_file() and part.stat().st_size > 10_000)
    process.send_signal(signal_number)
    assert process.wait(10) != 0
    size = part.stat().st_size
    stand_in.manner = "honest"
    stand_in.asked.clear()
    download(_remote(stand_in), target)
    assert target.read_bytes() == BODY
    assert stand_in.asked == [("/weights.h5", f"bytes={size}-", 206)]


def test_offline_is_said_by_an_environment_variable_and_for_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BAKEOFF_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for text, offline in (("1", True), ("true", True), ("0", False), ("", False), ("off", False)):
        monkeypatch.setenv("BAKEOFF_OFFLINE", text)
        assert is_offline() is offline
    monkeypatch.setenv("BAKEOFF_OFFLINE", "0")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not is_offline()
    assert is_offline(hugging_face=True)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with working_offline():
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        assert is_offline()
    assert "HF_HUB_OFFLINE" not in os.environ
    assert not is_offline()
    with working_offline(False):
        assert not is_offline()
