"""What this machine gives a process: the environment that TensorFlow is started in, cores, and memory.

TensorFlow reads its environment once, when it is first imported.
"""

import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = [
    "count_cores",
    "describe_cpu",
    "free_memory",
    "host_available",
    "import_tensorflow",
    "limit_threads",
    "read_field",
    "share_machine",
    "tensorflow_environment",
]

# What TensorFlow's C++ code prints before its logging is set up.
_STARTUP_LINE = re.compile(
    rb"WARNING: All log messages before absl|[IWE]\d{4} [\d:.]+ +\d+ |To enable the following instr"
)


def tensorflow_environment(*, onednn: bool = False) -> dict[str, str]:
    """The process's environment with bakeoff's settings; what the user has set stays, but for the backend.

    TensorFlow leaves oneDNN off on CPUs without AVX-512, and says so on standard error where it is asked for. It is
    for processes whose output goes to a log: on such a CPU, training ran 1.1 to 1.7 times as fast with it.
    """
    defaults = {"TF_CPP_MIN_LOG_LEVEL": "2"}
    if onednn:
        defaults["TF_ENABLE_ONEDNN_OPTS"] = "1"
    return defaults | os.environ | {"KERAS_BACKEND": "tensorflow"}


def import_tensorflow() -> Any:
    """Import TensorFlow for a process that writes to a terminal, and return the module.

    TensorFlow prints a few lines on standard error while it is imported, before any of its settings for logging has an
    effect. They are left out; whatever else was printed meanwhile is passed on. Raises ModuleNotFoundError.
    """
    if "tensorflow" not in sys.modules:
        sys.stderr.flush()
        with tempfile.TemporaryFile() as printed:
            terminal = os.dup(2)
            os.dup2(printed.fileno(), 2)
            try:
                import tensorflow  # noqa: F401
            finally:
                os.dup2(terminal, 2)
                os.close(terminal)
                printed.seek(0)
                for line in printed:
                    if not _STARTUP_LINE.match(line):
                        os.write(2, line)
    import tensorflow as tf

    return tf


def limit_threads(threads: int) -> dict[str, str]:
    """The environment of a process that computes on so many threads: TensorFlow's pools, and NumPy's library's."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def share_machine(processes: int) -> dict[str, str]:
    """The environment of one of several processes that train side by side: an equal part of cores and free memory."""
    memory = {"BAKEOFF_RUN_MEMORY_BYTES": str(free_memory() // processes)}
    set_by_user = {name: os.environ[name] for name in memory if name in os.environ}
    return limit_threads(max(1, count_cores() // processes)) | memory | set_by_user


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_cpu() -> str:
    """The processor as records name it: its kind, and the cores of it that this process may use."""
    return f"cpu: {platform.machine()}, {count_cores()} cores"


def free_memory() -> int:
    """Bytes that a process could still get.

    macOS tells a process only how much memory there is, not how much is free, so there it is all of it.
    """
    if sys.platform == "linux":
        return host_available()
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def host_available(
    meminfo: Path = Path("/proc/meminfo"),
    membership: Path = Path("/proc/self/cgroup"),
    mount: Path = Path("/sys/fs/cgroup"),
) -> int:
    """The least of what Linux says is available and what each control group above this process has left."""
    return min([read_field(meminfo, "MemAvailable:") * 1024, *_group_headrooms(membership, mount)])


def _group_headrooms(membership: Path, mount: Path) -> Iterator[int]:
    """Limit less use of every memory control group (version 2 or 1) of this process that has a limit."""
    if not membership.is_file():
        return
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit, use, cache = mount, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root, limit, use = mount / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        group = root / path.lstrip("/")
        # Inside a container the path may be the host's, of which only the root can be seen, mounted in its place.
        for place in (group, *group.parents):
            if (place / limit).is_file() and (text := (place / limit).read_text().strip()) != "max":
                # Cached files count as use, but the kernel gives them up before it refuses memory.
                used = int((place / use).read_text()) - read_field(place / "memory.stat", cache)
                yield max(0, int(text) - used)
            if place == root:
                break


def read_field(path: Path, name: str) -> int:
    """The number after a name at the start of a line of a file. Raises KeyError if there is none."""
    for line in path.read_text().splitlines():
        words = line.split()
        if words[:1] == [name]:
            return int(words[1])
    raise KeyError(f"{name} in {path}")
