"""One config, one fresh process: a crash, a hang or a lack of memory ends a run and nothing else.

`launch` meets the training code through a command line and a record, and imports none of it.
"""

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.backbones import Backbone, check_size, find_backbone
from bakeoff.checkpoint import FILE_NAME
from bakeoff.config import Mode, Run, run_id
from bakeoff.errors import BakeoffError, InputError, WeightsError
from bakeoff.files import clear_left, make_dir, write_json
from bakeoff.runs import (
    OUT_OF_MEMORY,
    DataFacts,
    RunRecord,
    Stage,
    State,
    WeightsFacts,
    read_record,
    run_dir,
    write_record,
)
from bakeoff.runtime import tensorflow_environment
from bakeoff.shards import open_dataset
from bakeoff.weights import how_to_mend, hub_path, locate_start

__all__ = ["Event", "export_bundle", "fetch_weights", "launch", "open_test"]

Event = dict[str, Any]
KILLED = "killed from outside (signal 9)"
OnEvent = Callable[[Event], str | None]
"""What it returns, if anything, is the reason to stop a run at once; the run is PRUNED then."""


def launch(
    run: Run, *, stage: Stage, out: Path, data: Path, limit: float | None = None, on_event: OnEvent | None = None
) -> RunRecord:
    """Run a config in a process of its own and return its record; a finished id is returned as it is.

    `limit` is in seconds of wall clock. `on_event` may stop the run, which is PRUNED then. A run whose process is
    killed from outside goes on from its checkpoint, once; one that lacks memory at half its micro-batch. Failures are
    records with a reason, never exceptions; what is wrong with the config, the data or the weights themselves is an
    InputError before anything starts.
    """
    record = _announce(run, stage, out, data)
    folder = run_dir(out, record.id)
    if (folder / "record.json").is_file():
        known = read_record(folder)
        if known.state is not State.RUNNING:
            return known
        # What was learned about its memory holds still.
        record = record.model_copy(update={"micro_batch": known.micro_batch})
    make_dir(folder)
    write_json(folder / "config.json", run.model_dump(mode="json"))
    started = time.monotonic()

    def attempt(record: RunRecord) -> RunRecord:
        left = None if limit is None else max(1.0, limit - (time.monotonic() - started))
        return _attempt(record, folder, data, left, on_event)

    finished = attempt(record)
    if finished.reason == KILLED:
        finished = attempt(record)
        if finished.reason == KILLED:
            finished = finished.model_copy(update={"reason": f"{KILLED}, twice"})
    micro_batch = finished.micro_batch or run.train.batch
    if finished.reason.startswith(OUT_OF_MEMORY) and run.train.mode is Mode.FIT and micro_batch > 1:
        half = record.model_copy(update={"micro_batch": -(-micro_batch // 2)})
        finished = attempt(half)
        if finished.state is State.FAILED:
            reason = f"{finished.reason} (at micro-batch {half.micro_batch}, after {micro_batch} was too much)"
            finished = finished.model_copy(update={"reason": reason})
    seconds = finished.seconds.model_copy(update={"total": time.monotonic() - started})
    finished = finished.model_copy(update={"seconds": seconds})
    write_record(folder, finished)
    (folder / FILE_NAME).unlink(missing_ok=True)
    return finished


def open_test(folder: Path, data: Path, on_event: OnEvent | None = None, *, bundle: Path | None = None) -> RunRecord:
    """Open the locked test split for a finished run, in a process of its own, which can also write the bundle.

    Raises BakeoffError if that fails.
    """
    _must_work("test", [folder, data, *([bundle] if bundle else [])], folder / "log.txt", on_event)
    return read_record(folder)


def export_bundle(
    folder: Path, data: Path, bundle: Path, kind: Sequence[str] = (), on_event: OnEvent | None = None
) -> None:
    """Write a finished run's bundle, in a process of its own. Raises BakeoffError if that fails.

    `kind` is a format, and how it is quantised; where one is given, the model is tried out as well.
    """
    try:
        _must_work("bundle", [folder, data, bundle, *kind], folder / "log.txt", on_event)
    finally:
        # A worker that is ended has no time to clear up.
        clear_left(bundle.absolute().parent)


def fetch_weights(row: Backbone, on_event: OnEvent | None = None) -> None:
    """Download a network's weights with Keras, which checks their hash, into Keras' cache: all of it or nothing.

    Raises WeightsError if that fails; a network that does not answer takes seconds to give up.
    """
    target = hub_path(row)
    if target is None:
        raise WeightsError(f"Keras has no weights of {row.name} to download")
    make_dir(target.parent)
    # Keras writes under the final name from the first byte on, so it is given a cache of its own to write in.
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as home:
        log = Path(home) / "log.txt"
        ended = _work("fetch", [row.name, target], log, None, on_event, {"KERAS_HOME": home})
        if reason := ended.mend or ended.failure:
            raise WeightsError(f"cannot download the weights of {row.name} ({reason}); {how_to_mend(row)}")


def _attempt(record: RunRecord, folder: Path, data: Path, limit: float | None, on_event: OnEvent | None) -> RunRecord:
    """Run a record's config once: what came of it."""
    write_record(folder, record)
    ended = _work("run", [folder, data], folder / "log.txt", limit, on_event)
    finished = read_record(folder)
    if finished.state is State.RUNNING and ended.mend:
        raise InputError(ended.mend)
    if finished.state is State.RUNNING and ended.stopped:
        finished = finished.model_copy(update={"state": State.PRUNED, "reason": ended.stopped})
    elif finished.state is State.RUNNING:
        reason = ended.failure or "its process ended without a result"
        finished = finished.model_copy(update={"state": State.FAILED, "reason": reason})
    return finished


def _announce(run: Run, stage: Stage, out: Path, data: Path) -> RunRecord:
    """The record of a run about to start."""
    check_size(find_backbone(run.model.name), run.model.size)
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
        micro_batch=run.train.batch if run.train.mode is Mode.FIT else 0,
        seed=run.seed,
        precision=run.train.precision.value,
    )


def _must_work(job: str, arguments: Sequence[str | Path], log: Path, on_event: OnEvent | None) -> None:
    ended = _work(job, arguments, log, None, on_event)
    if ended.mend:
        raise InputError(ended.mend)
    if ended.failure:
        raise BakeoffError(f"{ended.failure}; see {log}")


@dataclass(frozen=True)
class _Ended:
    """How a worker ended: why it failed, what the user can mend, why it was stopped on request; each empty if that was
    not so."""

    failure: str
    mend: str
    stopped: str


def _work(
    job: str,
    arguments: Sequence[str | Path],
    log: Path,
    limit: float | None,
    on_event: OnEvent | None,
    environment: Mapping[str, str] | None = None,
) -> _Ended:
    """Run a worker to its end, or to its limit, with more in its environment."""
    errors: list[str] = []
    known_kills = _count_memory_kills()
    stops: list[str] = []
    with log.open("ab") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-m", "bakeoff.worker", job, *map(str, arguments)],
            stdin=subprocess.PIPE,  # closed when this process dies, which ends the worker
            stdout=subprocess.PIPE,
            stderr=log_file,
            env=tensorflow_environment(onednn=True) | dict(environment or {}),
            # A Ctrl-C reaches this process alone, which then ends the worker in order.
            start_new_session=True,
        )
        reader = threading.Thread(target=_read_events, args=(process, on_event, errors, stops), daemon=True)
        reader.start()
        with process:  # closes its pipes
            try:
                failure = _explain(process.wait(limit), log, known_kills)
            except subprocess.TimeoutExpired:
                failure = f"stopped: it ran longer than its limit of {limit:.0f} s"
            finally:
                process.kill()
                reader.join()
    return _Ended(failure, "".join(errors[-1:]), "".join(stops[:1]))


def _explain(code: int, log: Path, known_kills: int | None) -> str:
    if code == 0:
        return ""
    if code == -signal.SIGKILL:
        kills = _count_memory_kills()
        if kills is None:
            return f"{OUT_OF_MEMORY}, most likely: it was {KILLED}"
        return KILLED if kills == known_kills else f"{OUT_OF_MEMORY}: the kernel killed it (signal 9)"
    if code == -signal.SIGABRT and b"bad_alloc" in log.read_bytes()[-4000:]:
        return f"{OUT_OF_MEMORY}: an allocation was refused"
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"its process ended with code {code}"


def _count_memory_kills() -> int | None:
    """How many processes this machine's kernel has killed for lack of memory; None where it does not say."""
    try:
        counters = dict(line.split() for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines())
        return int(counters["oom_kill"])
    except (OSError, KeyError):
        return None


def _read_events(
    process: subprocess.Popen[bytes], on_event: OnEvent | None, errors: list[str], stops: list[str]
) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if not line.startswith(b"{"):
            continue
        event: Event = json.loads(line)
        if "error" in event:
            errors.append(event["error"])
        elif on_event is not None and (reason := on_event(event)):
            stops.append(reason)
            process.kill()
