"""Files are whole or absent, and hashes do not depend on order."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from bakeoff.errors import OutputError
from bakeoff.files import (
    cache_dir,
    expand_home,
    hash_file,
    hash_json,
    imported_weights_dir,
    make_dir,
    replacing,
    write_json,
    write_text,
)
from bakeoff.locks import hold, release, replacing_folder


def _write_half(path: Path, error: type[BaseException]) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path))
    assert cache_dir() == tmp_path


def test_the_cache_is_the_platforms_own_without_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir().name == "bakeoff"


@pytest.mark.parametrize("variable", ["BAKEOFF_CACHE_DIR", "BAKEOFF_WEIGHTS_DIR"])
def test_folders_in_the_environment_may_begin_with_the_home_folder(monkeypatch, tmp_path, variable):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(variable, "~/big")
    assert {"BAKEOFF_CACHE_DIR": cache_dir, "BAKEOFF_WEIGHTS_DIR": imported_weights_dir}[variable]() == tmp_path / "big"


def test_a_home_folder_that_is_not_known_stays_as_it_is_written(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand_home("~/photos") == tmp_path / "photos"
    assert expand_home(Path("~nosuch/photos")) == Path("~nosuch/photos")
    assert expand_home("photos/~") == Path("photos/~")


def test_a_folder_is_made_with_its_parents_and_twice(tmp_path: Path) -> None:
    assert make_dir(tmp_path / "a" / "b").is_dir()
    assert make_dir(tmp_path / "a" / "b").is_dir()


def test_a_folder_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*taken: File exists"):
        make_dir(tmp_path / "taken")


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "note.txt", "old")
    write_text(tmp_path / "new" / "note.txt", "Größe")
    assert (tmp_path / "new" / "note.txt").read_bytes() == "Größe".encode()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["note.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_only_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")
    with pytest.raises(error):
        _write_half(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_name_keeps_the_suffix_and_the_folder(tmp_path: Path) -> None:
    with replacing(tmp_path / "model.keras") as temporary:
        assert temporary.suffix == ".keras"
        assert temporary.parent == tmp_path


def test_a_full_disk_is_explained_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")
    with pytest.raises(OutputError, match=r"note\.txt: No space left on device; free some space"), replacing(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_without_an_errno_is_explained_by_its_text(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the disk is on fire"), replacing(tmp_path / "note.txt"):
        raise OSError("the disk is on fire")


def test_a_written_file_is_as_readable_as_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "note.txt", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "note.txt").stat().st_mode) == 0o640


def test_json_is_readable_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "Größe", "n": 1})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"name": "Größe", "n": 1}
    assert "Größe" in text
    assert text.endswith("}\n")


def test_json_refuses_what_is_not_json_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_the_hash_of_json_ignores_the_order_of_keys_but_not_their_values() -> None:
    assert hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1})
    assert hash_json({"a": 1, "b": 2}) != hash_json({"a": 2, "b": 1})


def test_the_hash_of_a_file_is_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert hash_file(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_folder_is_held_by_one_process_and_swept_of_what_a_killed_one_left(tmp_path):
    (tmp_path / "runs" / "0").mkdir(parents=True)
    for name in (".partial-a.json", "runs/0/.partial-b.npz", "runs/0/kept.json"):
        (tmp_path / name).write_text("x")
    hold(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [".lock", "kept.json"]
    code = f"from pathlib import Path; from bakeoff.locks import hold; hold(Path({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"in use by another bakeoff (process {os.getpid()})" in done.stderr
    with pytest.raises(OutputError, match="in use by another bakeoff"):
        hold(tmp_path)  # as another thread does
    release(tmp_path)
    hold(tmp_path)
    release(tmp_path)


def test_a_folder_that_cannot_be_swept_is_not_held(tmp_path, monkeypatch):
    (tmp_path / ".partial-a.json").write_text("x")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", Mock(side_effect=PermissionError))
        with pytest.raises(PermissionError):
            hold(tmp_path)
    hold(tmp_path)
    release(tmp_path)


def test_folders_that_threads_of_a_process_write_beside_each_other_are_all_there(tmp_path):
    with replacing_folder(tmp_path / "a") as first:
        (first / "shard").write_text("a")
        with replacing_folder(tmp_path / "b") as second:
            (second / "shard").write_text("b")
        assert (first / "shard").is_file()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("shard")) == ["a/shard", "b/shard"]


def test_what_others_write_inside_a_held_folder_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = Path("runs") / "study"
    hold(study)
    others = [study / ".partial-study.json", study / "runs" / "0" / ".partial-model.keras", Path("kit/.partial-a.h5")]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    hold(Path())
    release(Path())
    release(study)
    assert all(path.is_file() for path in others)


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(errno.EIO, "Input/output error"), OutputError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
@pytest.mark.parametrize("which", [1, 2])
def test_a_folder_that_cannot_be_replaced_stays_as_it_was(tmp_path, monkeypatch, error, raised, which):
    folder, rename, calls = tmp_path / "bundle", Path.rename, []
    folder.mkdir()
    (folder / "model").write_text("old")

    def fail_once(path, target):
        calls.append(path)
        if len(calls) == which:
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(raised), replacing_folder(folder) as staged:
        (staged / "model").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (folder / "model").read_text() == "old"
    with replacing_folder(folder) as staged:
        (staged / "model").write_text("new")
    assert (folder / "model").read_text() == "new"
