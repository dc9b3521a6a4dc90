"""One config, one fresh process: a crash, a hang or a lack of memory ends a run and nothing else.

`launch` meets the training code through a command line and a record, and imports none of it.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.config import Run, run_id
from bakeoff.errors import BakeoffError, InputError
from bakeoff.files import make_dir, write_json
from bakeoff.runs import DataFacts, RunRecord, Stage, State, WeightsFacts, read_record, run_dir, write_record
from bakeoff.runtime import tensorflow_environment
from bakeoff.shards import open_dataset
from bakeoff.weights import locate_start

__all__ = ["Event", "export_bundle", "launch", "open_test"]

Event = dict[str, Any]
OnEvent = Callable[[Event], None]


def launch(
    run: Run, *, stage: Stage, out: Path, data: Path, limit: float | None = None, on_event: OnEvent | None = None
) -> RunRecord:
    """Run a config in a process of its own and return its record; a finished id is returned as it is.

    `limit` is in seconds of wall clock. Failures are records with a reason, never exceptions; what is wrong with
    the config, the data or the weights themselves is an InputError before anything starts.
    """
    record = _announce(run, stage, out, data)
    folder = run_dir(out, record.id)
    if (folder / "record.json").is_file():
        known = read_record(folder)
        if known.state is not State.RUNNING:
            return known
    make_dir(folder)
    write_json(folder / "config.json", run.model_dump(mode="json"))
    write_record(folder, record)
    ended = _work("run", [folder, data], folder / "log.txt", limit, on_event)
    finished = read_record(folder)
    changes: dict[str, Any] = {"seconds": finished.seconds.model_copy(update={"total": ended.seconds})}
    if finished.state is State.RUNNING:
        changes |= {"state": State.FAILED, "reason": ended.failure or "its process ended without a result"}
    finished = finished.model_copy(update=changes)
    write_record(folder, finished)
    return finished


def open_test(folder: Path, data: Path, on_event: OnEvent | None = None) -> RunRecord:
    """Open the locked test split for a finished run, in a process of its own. Raises BakeoffError if that fails."""
    _must_work("test", [folder, data], folder / "log.txt", on_event)
    return read_record(folder)


def export_bundle(folder: Path, data: Path, bundle: Path) -> None:
    """Write a finished run's bundle, in a process of its own. Raises BakeoffError if that fails."""
    _must_work("bundle", [folder, data, bundle], folder / "log.txt", None)


def _announce(run: Run, stage: Stage, out: Path, data: Path) -> RunRecord:
    """The record of a run about to start."""
    dataset = open_dataset(data, run.data.classes, run.data.seed)
    source = locate_start(run.model, out)
    return RunRecord(
        id=run_id(run, dataset.fingerprint, source.hash),
        stage=stage,
        state=State.RUNNING,
        config=run,
        data=DataFacts(
            name=dataset.name,
            fingerprint=dataset.fingerprint,
            counts=dict(dataset.counts),
            classes=len(dataset.class_names),
        ),
        weights=WeightsFacts(origin=source.origin, hash=source.hash),
        seed=run.seed,
        precision=run.train.precision.value,
    )


def _must_work(job: str, arguments: Sequence[Path], log: Path, on_event: OnEvent | None) -> None:
    ended = _work(job, arguments, log, None, on_event)
    if ended.mend:
        raise InputError(ended.mend)
    if ended.failure:
        raise BakeoffError(f"{ended.failure}; see {log}")


@dataclass(frozen=True)
class _Ended:
    """How a worker ended: why it failed (empty if it did not), what the user can mend, wall-clock seconds."""

    failure: str
    mend: str
    seconds: float


def _work(job: str, arguments: Sequence[Path], log: Path, limit: float | None, on_event: OnEvent | None) -> _Ended:
    """Run a worker to its end, or to its limit."""
    started = time.monotonic()
    errors: list[str] = []
    with log.open("ab") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-m", "bakeoff.worker", job, *map(str, arguments)],
            stdin=subprocess.PIPE,  # closed when this process dies, which ends the worker
            stdout=subprocess.PIPE,
            stderr=log_file,
            env=tensorflow_environment(onednn=True),
            # A Ctrl-C reaches this process alone, which then ends the worker in order.
            start_new_session=True,
        )
        reader = threading.Thread(target=_read_events, args=(process, on_event, errors), daemon=True)
        reader.start()
        with process:  # closes its pipes
            try:
                failure = _explain(process.wait(limit))
            except subprocess.TimeoutExpired:
                failure = f"stopped: it ran longer than its limit of {limit:.0f} s"
            finally:
                process.kill()
                reader.join()
    return _Ended(failure, errors[-1] if errors else "", time.monotonic() - started)


def _explain(code: int) -> str:
    if code == 0:
        return ""
    if code == -signal.SIGKILL:
        return "killed from outside (signal 9), most likely for want of memory"
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"its process ended with code {code}"


def _read_events(process: subprocess.Popen[bytes], on_event: OnEvent | None, errors: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if not line.startswith(b"{"):
            continue
        event: Event = json.loads(line)
        if "error" in event:
            errors.append(event["error"])
        elif on_event is not None:
            on_event(event)
