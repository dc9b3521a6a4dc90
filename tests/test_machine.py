"""What this machine gives processes of bakeoff, and what they are started with."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import bakeoff
from bakeoff.machine import (
    count_cores,
    describe_cpu,
    environment,
    python_command,
    python_path,
    tensorflow_environment,
    thread_environment,
)
from faults.machine import group_with_cores

HOST_CORES = 64
THREAD_VARIABLES = tuple(thread_environment(1))
SLURM_VARIABLES = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")


def test_onnx_runtime_writes_no_reports_to_its_maker(tmp_path):
    pytest.importorskip("onnxruntime")
    environment = tensorflow_environment() | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", "import onnxruntime"], env=environment, check=True, timeout=600)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in (*THREAD_VARIABLES, *SLURM_VARIABLES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Writes control groups as Linux has them, on a host of many cores, and returns what `count_cores` reads there."""
    monkeypatch.setattr(os, "cpu_count", lambda: HOST_CORES)

    def count(membership="", files=(), *, affinity=HOST_CORES):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
        (tmp_path / "cgroup").write_text(membership)
        for name, text in dict(files).items():
            path = tmp_path / "mount" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return count_cores(tmp_path / "cgroup", tmp_path / "mount")

    return count


def _quota(folder, quota, period=100_000):
    return {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": period}


def test_without_control_groups_all_cores_count(host):
    assert host() == HOST_CORES


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("max 100000", HOST_CORES),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("1000 100000", 1),
        ("30000 10000", 3),
        ("99900000 100000", HOST_CORES),
    ],
)
def test_the_quota_of_a_group_is_rounded_up_to_cores(host, limit, cores):
    assert host("0::/job\n", {"job/cpu.max": limit}) == cores


@pytest.mark.parametrize(("outer", "inner", "cores"), [(3, 8, 3), (8, 3, 3), (3, "max", 3), ("max", "max", HOST_CORES)])
def test_the_tightest_group_above_a_process_counts(host, outer, inner, cores):
    files = {
        f"{folder}/cpu.max": f"{limit if limit == 'max' else limit * 100_000} 100000"
        for folder, limit in (("pods", outer), ("pods/one", inner))
    }
    # The group of the process itself has no such file, because the controller is not passed on to it.
    assert host("0::/pods/one/main\n", files) == cores


def test_in_a_container_the_mounted_group_is_its_own_and_the_path_the_hosts(host):
    assert host("0::/../kubepods.slice/pod1\n", {"cpu.max": "400000 100000"}) == 4
    assert host("0::/\n", {"cpu.max": "300000 100000"}) == 3


@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
def test_the_first_version_of_control_groups_is_read_too(host, folder):
    membership = "5:cpuset:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/job\n"
    assert host(membership, _quota(f"{folder}/job", -1) | _quota(folder, -1)) == HOST_CORES
    assert host(membership, _quota(f"{folder}/job", 250_000)) == 3
    assert host(membership, _quota(folder, 20_000, 10_000)) == 2
    assert host("4:cpu,cpuacct:/docker/1f\n", _quota(folder, 100_000)) == 1


def test_both_versions_side_by_side_are_read(host):
    files = _quota("cpu/job", 700_000) | {"unified/job/cpu.max": "600000 100000"}
    assert host("4:cpu:/job\n0::/job\n", files) == 6


def test_a_quota_never_gives_more_than_the_affinity(host):
    assert host("0::/job\n", {"job/cpu.max": "800000 100000"}, affinity=3) == 3


def test_slurm_says_the_cores_where_it_does_not_bind_them(host, monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "16")
    assert host() == 16
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert host() == 4
    # Bound to two cores with two threads each.
    assert host(affinity=8) == 8
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1000")
    monkeypatch.delenv("SLURM_CPUS_ON_NODE")
    assert host() == HOST_CORES


def test_records_name_the_cores_that_may_be_used(monkeypatch):
    monkeypatch.setattr("bakeoff.machine.cores.count_cores", lambda: 3)
    assert describe_cpu().endswith(", 3 cores")


