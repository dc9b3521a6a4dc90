"""An export whose process dies: one line, the right exit code, and no half-written bundle."""

import shutil
import sys

import pytest

from bakeoff.deploy.bundle import Format, Quantize
from bakeoff.errors import BakeoffError, BundleError
from bakeoff.launch import export_bundle
from bakeoff.runs.folder import run_dir

EVENT = '{"doing": "writing litert", "fraction": 0.1}'
REFUSED = "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 5.00 GiB for an array"


def _die(folder, monkeypatch, script):
    """What is said of an export whose process is this shell script."""
    stand_in = folder / "python"
    stand_in.write_text(f"#!/bin/sh\n{script}\n")
    stand_in.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(stand_in))
    with pytest.raises(BakeoffError) as caught:
        export_bundle(folder, folder, folder / "bundle", (Format.LITERT, Quantize.INT8))
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"litert-int8 of run {folder.name} cannot be written: ")
    assert "ended with code" not in line
    return caught.value.exit_code, line


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -ABRT $$", ["ended by SIGABRT while writing litert; ", "choose --quantize dynamic", "log.txt"]),
        ("kill -SEGV $$", ["ended by SIGSEGV while writing litert; ", "choose --quantize dynamic", "log.txt"]),
        ("echo bad_alloc >&2; kill -ABRT $$", ["out of memory: ", "machine with more memory"]),
        (f"echo '{REFUSED}' >&2; exit 1", ["out of memory: Unable to allocate 5.00 GiB", "with more memory"]),
        ("echo MemoryError >&2; exit 1", ["out of memory: an allocation was refused", "with more memory"]),
    ],
    ids=["abort", "segment", "allocation", "numpy", "python"],
)
def test_a_process_that_dies_is_the_users_one_line(tmp_path, monkeypatch, script, said):
    code, line = _die(tmp_path, monkeypatch, f"echo '{EVENT}'; {script}")
    assert code == 2
    assert [words for words in said if words not in line] == []


@pytest.mark.parametrize(
    ("kills", "said"), [((1, 2), "with more memory"), ((1, 1), "export it again")], ids=["memory", "outside"]
)
def test_a_process_that_is_killed_tells_what_to_do(tmp_path, monkeypatch, kills, said):
    monkeypatch.setattr("bakeoff.launch.process._count_memory_kills", iter(kills).__next__)
    code, line = _die(tmp_path, monkeypatch, "kill -KILL $$")
    assert code == 2
    assert said in line


def test_a_bug_is_its_exception_and_no_advice(tmp_path, monkeypatch):
    code, line = _die(tmp_path, monkeypatch, f"echo '{EVENT}'; echo 'KeyError: 7' >&2; exit 1")
    assert code == 1
    assert "KeyError: 7 while writing litert; see " in line


def test_a_converter_that_aborts_leaves_nothing(finished, shards, tmp_path, monkeypatch):
    converter = tmp_path / "modules" / "tf2onnx"
    converter.mkdir(parents=True)
    (converter / "__init__.py").write_text("import os\nos.abort()\n")
    monkeypatch.setattr(sys, "path", [str(converter.parent), *sys.path])  # a worker has the path of its parent
    out = tmp_path / "out"
    out.mkdir()
    folder = shutil.copytree(run_dir(finished.out, finished.record.id), tmp_path / "run")
    with pytest.raises(BundleError, match="ended by SIGABRT while writing onnx; choose --format"):
        export_bundle(folder, shards, out / "bundle", (Format.ONNX, None))
    assert not list(out.iterdir())
