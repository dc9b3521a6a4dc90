"""One config to its record, by attempts wherever an executor makes them."""

import time
from pathlib import Path

from bakeoff.data.shards import open_dataset
from bakeoff.errors import InputError
from bakeoff.files import make_dir, write_json
from bakeoff.launch.executor import Executor, Local
from bakeoff.launch.process import Ended
from bakeoff.networks.table import check_size, find_network
from bakeoff.networks.weights import locate_start
from bakeoff.runs.config import Mode, Run, run_id
from bakeoff.runs.events import OnProgress
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.record import (
    OUT_OF_MEMORY,
    DataFacts,
    RunRecord,
    Stage,
    State,
    WeightsFacts,
    read_record,
    write_record,
)

__all__ = ["launch"]


def launch(
    run: Run,
    *,
    stage: Stage,
    out: Path,
    data: Path,
    limit: float | None = None,
    on_progress: OnProgress | None = None,
    executor: Executor | None = None,
) -> RunRecord:
    """Run a config in a process of its own and return its record; a finished id is returned as it is.

    A run whose process or machine is lost is tried once more, from its checkpoint. A run that lacks memory is tried
    once more at half its micro-batch. A failure is a record with a reason, not an exception.

    Args:
        run: The config.
        stage: The part of a study that asks for it.
        out: The study's folder; the run's files go to `out/runs/ID`.
        data: The folder of its shards.
        limit: Wall-clock seconds that all attempts may take together.
        on_progress: Called with each progress event; it may stop the run, which is PRUNED then.
        executor: Where attempts are made; this machine by default.

    Raises:
        InputError: The config, the data or the weights cannot be used.
    """
    record = _announce(run, stage, out, data)
    folder = run_dir(out, record.id)
    if RunFolder(folder).record.is_file():
        known = read_record(folder)
        if known.state is not State.RUNNING:
            return known
        # What was learned about its memory holds still.
        record = record.model_copy(update={"micro_batch": known.micro_batch})
    make_dir(folder)
    write_json(RunFolder(folder).config, run.model_dump(mode="json"))
    own = executor or Local()
    started, spent = time.monotonic(), 0.0

    def attempt(record: RunRecord) -> tuple[RunRecord, bool]:
        nonlocal spent
        write_record(folder, record)
        left = None if limit is None else max(1.0, limit - spent)
        ended = own.attempt(record, folder, data, left, on_progress)
        spent += ended.seconds
        finished = _conclude(read_record(folder), ended)
        return finished, ended.lost and finished.state is State.FAILED

    finished, lost = attempt(record)
    if lost:
        finished, lost = attempt(record)
        if lost:
            finished = finished.model_copy(update={"reason": f"{finished.reason}, twice"})
    micro_batch = finished.micro_batch or run.train.batch
    if finished.reason.startswith(OUT_OF_MEMORY) and run.train.mode is Mode.FIT and micro_batch > 1:
        half = record.model_copy(update={"micro_batch": -(-micro_batch // 2)})
        finished, _ = attempt(half)
        if finished.state is State.FAILED:
            reason = f"{finished.reason} (at micro-batch {half.micro_batch}, after {micro_batch} was too much)"
            finished = finished.model_copy(update={"reason": reason})
    seconds = finished.seconds.model_copy(update={"total": time.monotonic() - started})
    finished = finished.model_copy(update={"seconds": seconds})
    write_record(folder, finished)
    RunFolder(folder).checkpoint.unlink(missing_ok=True)
    return finished


def _conclude(record: RunRecord, ended: Ended) -> RunRecord:
    """The record that an attempt left, with a final state."""
    if record.state is not State.RUNNING:
        return record
    if ended.mend:
        raise InputError(ended.mend)
    if ended.stopped:
        return record.model_copy(update={"state": State.PRUNED, "reason": ended.stopped})
    reason = ended.failure or "its process ended without a result"
    return record.model_copy(update={"state": State.FAILED, "reason": reason})


def _announce(run: Run, stage: Stage, out: Path, data: Path) -> RunRecord:
    """The record of a run about to start."""
    check_size(find_network(run.model.name), run.model.size)
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
