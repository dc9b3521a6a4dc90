"""One run in its process: reads `record.json` as RUNNING and writes it as COMPLETE or FAILED."""

import re
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.errors import DataError, InputError, OutputError
from bakeoff.files import hash_file, replacing
from bakeoff.machine import describe_cpu
from bakeoff.networks.weights import find_sent_weights
from bakeoff.runs.config import Mode, Train
from bakeoff.runs.events import RunProgress, write_event
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.metrics import Metrics, score
from bakeoff.runs.predictions import Predictions, round_logits, write_predictions
from bakeoff.runs.record import OUT_OF_MEMORY, RunRecord, Seconds, State, keeps_model, read_record, write_record
from bakeoff.runs.versions import find_versions
from bakeoff.text import counted
from bakeoff.training.folds import cross_validate
from bakeoff.training.loop import train
from bakeoff.training.probe import probe
from bakeoff.training.task import Outcome, Task, open_task
from bakeoff.training.tensorboard import EventLog
from bakeoff.variables import TF_NUM_INTEROP_THREADS

__all__ = ["explain_failure", "finish_run"]


def finish_run(folder: Path, data: Path, started: float | None = None) -> RunRecord:
    """Train and score a run, and write its record as COMPLETE, or as FAILED with the reason.

    Args:
        folder: The run's folder, `OUT/runs/ID`, with a RUNNING record.
        data: The folder of shards.
        started: The time of `time.monotonic`, a clock that all processes of a machine share, at which this process
            was started, or given the run; now if not given. `wall_seconds` of the record counts from then on.

    Returns:
        The final record.

    Raises:
        DataError: The data is damaged. This is not the run's failure, so its record stays RUNNING.
        OutputError: A file cannot be written, as when the disk is full. The record stays RUNNING.
    """
    started = time.monotonic() if started is None else started
    record = read_record(folder)
    seconds_before = record.seconds.total
    if record.config.train.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    events = EventLog(folder)

    def report(progress: RunProgress) -> None:
        write_event(progress)
        events.update(progress.evaluations)

    def measure_total() -> float:
        return seconds_before + time.monotonic() - started

    def keep_time() -> None:
        write_record(folder, record.model_copy(update={"seconds": Seconds(total=measure_total())}))

    try:
        source = find_sent_weights(record.weights.origin, record.weights.hash)
        task = open_task(
            record.config, folder, data, report, record.micro_batch, source, started, record.wall_seconds, keep_time
        )
        record = _with_task(record, task)
        # Written before the first step, so that it is known even if the process is killed in that step.
        write_record(folder, record)
        outcome, metrics = _choose_job(record.config.train)(task), None
        if outcome.val_logits is not None:
            logits, folded = round_logits(outcome.val_logits), outcome.folded
            scored = folded or task.val
            predictions = Predictions(logits, scored.labels, scored.ids, folds=folded.folds if folded else None)
            metrics = score(logits, scored.labels, task.dataset.superclass_of)
            write_predictions(folder, predictions)
        before_saving = time.monotonic()
        saved = _save_model(folder, outcome) if keeps_model(record) else {}
        phases = outcome.seconds.model_copy(update={"save": time.monotonic() - before_saving})
        events.update()
    except (DataError, OutputError):
        raise
    except Exception as error:
        traceback.print_exc()
        record = record.model_copy(update={"state": State.FAILED, "reason": explain_failure(error)})
    else:
        record = _with_outcome(record, outcome, metrics).model_copy(update=saved | {"seconds": phases})
    # The process that started this one adds what it has waited; it may be killed before.
    seconds = record.seconds.model_copy(update={"total": measure_total()})
    record = record.model_copy(update={"versions": find_versions(), "device": _device(), "seconds": seconds})
    write_record(folder, record)
    # A run that failed may be tried again from its checkpoint.
    if record.state is State.COMPLETE:
        RunFolder(folder).checkpoint.unlink(missing_ok=True)
    return record


def _choose_job(config: Train) -> Callable[[Task], Outcome]:
    """What a run of this config does."""
    if config.mode is Mode.FIT:
        return train
    return cross_validate if config.folds else probe


def _with_task(record: RunRecord, task: Task) -> RunRecord:
    loaded = {"tensors_matched": task.loaded.matched, "tensors_total": task.loaded.total}
    return record.model_copy(
        update={
            "weights": record.weights.model_copy(update=loaded),
            "reason": task.loaded.note,
            "micro_batch": task.micro_batch,
            "replicas": task.replicas.count,
            "memory_predicted_bytes": task.memory_expected.value,
            "memory_predicted_margin": round(task.memory_expected.margin, 3),
            "memory_modelled_bytes": task.memory_modelled_bytes,
        }
    )


def _with_outcome(record: RunRecord, outcome: Outcome, metrics: Metrics | None) -> RunRecord:
    return record.model_copy(
        update={
            "state": State.COMPLETE,
            "reason": "; ".join(filter(None, (record.reason, outcome.note))),
            "params_total": outcome.params_total,
            "params_trainable": outcome.params_trainable,
            "memory_peak_bytes": outcome.memory_peak_bytes,
            "seconds": outcome.seconds,
            "images_seen": outcome.images_seen,
            "images_per_second": outcome.images_per_second,
            "scored_per_second": outcome.scored_per_second,
            "epochs": outcome.epochs,
            "val": metrics,
            "start_kept": outcome.start_kept,
            "head_views": outcome.head_views,
            "folds": len(np.unique(outcome.folded.folds)) if outcome.folded else 0,
        }
    )


def _save_model(folder: Path, outcome: Outcome) -> dict[str, Any]:
    """Save the trained model, and return what the record says of the file."""
    path = RunFolder(folder).model
    with replacing(path) as temporary:
        outcome.model.save(temporary)
    return {"model_bytes": path.stat().st_size, "model_sha256": hash_file(path)}


def explain_failure(error: Exception) -> str:
    """The reason of a failed run, in one line, for its record."""
    # A TensorFlow error begins with where the operation was defined; its last paragraph is the message.
    paragraphs = str(error).strip().split("\n\n") if hasattr(error, "node_def") else [str(error)]
    text = " ".join(paragraphs[-1].partition("[[{{")[0].split())[:300]
    if isinstance(error, InputError | FloatingPointError):
        return text
    # oneDNN reports a failed allocation as status 1, which TensorFlow passes on as an aborted operation.
    is_out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"
    if is_out_of_memory or re.search(r"Status: ?1,|bad_alloc", text):
        return f"{OUT_OF_MEMORY}: {text}"
    return f"{type(error).__name__}: {text}"


def _device() -> str:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return ", ".join(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus)
    # As many as the cores that the run was given; of those inside an operation there are two at least.
    threads = TF_NUM_INTEROP_THREADS.read()
    return f"{describe_cpu()}, {counted(int(threads), 'thread')}" if threads else describe_cpu()
