"""The entry point of a worker process: it does one job and reports events as lines of JSON on standard output.

    python -m bakeoff.worker run    RUN_DIR DATA_DIR [STARTED]
        Train and score a run, whose time counts from STARTED of `time.monotonic` on.
    python -m bakeoff.worker test   RUN_DIR DATA_DIR [BUNDLE_DIR [maps]]
        Score it on the locked test split, which is counted, then export it if a folder is given, and draw heat maps.
    python -m bakeoff.worker maps   RUN_DIR DATA_DIR
        Draw heat maps of where its model looked.
    python -m bakeoff.worker again  RUN_DIR DATA_DIR TARGET_DIR
        Compute the predictions of its model again, into a folder of their own.
    python -m bakeoff.worker bundle RUN_DIR DATA_DIR BUNDLE_DIR [FORMAT [QUANTIZE [RULE VALUE]]]
        Export it; with a format, measure latency and memory too. QUANTIZE may be empty; RULE is how a threshold of
        confidence is chosen, precision or min_confidence.
    python -m bakeoff.worker check  NETWORK SIZE FILE [partial]
        Load the weights in FILE into the network, to see whether they fit; if it is empty, those on this machine.
    python -m bakeoff.worker network TARGET DIR
        Look at a plug-in network, `module:attribute`, and write what was found out about it.
    python -m bakeoff.worker contract NETWORK FILE
        Try what every network must do, and write what came of it to FILE.
    python -m bakeoff.worker time   RECIPE_DIR FILE
        Time the network of the recipe for about two seconds and write what it took to FILE.
    python -m bakeoff.worker labels RECIPE_DIR DATA_DIR FILE
        Score every image by a head that has not seen it, and write the probabilities to FILE.
    python -m bakeoff.worker wait
        Import what a run needs, then do the job that comes as a line on standard input (`launch.spare`).

The process ends when its standard input closes, so it never outlives the process that started it.
"""

import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from bakeoff.deploy.bundle import Format, Quantize, ThresholdKind, ThresholdRule
from bakeoff.errors import BakeoffError, WeightsError
from bakeoff.launch.spare import WAIT
from bakeoff.machine import start_keras
from bakeoff.networks.backbone import build_backbone
from bakeoff.networks.find import find_network
from bakeoff.networks.hub import download_preset
from bakeoff.networks.weights import WeightsSource, load_weights, locate_weights
from bakeoff.runs.events import JobBegan, RunProgress, WorkerError, write_event

__all__ = ["main"]


# Each job imports what it needs, after Keras has been started with the right settings.
def _run(folder: str, data: str, started: str | None = None) -> None:
    from bakeoff.training.run import finish_run

    finish_run(Path(folder), Path(data), float(started) if started else None)


def _test(folder: str, data: str, bundle: str | None = None, maps: str = "") -> None:
    from bakeoff.training.model import open_run
    from bakeoff.training.test import open_test

    run = open_run(Path(folder), Path(data))
    open_test(run)
    if bundle is not None:
        from bakeoff.deploy.export.run import export_run

        export_run(run, Path(bundle), timed=False)
    if maps:
        from bakeoff.deploy.explain.heat_maps import draw_heat_maps

        draw_heat_maps(Path(folder), Path(data), run)


def _draw_maps(folder: str, data: str) -> None:
    from bakeoff.deploy.explain.heat_maps import draw_heat_maps

    draw_heat_maps(Path(folder), Path(data))


def _again(folder: str, data: str, target: str) -> None:
    from bakeoff.training.again import predict_again

    predict_again(Path(folder), Path(data), Path(target))


def _bundle(
    folder: str, data: str, bundle: str, model_format: str | None = None, quantize: str = "", *rule: str
) -> None:
    from bakeoff.deploy.export.run import export_run
    from bakeoff.training.model import open_run

    export_run(
        open_run(Path(folder), Path(data)),
        Path(bundle),
        Format(model_format or Format.KERAS),
        Quantize(quantize) if quantize else None,
        rule=ThresholdRule(ThresholdKind(rule[0]), float(rule[1])) if rule else None,
        timed=model_format is not None,
    )


def _fetch_preset(name: str, limit_bytes: str) -> None:
    def abort(reason: str) -> None:
        write_event(WorkerError(f"cannot download {name} ({reason})", WeightsError.exit_code))
        os._exit(WeightsError.exit_code)

    def move(size: int) -> None:
        write_event(RunProgress(f"{size / 1e6:,.0f} MB", 0.0))

    download_preset(name, move, abort, float(limit_bytes))


def _check(network: str, size: str, file: str, partial: str = "") -> None:
    spec = find_network(network)
    backbone = build_backbone(spec, (int(size), int(size), 3))
    source = WeightsSource("file", "", Path(file)) if file else locate_weights(spec, "auto")
    load_weights(backbone, spec, source, partial=bool(partial))


def _look_at(target: str, folder: str) -> None:
    from bakeoff.networks.examine import examine

    examine(target, Path(folder))


def _try_contract(network: str, target: str) -> None:
    from bakeoff.deploy.contract.run import try_contract

    try_contract(find_network(network), Path(target))


def _time(folder: str, target: str) -> None:
    from bakeoff.training.timing import time_network

    time_network(Path(folder), Path(target))


def _labels(folder: str, data: str, target: str) -> None:
    from bakeoff.training.labels import score_held_out

    score_held_out(Path(folder), Path(data), Path(target))


_JOBS: dict[str, Callable[..., None]] = {
    "run": _run,
    "test": _test,
    "maps": _draw_maps,
    "again": _again,
    "bundle": _bundle,
    "preset": _fetch_preset,
    "check": _check,
    "network": _look_at,
    "contract": _try_contract,
    "time": _time,
    "labels": _labels,
}


def _read_input() -> "queue.SimpleQueue[bytes]":
    """The lines of standard input. When it closes, because the process that started this one has ended, this one ends.

    Unbuffered, because at exit the interpreter waits for a thread that is in a buffered read.
    """
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        rest = b""
        while part := os.read(0, 65536):
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                lines.put(line)
        os._exit(1)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _wait_for_job(lines: "queue.SimpleQueue[bytes]") -> list[str]:
    """Import what a run needs, and wait for the job. Returns its name and arguments; standard error is its log then."""
    with _killed_first():
        start_keras()
        import bakeoff.training.run
        import bakeoff.training.test  # noqa: F401

        order = json.loads(lines.get())
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(log, 2)
    os.close(log)
    words: list[str] = order["words"]
    write_event(JobBegan(words[0]))
    return words


@contextlib.contextmanager
def _killed_first() -> Iterator[None]:
    """For the block: where memory is short, the kernel ends this process, on which nothing depends, before others."""
    score = Path("/proc/self/oom_score_adj")
    try:
        before = score.read_text(encoding="ascii")
        score.write_text("1000", encoding="ascii")
    except OSError:  # not Linux, or not allowed
        yield
        return
    yield
    score.write_text(before, encoding="ascii")


def main(*words: str) -> int:
    """Do one job, given by its name and its arguments, and return the exit code.

    An error for the user is reported as an event.
    """
    lines = _read_input()
    try:
        job, *arguments = _wait_for_job(lines) if words == (WAIT,) else words
        start_keras()
        _JOBS[job](*arguments)
    except BakeoffError as error:
        write_event(WorkerError(str(error), error.exit_code))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
