"""What this machine gives a process: CPU cores, memory, and the environment variables for TensorFlow.

TensorFlow reads its environment variables once, when it is first imported.
"""

import contextlib
import os
import platform
import re
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bakeoff.errors import InputError

__all__ = [
    "available_host_memory",
    "count_cores",
    "describe_cpu",
    "free_memory",
    "import_tensorflow",
    "keras_home",
    "peak_memory",
    "read_field",
    "shared_machine_environment",
    "start_keras",
    "tensorflow_environment",
    "tensorflow_settings",
    "thread_environment",
]

# Lines that TensorFlow's C++ code prints before its logging is set up.
_STARTUP_LINE = re.compile(
    rb"WARNING: All log messages before absl|[IWE]\d{4} [\d:.]+ +\d+ |To enable the following instr"
)


def tensorflow_environment(*, onednn: bool = False) -> dict[str, str]:
    """This process's environment variables with bakeoff's settings for TensorFlow and ONNX Runtime.

    Variables that the user has set stay, except for KERAS_BACKEND.

    Args:
        onednn: Whether to switch oneDNN on. TensorFlow switches it off on CPUs without AVX-512; there, training ran 1.1
            to 1.7 times as fast with it. TensorFlow then prints a notice on standard error, so this is for processes
            whose output goes to a log.
    """
    # From 1.29 on, ONNX Runtime reports what it runs to its maker unless this is set.
    defaults = {"TF_CPP_MIN_LOG_LEVEL": "2", "ORT_DISABLE_TELEMETRY": "1"}
    if onednn:
        defaults["TF_ENABLE_ONEDNN_OPTS"] = "1"
    return defaults | os.environ | {"KERAS_BACKEND": "tensorflow"}


@contextlib.contextmanager
def tensorflow_settings() -> Iterator[None]:
    """Give the process the environment of `tensorflow_environment` for the block, or for a function that it decorates.

    At the end `os.environ` is as it was. What libraries set when they are imported stays, because they need it.
    """
    settings = {name: text for name, text in tensorflow_environment().items() if os.environ.get(name) != text}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def import_tensorflow() -> Any:
    """Import TensorFlow without its start-up messages, for a process that writes to a terminal; return the module.

    While it is imported, TensorFlow prints a few lines on standard error, before its settings for logging have an
    effect. These lines are dropped, all others are passed on. Raises ModuleNotFoundError without TensorFlow, and
    InputError if `keras.json` keeps Keras, which TensorFlow imports, from starting.
    """
    if "tensorflow" not in sys.modules:
        sys.stderr.flush()
        with tempfile.TemporaryFile() as printed:
            terminal = os.dup(2)
            os.dup2(printed.fileno(), 2)
            try:
                with _keras_settings_explained():
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


@contextlib.contextmanager
def _keras_settings_explained() -> Iterator[None]:
    """Turn what Keras raises over its `keras.json` while it is imported into an InputError that names the file."""
    try:
        yield
    except (AssertionError, ValueError, TypeError, AttributeError, ImportError) as error:
        settings = keras_home() / "keras.json"
        if isinstance(error, ModuleNotFoundError) or not settings.is_file():
            raise
        reason = str(error).strip().partition("\n")[0] or "a value that it does not know"
        raise InputError(f"Keras does not start with {settings} ({reason}); correct that file, or delete it") from error


def start_keras() -> None:
    """Import Keras in a process of bakeoff's own, with the settings that its networks and weights are made for.

    Keras takes its defaults from `keras.json` in its home folder, where users set others for their programs. The
    backend is that of `tensorflow_environment`. Raises InputError as `import_tensorflow` does.
    """
    import_tensorflow()
    with _keras_settings_explained():
        import keras

    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")


def keras_home() -> Path:
    """The folder with Keras' settings and weights: `$KERAS_HOME`, by default `~/.keras`."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()


def thread_environment(threads: int) -> dict[str, str]:
    """Environment variables that limit TensorFlow, and the library under NumPy, to this many threads each."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def shared_machine_environment(processes: int) -> dict[str, str]:
    """Environment variables for each of several processes that train at once: an equal share of cores and memory.

    The share of memory is of what is free now; BAKEOFF_RUN_MEMORY_BYTES in the environment overrides it.
    """
    memory = {"BAKEOFF_RUN_MEMORY_BYTES": str(free_memory() // processes)}
    set_by_user = {name: os.environ[name] for name in memory if name in os.environ}
    return thread_environment(max(1, count_cores() // processes)) | memory | set_by_user


def count_cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_cpu() -> str:
    """The CPU as records name it: architecture, and number of cores that this process may use."""
    return f"cpu: {platform.machine()}, {count_cores()} cores"


def free_memory() -> int:
    """Bytes of memory that this process could still get. On macOS, which does not report it: all memory."""
    if sys.platform == "linux":
        return available_host_memory()
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def peak_memory() -> int:
    """The largest number of bytes that this process has had in physical memory.

    On Linux it is the kernel's high-water mark, VmHWM of proc(5), because `ru_maxrss` of a child includes the peak of
    its parent. On macOS it is `ru_maxrss`, which is in bytes there.
    """
    if sys.platform == "linux":
        return read_field(Path("/proc/self/status"), "VmHWM:") * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def available_host_memory(
    meminfo: Path = Path("/proc/meminfo"),
    membership: Path = Path("/proc/self/cgroup"),
    mount: Path = Path("/sys/fs/cgroup"),
) -> int:
    """Bytes of memory available on Linux: MemAvailable, or less if a control group of this process has less left.

    Args:
        meminfo: The file with MemAvailable.
        membership: The file that lists the control groups of this process.
        mount: Where the control groups are mounted.
    """
    return min([read_field(meminfo, "MemAvailable:") * 1024, *_group_headrooms(membership, mount)])


def _group_headrooms(membership: Path, mount: Path) -> Iterator[int]:
    """Limit minus usage, in bytes, of each control group (version 2 or 1) of this process that limits memory."""
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
        # In a container, the path may be that of the host, while only the container's group is mounted, at `root`.
        for folder in (group, *group.parents):
            if (folder / limit).is_file() and (text := (folder / limit).read_text().strip()) != "max":
                # Usage includes cached files, but the kernel drops those before it refuses memory.
                used = int((folder / use).read_text()) - read_field(folder / "memory.stat", cache)
                yield max(0, int(text) - used)
            if folder == root:
                break


def read_field(path: Path, name: str) -> int:
    """The integer after a name at the start of a line, as in files of /proc. Raises KeyError without such a line."""
    for line in path.read_text().splitlines():
        words = line.split()
        if words[:1] == [name]:
            return int(words[1])
    raise KeyError(f"{name} in {path}")
