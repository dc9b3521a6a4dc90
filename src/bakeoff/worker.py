"""The entry point of a worker process: one job, reported line by line on standard output.

    python -m bakeoff.worker run    RUN_DIR DATA_DIR
    python -m bakeoff.worker test   RUN_DIR DATA_DIR [BUNDLE_DIR]    open the locked test split, counted
    python -m bakeoff.worker bundle RUN_DIR DATA_DIR BUNDLE_DIR [FORMAT [QUANTIZE]]    with a format: timed as well
    python -m bakeoff.worker fetch  NETWORK FILE         download its weights into $KERAS_HOME, then move them to FILE

The process ends when its standard input closes, so it never outlives the process that started it.
"""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from bakeoff.deploy.bundle import Format, Quantize
from bakeoff.deploy.export.run import export_run
from bakeoff.errors import BakeoffError, WeightsError
from bakeoff.networks.table import find_network
from bakeoff.networks.weights import download_weights
from bakeoff.runs.events import RunProgress, WorkerError, write_event
from bakeoff.training.run import finish_run
from bakeoff.training.test import open_test

__all__ = ["main"]


def _run(folder: str, data: str) -> None:
    finish_run(Path(folder), Path(data))


def _test(folder: str, data: str, bundle: str | None = None) -> None:
    open_test(Path(folder), Path(data))
    if bundle is not None:
        export_run(Path(folder), Path(data), Path(bundle), timed=False)


def _bundle(folder: str, data: str, bundle: str, model_format: str | None = None, quantize: str | None = None) -> None:
    export_run(
        Path(folder),
        Path(data),
        Path(bundle),
        Format(model_format or Format.KERAS),
        Quantize(quantize) if quantize else None,
        timed=model_format is not None,
    )


def _fetch(network: str, target: str) -> None:
    def give_up(reason: str) -> None:
        write_event(WorkerError(reason, WeightsError.exit_code))
        # A download that hangs sits in a thread that cannot be stopped.
        os._exit(WeightsError.exit_code)

    download_weights(
        find_network(network),
        Path(target),
        lambda fraction: write_event(RunProgress("download", fraction)),
        give_up,
    )


_JOBS: dict[str, Callable[..., None]] = {"run": _run, "test": _test, "bundle": _bundle, "fetch": _fetch}


def _end_with_parent() -> None:
    def watch() -> None:
        # Unbuffered: the interpreter would wait at its end for a thread inside a buffered read.
        while os.read(0, 1024):
            continue
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(job: str, *arguments: str) -> int:
    """Do one job and return the exit code; what the user can mend goes to standard output as an event."""
    _end_with_parent()
    try:
        _JOBS[job](*arguments)
    except BakeoffError as error:
        write_event(WorkerError(str(error), error.exit_code))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
