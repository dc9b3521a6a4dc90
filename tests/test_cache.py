"""What the cache holds, how large it grows, and what is deleted from it."""

import errno
import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest

from bakeoff import cache
from bakeoff.cache import clear, list_entries, list_others, mark_used, prune
from bakeoff.cli.cache import clear as clear_command
from bakeoff.cli.cache import show
from bakeoff.data.batches import load_split
from bakeoff.data.sources.cifar import CIFARS
from bakeoff.data.sources.given import kept_file
from bakeoff.download.partial import partial_path
from bakeoff.errors import ConfigError
from bakeoff.files import PARTIAL, cache_dir
from bakeoff.networks.plugin.facts import facts_folder
from bakeoff.networks.weights import sent_weights_dir
from bakeoff.profile import add_observation, read_profile
from factories import make_observation

DAY = 86_400
OLD, MIDDLE, YOUNG = (digit * 32 for digit in "012")
SHARDS = f"digits-{'0' * 12}"


@pytest.fixture
def entries(tmp_path, monkeypatch):
    """Features of three ages, a folder of shards, a download, and what a killed process left."""
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path / "entries"))
    home = cache_dir()
    for name, size, days in (
        (f"features/{OLD}.npy", 1000, 9),
        (f"features/{OLD}.json", 10, 9),
        (f"features/{MIDDLE}.npy", 1000, 5),
        (f"features/{YOUNG}.npy", 1000, 0),
        (f"data/{SHARDS}/train-00000-of-00001.tfrecord", 2000, 3),
        ("downloads/cifar-10-binary.tar.gz", 500, 7),
        ("decoded/.partial-x.npy", 300, 2),
    ):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        then = time.time() - days * DAY
        os.utime(path, (then, then))
    then = time.time() - 3 * DAY
    os.utime(home / "data" / SHARDS, (then, then))
    return home


def _names():
    return [(entry.kind, entry.name) for entry in list_entries()]


