"""Latency and memory of a model on the processor, measured in a fresh process like a user's.

python -m bakeoff.deploy.bundle.benchmark MODEL FORMAT SIDE [PLUGIN]
"""

import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bakeoff.deploy.bundle.facts import Timing
from bakeoff.deploy.bundle.formats import Format
from bakeoff.deploy.bundle.runtimes import Runtime, open_runtime
from bakeoff.errors import BundleError
from bakeoff.machine import describe_cpu, peak_memory, python_command, python_path, tensorflow_environment
from bakeoff.runs.plugin import Plugin
from bakeoff.variables import CUDA_VISIBLE_DEVICES

__all__ = ["THREADS", "measure_model"]

THREADS = 2
# Each batch size is timed at least this often and this long, in seconds; the median is reported.
_LEAST_RUNS, _LEAST_SECONDS = 5, 1.5


def measure_model(path: Path, model_format: Format, side: int, plugin: Plugin | None = None) -> Timing:
    """Measure a model in a fresh process with two threads, on the processor: so all formats are comparable.

    Args:
        path: The model.
        model_format: Its format.
        side: Side in pixels of the images that it takes.
        plugin: The plug-in network that it holds; None if it is a network of bakeoff's own.

    Raises:
        BundleError: The process fails.
    """
    command = [*python_command("bakeoff.deploy.bundle.benchmark"), str(path), model_format.value, str(side)]
    command += [plugin.model_dump_json() if plugin else "", repr(time.time())]
    # TensorFlow would take a GPU, which ONNX Runtime and LiteRT do not, and whose memory the calling process has taken.
    environment = tensorflow_environment(onednn=True) | python_path() | {CUDA_VISIBLE_DEVICES.name: "-1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        raise BundleError(f"{path.name} cannot be run: ended by {signal.Signals(-done.returncode).name}")
    if done.returncode > 0:
        reason = (done.stderr.strip().splitlines() or [f"its process ended with code {done.returncode}"])[-1]
        raise BundleError(f"{path.name} cannot be run: {reason}")
    return Timing.model_validate(json.loads(done.stdout.splitlines()[-1]))


def main(path: str, model_format: str, side: str, plugin: str, started: str) -> None:
    """Open a model, measure it, and print a Timing as a line of JSON; `started` is the time of the process's start."""
    images = np.random.default_rng(0).integers(0, 256, (32, int(side), int(side), 3), np.uint8)
    known = Plugin.model_validate_json(plugin) if plugin else None
    runtime = open_runtime(Path(path), Format(model_format), THREADS, known)
    runtime(images[:1])
    timing = Timing(
        threads=THREADS,
        load_seconds=time.time() - float(started),
        batch1_seconds=_median_seconds(runtime, images[:1]),
        batch32_seconds=_median_seconds(runtime, images),
        memory_peak_bytes=peak_memory(),
        device=describe_cpu(),
    )
    sys.stdout.write(timing.model_dump_json() + "\n")


def _median_seconds(runtime: Runtime, images: np.ndarray) -> float:
    runtime(images)
    seconds: list[float] = []
    while len(seconds) < _LEAST_RUNS or sum(seconds) < _LEAST_SECONDS:
        started = time.perf_counter()
        runtime(images)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
