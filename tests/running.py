"""The command line for tests: in this process, which is quick, or as a process of its own where that is the point."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from unittest import mock

import pytest

from bakeoff.cli import main
from bakeoff.files import _held, release

__all__ = ["BAKEOFF", "run_cli", "run_process"]

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
