"""Environment variables for TensorFlow and the other libraries, which read them once, when they are imported."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from bakeoff.machine.cores import count_cores, count_visible_cores
from bakeoff.machine.memory import free_memory
from bakeoff.variables import (
    KERAS_BACKEND,
    OMP_NUM_THREADS,
    OPENBLAS_NUM_THREADS,
    ORT_DISABLE_TELEMETRY,
    RUN_MEMORY_BYTES,
    TF_CPP_MIN_LOG_LEVEL,
    TF_ENABLE_ONEDNN_OPTS,
    TF_NUM_INTEROP_THREADS,
    TF_NUM_INTRAOP_THREADS,
)

__all__ = [
    "changed_environment",
    "own_settings",
    "python_command",
    "python_path",
    "shared_machine_environment",
    "tensorflow_environment",
    "tensorflow_settings",
    "thread_environment",
]

# The folder that bakeoff is imported from.
_HOME = Path(__file__).resolve().parents[2]


def tensorflow_environment(*, onednn: bool = False) -> dict[str, str]:
    """This process's environment variables with bakeoff's settings for TensorFlow, NumPy and ONNX Runtime.

    Variables that the user has set stay, except for KERAS_BACKEND.

    Args:
        onednn: As of `own_settings`.
    """
    own = own_settings(onednn=onednn)
    return own | os.environ | {KERAS_BACKEND.name: own[KERAS_BACKEND.name]}


def own_settings(*, onednn: bool = False) -> dict[str, str]:
    """The environment variables that bakeoff sets for TensorFlow, NumPy and ONNX Runtime.

    Args:
        onednn: Whether to switch oneDNN on. TensorFlow switches it off on CPUs without AVX-512; there, training ran 1.1
            to 1.7 times as fast with it. TensorFlow then prints a notice on standard error, so this is for processes
            whose output goes to a log. Where the user gives an operation one thread, it stays off
            (`thread_environment`).
    """
    # From 1.29 on, ONNX Runtime reports what it runs to its maker unless this is set.
    settings = {KERAS_BACKEND.name: "tensorflow", TF_CPP_MIN_LOG_LEVEL.name: "2", ORT_DISABLE_TELEMETRY.name: "1"}
    if onednn and TF_NUM_INTRAOP_THREADS.read() != "1":
        settings[TF_ENABLE_ONEDNN_OPTS.name] = "1"
    if (cores := count_cores()) < count_visible_cores() or cores == 1:
        # The libraries start a thread for each visible core, and all of them would wait for the few that may run. On a
        # single core, TensorFlow would begin one.
        settings |= thread_environment(cores)
    return settings


@contextlib.contextmanager
def tensorflow_settings() -> Iterator[None]:
    """Give the process the environment of `tensorflow_environment` for the block, or for a function that it decorates.

    At the end `os.environ` is as it was. What libraries set when they are imported stays, because they need it.
    """
    settings = {name: text for name, text in tensorflow_environment().items() if os.environ.get(name) != text}
    with changed_environment(settings):
        yield


@contextlib.contextmanager
def changed_environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables of this process for the block; at its end they are as they were."""
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


def python_command(module: str) -> list[str]:
    """The beginning of the command line that runs a module of bakeoff's own in another process.

    Without -P, Python looks for modules in the current folder first. A file there with the name of a module of Python
    or of a library, such as `random.py` or `keras.py`, would run in its place.
    """
    return [sys.executable, "-P", "-m", module]


def python_path() -> dict[str, str]:
    """The environment variable by which another Python process finds the modules that this one does.

    The current folder comes last there, for the reason of `python_command`, unless bakeoff itself is imported from it.
    """
    here = Path.cwd()
    places = dict.fromkeys(place or str(here) for place in sys.path)
    if here != _HOME and str(here) in places:
        places[str(here)] = places.pop(str(here))
    return {"PYTHONPATH": os.pathsep.join(place for place in places if os.pathsep not in place)}


def thread_environment(threads: int) -> dict[str, str]:
    """Environment variables that limit TensorFlow, and the library under NumPy, to this many threads each.

    An operation of TensorFlow gets two threads at least. With one, the gradient of some convolutions crashes TensorFlow
    2.21 with oneDNN on CPUs without AVX-512 (`MklConvCustomBackpropFilterOp` follows a wrong address).
    """
    limits = (TF_NUM_INTEROP_THREADS, OMP_NUM_THREADS, OPENBLAS_NUM_THREADS)
    return {limit.name: str(threads) for limit in limits} | {TF_NUM_INTRAOP_THREADS.name: str(max(2, threads))}


def shared_machine_environment(processes: int) -> dict[str, str]:
    """Environment variables for each of several processes that train at once: an equal share of cores and memory.

    The share of memory is of what is free now; BAKEOFF_RUN_MEMORY_BYTES in the environment overrides it.
    """
    memory = {RUN_MEMORY_BYTES.name: RUN_MEMORY_BYTES.read() or str(free_memory() // processes)}
    return thread_environment(max(1, count_cores() // processes)) | memory
