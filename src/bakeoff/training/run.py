"""One run in its own process: reads `record.json` as RUNNING and writes it as COMPLETE or FAILED."""

import os
import re
import traceback
from pathlib import Path

import keras

from bakeoff.errors import DataError, InputError, OutputError
from bakeoff.files import replacing
from bakeoff.machine import describe_cpu
from bakeoff.networks.weights import find_sent
from bakeoff.runs.config import Mode
from bakeoff.runs.events import RunProgress, write_event
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.metrics import Metrics, score
from bakeoff.runs.predictions import Predictions, round_logits, write_predictions
from bakeoff.runs.record import OUT_OF_MEMORY, RunRecord, State, read_record, write_record
from bakeoff.runs.versions import find_versions
from bakeoff.training.loop import train
from bakeoff.training.probe import probe
from bakeoff.training.task import Outcome, Task, open_task
from bakeoff.training.tensorboard import EventLog

__all__ = ["explain_failure", "finish_run", "load_model"]


def finish_run(folder: Path, data: Path) -> RunRecord:
    """Do what the folder's record asks for and write it COMPLETE, or FAILED with the reason.

    Damaged data and a full disk are not the run's fault: they are raised, and the record stays as it was.
    """
    record = read_record(folder)
    if record.config.train.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    events = EventLog(folder)

    def report(progress: RunProgress) -> None:
        write_event(progress)
        events.follow(progress.evaluations)

    try:
        source = find_sent(record.weights.origin, record.weights.hash)
        task = open_task(record.config, folder, data, report, record.micro_batch, source)
        record = _opened(record, task)
        # What is known before the first step stays known if the process is killed in it.
        write_record(folder, record)
        outcome = probe(task) if record.config.train.mode is Mode.PROBE else train(task)
        predictions = Predictions(round_logits(outcome.val_logits), task.val.labels, task.val.ids)
        metrics = score(predictions.logits, task.val.labels, task.dataset.superclass_of)
        write_predictions(folder, predictions)
        model_bytes = _save_model(folder, outcome)
        events.follow()
    except (DataError, OutputError):
        raise
    except Exception as error:
        traceback.print_exc()
        record = record.model_copy(update={"state": State.FAILED, "reason": explain_failure(error)})
    else:
        record = _completed(record, outcome, metrics, model_bytes)
    record = record.model_copy(update={"versions": find_versions(), "device": _device()})
    write_record(folder, record)
    return record


def load_model(folder: Path, record: RunRecord) -> keras.Model:
    """The network that a completed run trained. Raises OutputError if there is none."""
    path = RunFolder(folder).model
    if record.state is not State.COMPLETE or not path.is_file():
        raise OutputError(f"{folder} has no trained model (its state is {record.state}); name a completed training run")
    return keras.models.load_model(path, compile=False)


def _opened(record: RunRecord, task: Task) -> RunRecord:
    weights = {"tensors_matched": task.loaded.matched, "tensors_total": task.loaded.total}
    return record.model_copy(
        update={
            "weights": record.weights.model_copy(update=weights),
            "micro_batch": task.micro_batch,
            "replicas": task.replicas.count,
            "memory_predicted_bytes": task.memory_predicted_bytes,
        }
    )


def _completed(record: RunRecord, outcome: Outcome, metrics: Metrics, model_bytes: int) -> RunRecord:
    return record.model_copy(
        update={
            "state": State.COMPLETE,
            "reason": outcome.note,
            "params_total": outcome.params_total,
            "params_trainable": outcome.params_trainable,
            "memory_peak_bytes": outcome.memory_peak_bytes,
            "model_bytes": model_bytes,
            "seconds": outcome.seconds,
            "images_seen": outcome.images_seen,
            "images_per_second": outcome.images_per_second,
            "epochs": outcome.epochs,
            "val": metrics,
        }
    )


def _save_model(folder: Path, outcome: Outcome) -> int:
    """Save the trained model, if there is one, and return its size in bytes."""
    if outcome.model is None:
        return 0
    path = RunFolder(folder).model
    with replacing(path) as temporary:
        outcome.model.save(temporary)
    return path.stat().st_size


def explain_failure(error: Exception) -> str:
    """Why a run failed, in one line for its record."""
    # An error of TensorFlow's begins with where the operation was defined; what went wrong is its last paragraph.
    paragraphs = str(error).strip().split("\n\n") if hasattr(error, "node_def") else [str(error)]
    text = " ".join(paragraphs[-1].partition("[[{{")[0].split())[:300]
    if isinstance(error, InputError | FloatingPointError):
        return text
    # oneDNN reports a refused allocation as its status 1, which TensorFlow passes on as an operation aborted.
    is_memory = isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"
    if is_memory or re.search(r"Status: ?1,|bad_alloc", text):
        return f"{OUT_OF_MEMORY}: {text}"
    return f"{type(error).__name__}: {text}"


def _device() -> str:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return ", ".join(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus)
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS")
    return f"{describe_cpu()}, {threads} threads" if threads else describe_cpu()
