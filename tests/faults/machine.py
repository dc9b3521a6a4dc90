"""What a machine can do to a command: a full disk, memory that is refused, signals. Linux, and root for most of it."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import psutil

# Where the kernel keeps its limits of memory: of the first version of control groups, or the second.
_FIRST, _SECOND = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


# Seconds in which the worker of a killed command must have ended.
PATIENCE = 60


class Disk:
    """A small disk of its own, mounted at a folder; raises OSError where nobody may mount one."""

    ROOM = "400m"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> "Disk":
        self.folder.mkdir(exist_ok=True)
        _call("mount", "-t", "tmpfs", "-o", f"size={self.ROOM}", "tmpfs", self.folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _call("umount", "--lazy", self.folder)

    def fill(self, left: int = 64 * 1024) -> None:
        """Leave room for this many bytes."""
        _call("mount", "-o", f"remount,size={shutil.disk_usage(self.folder).used + left}", self.folder)

    def make_room(self) -> None:
        """As much as at the start."""
        _call("mount", "-o", f"remount,size={self.ROOM}", self.folder)

    def forbid_writing(self) -> None:
        """Let nobody write, as soon as the worker of a killed command has noticed and ended."""
        for _ in range(PATIENCE):
            with contextlib.suppress(OSError):  # a file is open for writing
                return _call("mount", "-o", "remount,ro", self.folder)
            time.sleep(1)
        raise OSError(f"somebody has been writing in {self.folder} for {PATIENCE} s")

    def allow_writing(self) -> None:
        """Let everybody write."""
        _call("mount", "-o", "remount,rw", self.folder)


# libfaketime 0.9.10 takes the moment until which Python sleeps, on the clock that is not set back, for one of the clock
# that is, and refuses it (EINVAL). So that sleep goes to the kernel as it is.
_SLEEP = """
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left) {
    return syscall(SYS_clock_nanosleep, clock, flags, time, left) ? errno : 0;
}
"""


class Clock:
    """A clock of its own for a command and all that it begins, by libfaketime where that and a C compiler are there."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._libraries: list[Path] = []
        found = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
        if found and shutil.which("cc"):
            source, sleep = file.with_suffix(".c"), file.with_suffix(".so")
            source.write_text(_SLEEP)
            _call("cc", "-shared", "-fPIC", "-o", sleep, source)
            self._libraries = [sleep, found]
        self._seconds = 0
        self.jump(0)

    @property
    def can_jump(self) -> bool:
        """Whether the library is there."""
        return bool(self._libraries)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a command uses this clock. What measures durations goes on as it does."""
        if not self.can_jump:
            return {}
        return {
            "LD_PRELOAD": ":".join(map(str, self._libraries)),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, seconds: int) -> None:
        """Set the clock forward by so many seconds, or back."""
        self._seconds += seconds
        self._file.write_text(f"{self._seconds:+d}s\n")


def can_mount() -> bool:
    """Whether this process may mount a disk."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


def can_limit_memory() -> bool:
    """Whether this process may limit another one's memory."""
    return os.geteuid() == 0 and (_FIRST.is_dir() or (_SECOND / "memory.max").is_file())


def limit_memory(pid: int) -> None:
    """Refuse a process any more memory from now on; the kernel kills it at its next demand."""
    group = _memory_group()
    group.mkdir(exist_ok=True)
    (group / ("memory.limit_in_bytes" if group.parent == _FIRST else "memory.max")).write_text("4M")
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        (group / "cgroup.procs").write_text(str(pid))


@contextlib.contextmanager
def group_with_cores(cores: float) -> Iterator[Path]:
    """A control group whose processes together may take the time of this many cores; its file of members.

    Raises OSError where no such group can be made.
    """
    first = Path("/sys/fs/cgroup/cpu")
    group = (first if first.is_dir() else _SECOND) / f"bakeoff-cores-{os.getpid()}"
    period = 100_000
    group.mkdir()
    try:
        if first.is_dir():
            (group / "cpu.cfs_period_us").write_text(str(period))
            (group / "cpu.cfs_quota_us").write_text(str(round(cores * period)))
        else:
            # Refused in most containers, where the group above has processes.
            (_SECOND / "cgroup.subtree_control").write_text("+cpu")
            (group / "cpu.max").write_text(f"{round(cores * period)} {period}")
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


def lift_limit() -> None:
    """Remove the limit, if there is one; while its process is about to end that has to wait."""
    with contextlib.suppress(OSError):
        _memory_group().rmdir()


def children_of(pid: int) -> list[int]:
    """The processes that a process has begun and that are alive."""
    try:
        return [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []


def measure_work(pid: int) -> float:
    """CPU seconds of a process and of all that it has begun and that are alive."""
    seconds = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for each in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                seconds += times.user + times.system
    return seconds


def send(pid: int, number: int) -> None:
    """Send a signal, unless the process has just ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def hear_interrupts() -> None:
    """In a new process: Ctrl-C is heard, which a shell has its background jobs, and all that they start, ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _memory_group() -> Path:
    return (_FIRST if (_FIRST / "cgroup.procs").is_file() else _SECOND) / "bakeoff-faults"


def _call(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
