"""Commands and runs for tests: in this process, which is quick, or in one of their own where that is the point."""

import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from unittest import mock

import pytest

from bakeoff.cli import main
from bakeoff.errors import BakeoffError
from bakeoff.launch import Spare, executor, jobs, node
from bakeoff.launch.process import Ended
from bakeoff.locks import _held, release
from bakeoff.runs.events import OnProgress, RunProgress, parse_event
from bakeoff.runs.record import read_record

__all__ = ["BAKEOFF", "WorkerHere", "run_cli", "run_process", "work_here"]

BAKEOFF = [sys.executable, "-m", "bakeoff"]
# Long enough for a loaded machine; a command that hangs ends the test and not the day.
PATIENCE = 600

Done = subprocess.CompletedProcess[str]


def run_cli(*arguments: object, stdin: bytes = b"", **environment: str) -> Done:
    """Call a command as a shell does, but in this process: its exit code, standard output and standard error.

    Messages of TensorFlow's own, which bypass Python, are not in them.
    """
    words = ["bakeoff", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", words),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _letting_go(),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    code = ended.value.code
    assert code is None or isinstance(code, int)
    return subprocess.CompletedProcess(words, code or 0, out.getvalue(), err.getvalue())


def run_process(*arguments: object, **environment: str) -> Done:
    """Run a command in a process of its own."""
    return subprocess.run(
        [*BAKEOFF, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
        timeout=PATIENCE,
    )


@contextlib.contextmanager
def _letting_go() -> Iterator[None]:
    """Give up the folders that a command has kept, as the end of its process does."""
    before = set(_held)
    try:
        yield
    finally:
        for path in set(_held) - before:
            release(path.parent)


class WorkerHere:
    """Does a worker's jobs in this process, where TensorFlow has been started: for tests of what is around them.

    What a process of its own adds (limits, losses, memory of its own) is tested with launching.
    """

    def __init__(
        self,
        job: str,
        arguments: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str] | None = None,
        spare: Spare | None = None,
    ) -> None:
        del spare  # nothing to wait for
        self._job, self._arguments, self._environment = job, tuple(map(str, arguments)), environment or {}
        log.touch()

    def follow(self, limit: float | None = None, on_progress: OnProgress | None = None) -> Ended:
        """Do the job, and tell how it ended as a launcher does."""
        from bakeoff.worker import _JOBS

        del limit
        # What a deterministic run switches on stays on.
        assert self._job != "run" or not read_record(Path(self._arguments[0])).config.train.deterministic
        started = time.monotonic()
        failure = input_error = stop_reason = ""
        try:
            with mock.patch.dict(os.environ, self._environment), contextlib.redirect_stdout(_Events(on_progress)):
                _JOBS[self._job](*self._arguments)
        except _StoppedError as error:
            if error.__cause__ is not None:
                raise error.__cause__ from None
            stop_reason = str(error)
        except BakeoffError as error:
            failure, input_error = f"its process ended with code {error.exit_code}", str(error)
        return Ended(failure, input_error, stop_reason, seconds=time.monotonic() - started)

    def kill(self) -> None:
        """It has ended when anybody could ask for this."""


def work_here(patch: pytest.MonkeyPatch) -> None:
    """Have runs and other jobs done in this process: for tests that have one of them at a time."""
    for module in (executor, jobs, node):
        patch.setattr(module, "Worker", WorkerHere)


class _StoppedError(BaseException):
    """No mere Exception, for a worker makes a failed record of those."""


class _Events(io.TextIOBase):
    """Where a worker writes its events, line by line."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress

    def write(self, text: str) -> int:
        event = parse_event(text)
        if isinstance(event, RunProgress) and self._on_progress is not None:
            try:
                reason = self._on_progress(event)
            except BaseException as error:
                raise _StoppedError from error
            if reason:
                raise _StoppedError(reason)
        return len(text)
