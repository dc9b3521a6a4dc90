"""What the cache holds, how large it grows, and what is deleted from it."""

import json
import os
import time

import pytest

from bakeoff.cache import clear, list_entries, mark_used, prune
from bakeoff.cli.cache import show
from bakeoff.errors import ConfigError
from bakeoff.files import cache_dir

DAY = 86_400


@pytest.fixture
def entries(tmp_path, monkeypatch):
    """Features of three ages, a folder of shards, a download, and what a killed process left."""
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path / "entries"))
    home = cache_dir()
    for name, size, days in (
        ("features/old.npy", 1000, 9),
        ("features/old.json", 10, 9),
        ("features/middle.npy", 1000, 5),
        ("features/young.npy", 1000, 0),
        ("data/digits-1/train.tfrecord", 2000, 3),
        ("downloads/cifar.tar.gz", 500, 7),
        ("decoded/.partial-x.npy", 300, 2),
    ):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        then = time.time() - days * DAY
        os.utime(path, (then, then))
    then = time.time() - 3 * DAY
    os.utime(home / "data" / "digits-1", (then, then))
    return home


def _names():
    return [(entry.kind, entry.name) for entry in list_entries()]


@pytest.mark.usefixtures("entries")
def test_entries_are_sorted_by_last_use_with_their_files_together():
    assert _names() == [
        ("features", "old"),
        ("downloads", "cifar.tar"),
        ("features", "middle"),
        ("data", "digits-1"),
        ("decoded", ".partial-x"),
        ("features", "young"),
    ]
    assert list_entries()[0].bytes == 1010


@pytest.mark.usefixtures("entries")
def test_pruning_deletes_the_least_recently_used_and_unfinished_files(monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE_BYTES", "1e9")
    assert [entry.name for entry in prune()] == [".partial-x"]
    monkeypatch.setenv("BAKEOFF_CACHE_BYTES", "5600")
    assert prune() == []
    monkeypatch.setenv("BAKEOFF_CACHE_BYTES", "4100")
    used = list_entries()[0]
    mark_used(used.paths[0])
    assert [entry.name for entry in prune()] == ["cifar.tar", "middle"]
    assert ("features", "old") in _names()


@pytest.mark.usefixtures("entries")
def test_entries_used_today_are_not_pruned(monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE_BYTES", "0")
    prune()
    assert _names() == [("features", "young")]


@pytest.mark.usefixtures("entries")
def test_clearing_keeps_downloads_unless_they_are_named():
    clear()
    assert _names() == [("downloads", "cifar.tar")]
    clear(["downloads"])
    assert _names() == []
    assert list_entries() == clear() == []


def test_unknown_kinds_and_invalid_limits_are_errors(monkeypatch):
    with pytest.raises(
        ConfigError,
        match="no 'shards'; give one of data, decoded, features, weights, given, profiles, searches,",
    ):
        clear(["shards"])
    monkeypatch.setenv("BAKEOFF_CACHE_BYTES", "20 GB")
    with pytest.raises(ConfigError, match="BAKEOFF_CACHE_BYTES is '20 GB'"):
        prune()


def test_the_list_can_be_read_by_scripts(entries, capsys):
    show(as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert {row["kind"] for row in rows} == {"data", "decoded", "features", "downloads"}
    assert sum(row["bytes"] for row in rows) >= 5810
    show()
    assert str(entries) in capsys.readouterr().out.replace("\n", "")