def test_libraries_start_as_many_threads_as_there_are_cores(monkeypatch):
    monkeypatch.setattr(environment, "count_visible_cores", lambda: HOST_CORES)
    monkeypatch.setattr(environment, "count_cores", lambda: 2)
    assert tensorflow_environment().items() >= thread_environment(2).items()
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert tensorflow_environment().items() >= (thread_environment(2) | {"OMP_NUM_THREADS": "5"}).items()


def test_without_a_limit_the_number_of_threads_is_left_to_the_libraries(monkeypatch):
    monkeypatch.setattr(environment, "count_visible_cores", lambda: HOST_CORES)
    monkeypatch.setattr(environment, "count_cores", lambda: HOST_CORES)
    assert not set(THREAD_VARIABLES) & set(tensorflow_environment())


def test_onednn_never_runs_with_one_thread(monkeypatch):
    monkeypatch.setattr(environment, "count_visible_cores", lambda: 1)
    monkeypatch.setattr(environment, "count_cores", lambda: 1)
    for name in (*THREAD_VARIABLES, "TF_ENABLE_ONEDNN_OPTS"):
        monkeypatch.delenv(name, raising=False)
    settings = tensorflow_environment(onednn=True)
    assert settings["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert (settings["TF_NUM_INTRAOP_THREADS"], settings["TF_NUM_INTEROP_THREADS"]) == ("2", "1")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    settings = tensorflow_environment(onednn=True)
    assert settings["TF_NUM_INTRAOP_THREADS"] == "1"
    assert "TF_ENABLE_ONEDNN_OPTS" not in settings


_FOUND = """
import contextlib, json, os, sys
sys.stdin.read()
sys.argv = ["bakeoff", "--version"]
from bakeoff import cli, machine
with contextlib.suppress(SystemExit):
    cli.main()
from threadpoolctl import threadpool_info
blas = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
print(json.dumps([machine.count_cores(), os.environ.get("TF_NUM_INTEROP_THREADS"), blas]))
"""


@pytest.mark.skipif(count_cores() == 1, reason="a limit needs more than one core")
@pytest.mark.skipif(not Path("/proc/self/cgroup").is_file(), reason="control groups are Linux's")
def test_a_real_control_group_limits_cores_and_threads():
    command = [sys.executable, "-c", _FOUND]
    try:
        with (
            group_with_cores(0.9) as members,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
        ):
            members.write_text(str(process.pid))
            out, _ = process.communicate()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    assert json.loads(out.splitlines()[-1]) == [1, "1", [1]]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do not keep what is freed")
@pytest.mark.parametrize(("last", "kept_mb"), [("pass", range(16, 1000)), ("release_memory()", range(4))])
def test_what_is_freed_is_given_back_though_small_objects_lie_above_it(last, kept_mb):
    code = f"""
import psutil
from bakeoff.machine import release_memory
before = psutil.Process().memory_info().rss
block = bytearray(b"x") * 20_000_000
del block
small = []
for _ in range(10):
    block = bytearray(b"x") * 16_000_000
    small.append(bytearray(b"x") * 100_000)
    del block
{last}
print(psutil.Process().memory_info().rss - before)
"""
    kept = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert kept // 1_000_000 in kept_mb


def test_a_process_of_ours_runs_no_file_of_the_current_folder_in_place_of_a_module(tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('not the module of that name')")
    done = subprocess.run([*python_command("json.tool"), "--help"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_process_of_ours_is_started_in_the_same_way():
    package = Path(bakeoff.__file__).parent
    assert [path.name for path in package.rglob("*.py") if "sys.executable" in path.read_text("utf-8")] == [
        "environment.py"
    ]


def test_the_current_folder_is_the_last_that_a_process_of_ours_searches(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", ["", "/first", "/second"])
    home = Path(bakeoff.__file__).parents[1]
    for folder, places in ((tmp_path, ["/first", "/second", tmp_path]), (home, [home, "/first", "/second"])):
        monkeypatch.chdir(folder)
        assert python_path() == {"PYTHONPATH": os.pathsep.join(map(str, places))}
