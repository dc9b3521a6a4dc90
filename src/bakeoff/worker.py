"""The entry point of a worker process: it does one job and reports events as lines of JSON on standard output.

    python -m bakeoff.worker run    RUN_DIR DATA_DIR
        Train and score a run.
    python -m bakeoff.worker test   RUN_DIR DATA_DIR [BUNDLE_DIR]
        Score it on the locked test split, which is counted, then export it if a folder is given.
    python -m bakeoff.worker again  RUN_DIR DATA_DIR TARGET_DIR
        Compute the predictions of its model again, into a folder of their own.
    python -m bakeoff.worker bundle RUN_DIR DATA_DIR BUNDLE_DIR [FORMAT [QUANTIZE]]
        Export it; with a format, measure latency and memory too.
    python -m bakeoff.worker fetch  NETWORK FILE
        Download a network's weights into $KERAS_HOME and move them to FILE.
    python -m bakeoff.worker check  NETWORK SIZE FILE [partial]
        Load the weights in FILE into the network, to see whether they fit.

The process ends when its standard input closes, so it never outlives the process that started it.
"""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from bakeoff.deploy.bundle import Format, Quantize
from bakeoff.errors import BakeoffError, WeightsError
from bakeoff.machine import start_keras
from bakeoff.networks.table import build_backbone, find_network
from bakeoff.networks.weights import WeightsSource, download_weights, load_weights
from bakeoff.runs.events import RunProgress, WorkerError, write_event

__all__ = ["main"]


# Each job imports what it needs, after Keras has been started with the right settings.
def _run(folder: str, data: str) -> None:
    from bakeoff.training.run import finish_run

    finish_run(Path(folder), Path(data))


def _test(folder: str, data: str, bundle: str | None = None) -> None:
    from bakeoff.training.test import open_test

    open_test(Path(folder), Path(data))
    if bundle is not None:
        from bakeoff.deploy.export.run import export_run

        export_run(Path(folder), Path(data), Path(bundle), timed=False)


def _again(folder: str, data: str, target: str) -> None:
    from bakeoff.training.again import predict_again

    predict_again(Path(folder), Path(data), Path(target))


def _bundle(folder: str, data: str, bundle: str, model_format: str | None = None, quantize: str | None = None) -> None:
    from bakeoff.deploy.export.run import export_run

    export_run(
        Path(folder),
        Path(data),
        Path(bundle),
        Format(model_format or Format.KERAS),
        Quantize(quantize) if quantize else None,
        timed=model_format is not None,
    )


def _fetch(network: str, target: str) -> None:
    def abort(reason: str) -> None:
        write_event(WorkerError(reason, WeightsError.exit_code))
        # A download that hangs is in a thread that cannot be stopped, so the process ends at once.
        os._exit(WeightsError.exit_code)

    download_weights(
        find_network(network),
        Path(target),
        lambda fraction: write_event(RunProgress("download", fraction)),
        abort,
    )


def _check(network: str, size: str, file: str, partial: str = "") -> None:
    spec = find_network(network)
    backbone = build_backbone(spec, (int(size), int(size), 3))
    load_weights(backbone, spec, WeightsSource("file", "", Path(file)), partial=bool(partial))


_JOBS: dict[str, Callable[..., None]] = {
    "run": _run,
    "test": _test,
    "again": _again,
    "bundle": _bundle,
    "fetch": _fetch,
    "check": _check,
}


def _end_with_parent() -> None:
    def watch() -> None:
        # Unbuffered, because at exit the interpreter waits for a thread that is in a buffered read.
        while os.read(0, 1024):
            continue
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(job: str, *arguments: str) -> int:
    """Do one job and return the exit code. An error for the user is reported as an event."""
    _end_with_parent()
    try:
        start_keras()
        _JOBS[job](*arguments)
    except BakeoffError as error:
        write_event(WorkerError(str(error), error.exit_code))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
