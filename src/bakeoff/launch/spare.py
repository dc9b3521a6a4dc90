"""How a worker process is started; and at most one that is started ahead and waits, TensorFlow imported, for its job.

spare = Spare()
spare.prepare(environment, reserved_bytes=2_000_000_000)    # while a run is under way
process = spare.give("run", [folder, data], log, environment)     # None: start_process(...) instead
spare.close()
"""

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from bakeoff.machine import free_memory, python_command, python_path, tensorflow_environment

__all__ = ["WAIT", "Spare", "start_process"]

WAIT = "wait"
"""The job of a process that waits for its real one."""

# What a waiting process takes: 305 MB of its own were measured with TensorFlow 2.21; libraries' code is shared.
SPARE_BYTES = 500_000_000
# Runs under way may take so much more than was predicted.
RESERVE_FACTOR = 1.5


def start_process(
    job: str, arguments: Sequence[str | Path], errors: IO[bytes] | int, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start `bakeoff.worker` for a job.

    Args:
        job: The name of the job, as `bakeoff.worker` lists them.
        arguments: The job's arguments.
        errors: The file, or what `subprocess` knows instead, for its standard error.
        environment: Environment variables in addition to this process's.
    """
    return subprocess.Popen(
        [*python_command("bakeoff.worker"), job, *map(str, arguments)],
        stdin=subprocess.PIPE,  # closed when this process dies, which ends the worker
        stdout=subprocess.PIPE,
        stderr=errors,
        env=_whole(environment),
        # Ctrl-C reaches this process alone, which then ends the worker.
        start_new_session=True,
    )


class Spare:
    """At most one worker process that waits for its job. Its methods may be called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._inherited: tuple[Path, dict[str, str]] | None = None
        self._closed = False

    def prepare(self, environment: Mapping[str, str], reserved_bytes: int) -> None:
        """Start a process, unless one waits already, memory is short, or the spare is closed.

        Args:
            environment: Environment variables of the next job, in addition to this process's.
            reserved_bytes: Memory that the runs under way are predicted to take.
        """
        with self._lock:
            if self._closed or (self._process is not None and self._process.poll() is None):
                return
            self._end()
            if free_memory() < SPARE_BYTES + RESERVE_FACTOR * reserved_bytes:
                return
            # Where no process can be started ahead, the next one is started when it is needed, and says why it cannot.
            with contextlib.suppress(OSError):
                self._inherited = _inherited(environment)
                # It has no log yet. If it fails, a fresh process does the job, and fails in the job's log.
                self._process = start_process(WAIT, [], subprocess.DEVNULL, environment)

    def give(
        self, job: str, arguments: Sequence[str | Path], log: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes] | None:
        """Give the waiting process its job, and return it; it reports JobBegan when it begins.

        The job is given only if the process has inherited what one that is started now would. Else the process is
        ended, and None is returned, as if there is none, or if it has died.

        Args:
            job: The name of the job.
            arguments: The job's arguments.
            log: The file to which its standard error is appended from now on.
            environment: Environment variables in addition to this process's.
        """
        with self._lock:
            if self._process is None:
                return None
            order = json.dumps({"words": [job, *map(str, arguments)], "log": str(log)})
            if self._process.poll() is None and self._inherited == _inherited(environment):
                assert self._process.stdin is not None
                with contextlib.suppress(BrokenPipeError):
                    os.write(self._process.stdin.fileno(), order.encode() + b"\n")
                    process, self._process = self._process, None
                    return process
            self._end()
            return None

    def drop(self) -> None:
        """End the process that waits, if there is one."""
        with self._lock:
            self._end()

    def close(self) -> None:
        """End the process that waits, and start no more."""
        with self._lock:
            self._closed = True
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            with self._process:  # closes its pipes, and waits for its end
                self._process = None


def _inherited(environment: Mapping[str, str]) -> tuple[Path, dict[str, str]]:
    """What a worker that is started now inherits: the folder that relative paths begin in, and the variables."""
    return Path.cwd(), _whole(environment)


def _whole(environment: Mapping[str, str]) -> dict[str, str]:
    return tensorflow_environment(onednn=True) | python_path() | dict(environment)
