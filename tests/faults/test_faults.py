"""Faults with one outcome: what is damaged is named, exit code 2, and doing what the line says mends it."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from bakeoff.data.shards import prepare_cached
from bakeoff.runs.config import Data
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import State, write_record
from factories import make_record
from running import BAKEOFF, run_cli

from . import harness, packages
from .harness import play
from .machine import Clock, Disk, can_limit_memory, can_mount, hear_interrupts
from .packages import KILLED

SETTINGS = ("model.name=cnn-small", "model.size=32", "train.images=640")
TRAIN = ["train", "digits", *(part for setting in SETTINGS for part in ("--set", setting))]


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A folder with a cache in which the data are prepared."""
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path / "cache"))
    prepare_cached(Data(source="digits"))
    return tmp_path


def _one_line(done, *words):
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in last
    return last


def test_a_record_cut_in_half_is_named_and_removing_it_mends(tmp_path):
    torn, whole = make_record("a@96", 0.7), make_record("b@64", 0.6)
    for record in (torn, whole):
        write_record(run_dir(tmp_path, record.id), record)
    path = run_dir(tmp_path, torn.id) / "record.json"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _one_line(run_cli("board", tmp_path), str(path), "remove that run's folder")
    shutil.rmtree(path.parent)
    assert run_cli("board", tmp_path).returncode == 0


def test_a_damaged_shard_is_named_and_no_candidate_is_blamed(study):
    (shard,) = study.glob("cache/data/*/train-*.tfrecord")
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 4
    shard.write_bytes(raw)
    done = run_cli(*TRAIN, "--out", study / "out")
    _one_line(done, str(shard), "damaged", "prepare")
    assert harness.find_torn_shards(shard.parent) == [shard.name]
    (record,) = study.glob("out/runs/*/record.json")
    assert json.loads(record.read_text())["state"] == "RUNNING"


def test_a_second_command_in_one_folder_is_refused_and_the_first_goes_on(study):
    command = [*BAKEOFF, *TRAIN, "--set", "train.images=64000", "--out", str(study / "out")]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts)
    lock = study / "out" / ".lock"
    try:
        while not (lock.is_file() and lock.read_text().endswith("\n")):
            assert first.poll() is None
            time.sleep(0.1)
        second = run_cli(*TRAIN, "--out", study / "out")
        _one_line(second, "in use by another bakeoff", str(first.pid), "--out")
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate()


@pytest.mark.usefixtures("workers_here")
@pytest.mark.skipif(not can_mount(), reason="mounting a small disk needs root")
def test_a_full_disk_is_told_and_the_same_command_goes_on_when_there_is_room(study):
    with Disk(study / "disk") as disk:
        disk.fill(300_000)
        full = run_cli(*TRAIN, "--out", disk.folder / "out")
        _one_line(full, "No space left", "free some space")
        for path in disk.folder.rglob("*.json"):
            json.loads(path.read_text())
        assert not list(disk.folder.rglob(".partial-*"))
        disk.make_room()
        assert run_cli(*TRAIN, "--out", disk.folder / "out").returncode == 0


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    place = tmp_path / "file"
    place.write_text("")
    _one_line(run_cli(*TRAIN, "--out", place / "out"), "cannot write", str(place))


def test_a_clock_that_is_set_back_leaves_durations_as_they_are(tmp_path):
    clock = Clock(tmp_path / "clock")
    if not clock.can_jump:
        pytest.skip("setting a clock back needs libfaketime and a C compiler")
    clock.jump(-3600)
    # Short sleeps: the end of some is over when they begin.
    code = "import time; began = time.monotonic(); [time.sleep(1e-5) for _ in range(2000)]; time.sleep(0.05);"
    code += "print(time.time(), time.monotonic() - began)"
    before = time.time()
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | clock.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    now, took = map(float, done.stdout.split())
    assert before - 3600 <= now <= time.time() - 3600
    assert took >= 0.05


def test_a_command_counts_as_hanging_only_if_it_does_nothing(monkeypatch):
    work = iter([0.0, 5.0, 5.0, 9.0, 9.0, 9.2])
    monkeypatch.setattr(harness, "measure_work", lambda _: next(work))
    monkeypatch.setattr(harness, "PATIENCE", 0.0)
    with subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            harness.hear_end(process)
        process.kill()
    assert list(work) == []