@pytest.mark.usefixtures("entries")
def test_entries_are_sorted_by_last_use_with_their_files_together():
    assert _names() == [
        ("features", OLD),
        ("downloads", "cifar-10-binary.tar"),
        ("features", MIDDLE),
        ("data", SHARDS),
        ("decoded", ".partial-x"),
        ("features", YOUNG),
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
    assert [entry.name for entry in prune()] == ["cifar-10-binary.tar", MIDDLE]
    assert ("features", OLD) in _names()


@pytest.mark.usefixtures("entries")
def test_entries_used_today_are_not_pruned(monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE_BYTES", "0")
    prune()
    assert _names() == [("features", YOUNG)]


@pytest.mark.usefixtures("entries")
def test_what_another_process_begins_to_use_while_others_are_deleted_is_not_pruned(monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE_BYTES", "0")
    *_, shards = (entry for entry in list_entries() if entry.kind == "data")
    rename = Path.rename

    def use(path, target):
        mark_used(shards.paths[0])
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", use)
    deleted = prune()
    assert OLD in {entry.name for entry in deleted}
    assert _names() == [("features", YOUNG), ("data", SHARDS)]


@pytest.mark.usefixtures("entries")
def test_what_another_process_has_deleted_meanwhile_is_no_error_and_is_not_counted(monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE_BYTES", "0")
    listed = list_entries()
    monkeypatch.setattr(cache, "list_entries", lambda: listed)
    assert len(prune()) == len(listed) - 1
    assert prune() == []
    assert [entry.name for entry in clear()] == [YOUNG]
    mark_used(listed[0].paths[0])
    assert not any(path.exists() for entry in listed for path in entry.paths)
    assert list_others() == []


@pytest.mark.usefixtures("entries")
def test_what_another_user_has_written_stays_and_stops_no_study(monkeypatch):
    rename, told = Path.rename, []

    def refuse(path, target):
        if path.stem in (OLD, ".partial-x"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setenv("BAKEOFF_CACHE_BYTES", "0")
    assert OLD not in {entry.name for entry in prune(told.append)}
    assert _names() == [("features", OLD), ("decoded", ".partial-x"), ("features", YOUNG)]
    (line,) = told
    assert re.fullmatch(
        rf"the cache keeps 2 entries that cannot be deleted, such as .*{OLD}\.json: Permission denied", line
    )
    assert [entry.name for entry in clear(on_kept=told.append)] == [YOUNG]
    assert told == [line, line]


def test_a_folder_that_could_be_renamed_but_not_emptied_stays_whole(entries, monkeypatch):
    shards, access, told = entries / "data" / SHARDS, os.access, []
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != shards and access(path, mode))
    monkeypatch.setenv("BAKEOFF_CACHE_BYTES", "2500")
    # What stays is not taken for freed.
    assert {entry.name for entry in prune(told.append)} == {OLD, MIDDLE, ".partial-x", "cifar-10-binary.tar"}
    assert (shards / "train-00000-of-00001.tfrecord").is_file()
    assert told == [f"the cache keeps 1 entry that cannot be deleted, such as {shards}: Permission denied"]


@pytest.mark.usefixtures("entries")
def test_a_folder_that_vanishes_while_it_is_read_is_no_error(entries, monkeypatch):
    walk = os.walk

    def lose(folder):
        yield from walk(folder)
        shutil.rmtree(folder, ignore_errors=True)

    monkeypatch.setattr(os, "walk", lose)
    assert ("data", SHARDS) in _names()
    assert not (entries / "data" / SHARDS).exists()


def test_a_profile_that_is_read_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path))
    add_observation(make_observation("lenet", size=32))
    (entry,) = list_entries()
    os.utime(entry.paths[0], (0, 0))
    read_profile()
    (entry,) = list_entries()
    assert time.time() - entry.used < DAY


@pytest.mark.usefixtures("entries")
def test_clearing_keeps_downloads_unless_they_are_named():
    clear()
    assert _names() == [("downloads", "cifar-10-binary.tar")]
    clear(["downloads"])
    assert _names() == []
    assert list_entries() == clear() == []


def test_unknown_kinds_and_invalid_limits_are_errors(monkeypatch):
    with pytest.raises(
        ConfigError, match="no 'shards'; give one of data, decoded, features, weights, given, profiles, networks,"
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


@pytest.fixture
def own_files(entries):
    """What a user has in the folder that is also the cache, none of it used for long."""
    names = (
        "data/imagenet/n01440764/1.JPEG",
        "data/photos-202611271530/1.jpg",
        f"data/notes-{'a' * 12}/manifest.json",
        f"data/notes-{'a' * 12}/notes.txt",
        "decoded/film.npy",
        "weights/mine.h5",
        "downloads/x",
        "presets/backup-202611271530.tar",
        "elsewhere/letter.txt",
    )
    for name in names:
        path = entries / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        os.utime(path, (0, 0))
    for folder in (entries / "data").iterdir():
        os.utime(folder, (0, 0))
    return [entries / name for name in names]


@pytest.mark.parametrize("delete", [prune, clear, lambda: clear(["data", "weights", "downloads"])])
def test_files_of_the_user_in_the_same_folder_are_neither_counted_nor_deleted(own_files, delete, monkeypatch):
    before = _names()
    monkeypatch.setenv("BAKEOFF_CACHE_BYTES", "0")
    assert delete()
    assert all(path.is_file() for path in own_files)
    assert len(before) == 6


@pytest.mark.usefixtures("own_files")
def test_the_list_says_what_is_not_deleted(capsys):
    clear_command()
    said = capsys.readouterr().out
    assert "5 entries deleted" in said
    show()
    for text in (said, capsys.readouterr().out):
        text = " ".join(text.split())
        assert f"not written by bakeoff, so left alone in {cache_dir()}: data/imagenet, data/n" in text
    assert len(list_others()) == 7


def test_what_systems_and_killed_processes_leave_in_folders_does_not_keep_shards(entries):
    for folder in (entries / "data", entries / "data" / SHARDS):
        (folder / ".DS_Store").write_bytes(b"")
        (folder / f"{PARTIAL}a.json").write_bytes(b"")
    assert list_others() == []
    clear()
    assert not (entries / "data" / SHARDS).exists()


def test_what_bakeoff_writes_is_an_entry():
    archives = [cache_dir() / "downloads" / archive.file for archive in CIFARS.values()]
    paths = [
        kept_file(f"arrays (2, 8, 8) #{'0' * 12}", ".npz"),
        sent_weights_dir("0" * 64) / "mobilenet_v2.h5",
        facts_folder("module:NET", "source") / "facts.json",
        *archives,
        *map(partial_path, archives),
    ]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert list_others() == []
    assert {entry.kind for entry in list_entries()} == {"given", "weights", "networks", "downloads", "profiles"}


def test_nothing_outside_the_cache_is_marked(tmp_path):
    os.utime(tmp_path, (0, 0))
    mark_used(tmp_path)
    assert tmp_path.stat().st_mtime == 0


def test_reading_images_from_the_disk_marks_them(digits, monkeypatch):
    monkeypatch.setenv("BAKEOFF_MEMORY_LIMIT_BYTES", "0")
    images = load_split(digits, "val").images
    (entry,) = (entry for entry in list_entries() if entry.kind == "decoded")
    for path in entry.paths:
        os.utime(path, (0, 0))
    images[:2]
    assert prune() == []
    (entry,) = (entry for entry in list_entries() if entry.kind == "decoded")
    assert time.time() - entry.used < DAY
