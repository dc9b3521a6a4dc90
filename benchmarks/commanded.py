"""A process that answers commands, one line each, with lines of JSON. Without an answer in time it is ended."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from bakeoff.machine import tensorflow_environment

__all__ = ["Commanded", "GivenUpError"]


class GivenUpError(Exception):
    """There is no answer, or not in reasonable time."""


class Commanded:
    """The process. After it has ended, it is started again at the next command."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it; it says something first."""
        self._command = command
        self.greeting = self._start()

    def ask(self, question: str, patience: float | None = None) -> dict[str, Any]:
        """Give a command, and wait for the answer.

        Args:
            question: The command.
            patience: Seconds after which the process is ended; None for no limit.

        Raises:
            GivenUpError: The process ended, or it answers with an error.
        """
        if self._process.poll() is not None:
            self._start()
        assert self._process.stdin is not None
        timer = threading.Timer(patience, self._process.kill) if patience is not None else None
        if timer:
            timer.start()
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        answer = next(self._answers(), None)
        if timer:
            timer.cancel()
        if answer is None:
            code = self._process.wait()
            raise GivenUpError(f"no answer in {patience:.0f} s" if timer and code == -9 else f"it ended with {code}")
        if "error" in answer:
            raise GivenUpError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _start(self) -> dict[str, Any]:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=tensorflow_environment(onednn=True),
        )
        greeting = next(self._answers(), None)
        if greeting is None:
            sys.exit(f"a process of the benchmark died; run `{' '.join(self._command)}` to see why")
        return greeting

    def _answers(self) -> Iterator[dict[str, Any]]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
