"""launch(): one config to its record, by one or two attempts of an executor."""

import time
from pathlib import Path

from bakeoff.cache import mark_used
from bakeoff.data.shards import open_dataset
from bakeoff.errors import InputError
from bakeoff.files import make_dir, write_json
from bakeoff.launch.executor import Executor, Local
from bakeoff.launch.process import Ended
from bakeoff.networks.backbone import check_size
from bakeoff.networks.find import check_source, find_network
from bakeoff.networks.weights import locate_starting_weights
from bakeoff.profile import add_observation, observe
from bakeoff.runs.config import Mode, Run, run_id
from bakeoff.runs.events import OnProgress, RunProgress
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.record import (
    OUT_OF_MEMORY,
    DataFacts,
    RunRecord,
    Seconds,
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
    wall_seconds: float | None = None,
    on_progress: OnProgress | None = None,
    executor: Executor | None = None,
    seconds_planned: float = 0.0,
    refit_of: str = "",
) -> RunRecord:
    """Train a config in a fresh process and return its record. A run that is finished is not repeated.

    If the process or its machine is lost, the run is tried once more, from its checkpoint. If memory is short, it is
    tried once more with half its micro-batch. A failure is a record with a reason, not an exception.

    Args:
        run: The config.
        stage: The stage of a study that the run belongs to.
        out: The study's folder; the run's files go to `out/runs/ID`.
        data: The folder of the shards.
        limit: Wall-clock seconds that all attempts may take together; None for no limit.
        wall_seconds: Wall-clock seconds in which the run shall end by itself: its training is shortened if the machine
            is too slow. None for no such limit.
        on_progress: Called with each progress event. A reason that it returns stops the run, which is PRUNED then.
        executor: Where attempts are made; this machine by default.
        seconds_planned: For the record: training seconds that the study plans for its winner.
        refit_of: For the record: id of the run whose recipe this one repeats.

    Returns:
        The record, which is COMPLETE, PRUNED or FAILED.

    Raises:
        InputError: The config, the data or the weights cannot be used.
        StoppedError: The executor was stopped.
    """
    record = _make_record(run, stage, out, data).model_copy(
        update={"seconds_planned": seconds_planned, "refit_of": refit_of}
    )
    folder, seconds_before = run_dir(out, record.id), 0.0
    if RunFolder(folder).record.is_file():
        known = read_record(folder)
        if known.state is not State.RUNNING:
            RunFolder(folder).checkpoint.unlink(missing_ok=True)  # the process that ended the run may have been killed
            return known
        # An interrupted run may have found that only a smaller micro-batch fits into memory.
        record = record.model_copy(update={"micro_batch": known.micro_batch})
        seconds_before = known.seconds.total
    make_dir(folder)
    write_json(RunFolder(folder).config, run.model_dump(mode="json"))
    chosen_executor = executor or Local()
    started, seconds_used = time.monotonic(), 0.0

    def watch(event: RunProgress) -> str | None:
        # A run may be longer than the time for which the cache keeps what is not used.
        mark_used(data)
        return on_progress(event) if on_progress else None

    def attempt(record: RunRecord) -> tuple[RunRecord, bool]:
        nonlocal seconds_used
        if wall_seconds is not None:
            record = record.model_copy(update={"wall_seconds": max(1.0, wall_seconds - seconds_used)})
        # The worker adds its own time to it, for a later call.
        record = record.model_copy(update={"seconds": Seconds(total=seconds_before + seconds_used)})
        write_record(folder, record)
        seconds_left = None if limit is None else max(1.0, limit - seconds_used)
        ended = chosen_executor.attempt(record, folder, data, limit=seconds_left, on_progress=watch)
        seconds_used += ended.seconds
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
    took = time.monotonic() - started
    finished = finished.model_copy(update={"wall_seconds": wall_seconds})
    finished, of_this_call = (_with_total(finished, total) for total in (seconds_before + took, took))
    write_record(folder, finished)
    RunFolder(folder).checkpoint.unlink(missing_ok=True)
    # What an interruption costs, such as starting again, is no overhead that another run would have.
    if chosen_executor.threads and (observation := observe(of_this_call, chosen_executor.threads)):
        add_observation(observation)
    return finished


def _with_total(record: RunRecord, total: float) -> RunRecord:
    return record.model_copy(update={"seconds": record.seconds.model_copy(update={"total": total})})


def _conclude(record: RunRecord, ended: Ended) -> RunRecord:
    """The record as the attempt left it, with a final state."""
    if record.state is not State.RUNNING:
        return record
    if ended.input_error:
        raise InputError(ended.input_error)
    if ended.stop_reason:
        return record.model_copy(update={"state": State.PRUNED, "reason": ended.stop_reason})
    reason = ended.failure or "its process ended without a result"
    return record.model_copy(update={"state": State.FAILED, "reason": reason})


def _make_record(run: Run, stage: Stage, out: Path, data: Path) -> RunRecord:
    """The RUNNING record of a run about to start. Raises InputError if config, data or weights cannot be used."""
    spec = find_network(run.model.name)
    for size in (run.model.size, *run.train.sizes):
        check_size(spec, size)
    check_source(spec, run.model)
    dataset = open_dataset(data, run.data.classes, run.data.seed, run.data.fit)
    source = locate_starting_weights(run.model, out)
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
            fit=dataset.fit,
        ),
        weights=WeightsFacts(
            origin=source.origin,
            hash=source.hash,
            licence="" if source.origin in ("random", "file") else spec.licence,
        ),
        plugin=spec.plugin,
        micro_batch=run.train.batch if run.train.mode is Mode.FIT else 0,
        seed=run.seed,
        precision=run.train.precision.value,
    )