@pytest.fixture
def a_study(tmp_path, monkeypatch):
    """A comparison in a folder, as a round looks at it."""
    monkeypatch.setattr(harness, "Clock", lambda _: None)
    (tmp_path / "disk" / "out").mkdir(parents=True)
    return harness.Study(tmp_path, harness.EQUAL)


def _write(study, *records):
    for record in records:
        write_record(run_dir(study.out, record.id), record)


def test_a_fault_that_finds_no_worker_did_not_happen():
    with subprocess.Popen(["true"], stderr=subprocess.PIPE, text=True) as process:
        scene = harness.Scene(None, process, None, None)
        for disturb in (harness.kill_child, harness.pause_child, harness.hang_child, harness.starve_child):
            assert disturb(scene) is False


def test_a_damage_that_finds_nothing_did_not_happen(a_study):
    for damage in (harness.cut_record, harness.flip_checkpoint, harness.cut_shard, harness.flip_shard):
        assert damage(a_study, harness.Round(), random.Random(0)) is False


def test_a_forgotten_opening_and_a_lost_run_are_found(a_study):
    record, found = make_record("lenet@32", test_top1=0.8), harness.Round()
    _write(a_study, record)
    openings = run_dir(a_study.out, record.id) / "test-openings.txt"
    openings.write_text("one\ntwo\n")
    a_study.look(found)
    assert found.failures == []
    openings.write_text("two\n")
    a_study.look(found)
    assert found.failures == [f"an opening of the test by {record.id} was forgotten"]
    shutil.rmtree(openings.parent)
    a_study.look(found)
    assert f"the completed run {record.id} was lost" in found.failures


def test_a_comparison_ends_as_undisturbed_only_if_every_run_is_complete_and_saw_all_images(a_study):
    whole, short = (make_record(name, images_seen=seen) for name, seen in (("lenet@32", 12_800), ("a@32", 12_736)))
    failed = make_record("cnn-small@32", state=State.FAILED, reason="killed")
    (a_study.out / "report.html").touch()

    def judge(*records):
        shutil.rmtree(a_study.out / "runs", ignore_errors=True)
        _write(a_study, *records)
        (a_study.out / "board.csv").write_text("\n".join(["id", *(each.id for each in records)]))
        found = harness.Round()
        harness._judge_end(a_study, found)
        return found.failures

    assert judge(whole, short) == [f"{short.id} saw 12736 images"]
    assert judge(whole, failed) == [f"{failed.id} is FAILED: killed"]


def test_torn_archives_are_found(tmp_path):
    np.savez(tmp_path / "whole.npz", values=np.arange(9))
    raw = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(raw[: len(raw) // 2])
    (tmp_path / "flipped.npz").write_bytes(raw[:150] + bytes([raw[150] ^ 1]) + raw[151:])
    assert sorted(path.name for path in harness.find_torn(tmp_path)) == ["cut.npz", "flipped.npz"]


def test_a_weights_command_that_fails_by_itself_is_no_kill(tmp_path, monkeypatch):
    for name in ("kit", "imported"):
        (tmp_path / name).mkdir()
    codes = iter(2 * [0, -signal.SIGKILL, 1, 0, 0, 0, 0])
    monkeypatch.setattr(packages, "_run", lambda *_: (next(codes), "out of luck"))
    monkeypatch.setattr(packages, "_find_torn", lambda _: [])
    monkeypatch.setattr(packages, "read_kit", lambda _: [SimpleNamespace(network=name) for name in packages.NETWORKS])
    killed, wrong = packages.disturb_package(tmp_path, random.Random(0))
    assert killed == 2
    assert wrong == [f"weights {verb} ended with code 1: out of luck" for verb in ("export", "import")]


@pytest.mark.slow
def test_a_weights_package_that_is_killed_again_and_again_is_whole_at_the_end(tmp_path):
    found = play(tmp_path, 0, KILLED)
    assert found.failures == []
    assert found.faults


@pytest.mark.slow
@pytest.mark.skipif(not (can_mount() and can_limit_memory()), reason="disks and limits need root on Linux")
@pytest.mark.parametrize("seed", range(6))
def test_a_disturbed_study_ends_as_it_should(tmp_path, seed):
    found = play(tmp_path, 1000 + seed)
    assert found.failures == []
    assert found.faults
