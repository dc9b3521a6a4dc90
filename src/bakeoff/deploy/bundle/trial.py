"""What a model takes in a fresh process, as a user's would: time to the first answer, time a batch, memory.

python -m bakeoff.deploy.bundle.trial MODEL FORMAT SIDE
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bakeoff.deploy.bundle.facts import Timing
from bakeoff.deploy.bundle.kinds import Format
from bakeoff.deploy.bundle.runtimes import Runtime, open_runtime
from bakeoff.errors import BakeoffError
from bakeoff.machine import describe_cpu, tensorflow_environment

__all__ = ["THREADS", "try_out"]

THREADS = 2
# Each batch is timed this often at least, and for so many seconds; the median counts.
_LEAST, _SECONDS = 5, 1.5
# When the process was started, in seconds since the epoch.
_STARTED = "BAKEOFF_TRIAL_STARTED"


def try_out(path: Path, form: Format, side: int) -> Timing:
    """Time a model in a process of its own, with two threads. Raises BakeoffError if that process fails."""
    command = [sys.executable, "-m", "bakeoff.deploy.bundle.trial", str(path), form.value, str(side)]
    environment = tensorflow_environment(onednn=True)
    environment[_STARTED] = repr(time.time())
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"its process ended with code {done.returncode}"])[-1]
        raise BakeoffError(f"{path} cannot be run: {last}")
    return Timing.model_validate(json.loads(done.stdout.splitlines()[-1]))


def main(path: str, form: str, side: str) -> None:
    """Open a model, time it, and print a Timing as a line of JSON."""
    images = np.random.default_rng(0).integers(0, 256, (32, int(side), int(side), 3), np.uint8)
    runtime = open_runtime(Path(path), Format(form), THREADS)
    runtime(images[:1])
    timing = Timing(
        threads=THREADS,
        load_seconds=time.time() - float(os.environ[_STARTED]),
        batch1_seconds=_time(runtime, images[:1]),
        batch32_seconds=_time(runtime, images),
        memory_peak_bytes=_peak_bytes(),
        device=describe_cpu(),
    )
    sys.stdout.write(timing.model_dump_json() + "\n")


def _time(runtime: Runtime, images: np.ndarray) -> float:
    runtime(images)
    seconds: list[float] = []
    while len(seconds) < _LEAST or sum(seconds) < _SECONDS:
        started = time.perf_counter()
        runtime(images)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    if not status.is_file():
        # Bytes on macOS, the only other system this runs on.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # A child's ru_maxrss would hold its parent's peak.
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
