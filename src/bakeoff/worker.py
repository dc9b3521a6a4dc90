"""The inside of a run's own process: a folder with a record in, the same record finished out.

    python -m bakeoff.worker run    RUN_DIR DATA_DIR
    python -m bakeoff.worker test   RUN_DIR DATA_DIR [BUNDLE_DIR]    open the locked test split, counted
    python -m bakeoff.worker bundle RUN_DIR DATA_DIR BUNDLE_DIR [FORMAT [QUANTIZE]]    named: timed as well
    python -m bakeoff.worker fetch  NETWORK FILE         download its weights into $KERAS_HOME, then move them to FILE

Progress goes to standard output as JSON lines. The process ends when its standard input does, so that it never
outlives the one that started it.
"""

import csv
import json
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bakeoff.backbones import find_backbone
from bakeoff.bundle import Format, Quantize
from bakeoff.config import Mode
from bakeoff.doctor import find_leaks
from bakeoff.errors import BakeoffError, DataError, InputError, OutputError, WeightsError
from bakeoff.evaluate import compile_forward, confusion_matrix, predict_logits, score
from bakeoff.events import EventLog
from bakeoff.export import Trained, read_logits, write_bundle
from bakeoff.files import replacing
from bakeoff.pipeline import Split, load_split
from bakeoff.probe import probe
from bakeoff.runs import (
    OUT_OF_MEMORY,
    Metrics,
    RunRecord,
    State,
    TestMetrics,
    read_record,
    wilson_interval,
    write_record,
)
from bakeoff.runtime import describe_cpu
from bakeoff.shards import Dataset, open_dataset
from bakeoff.task import Outcome, Progress, Task, open_task
from bakeoff.train import train
from bakeoff.versions import find_versions
from bakeoff.weights import download_weights, find_sent

__all__ = ["export_run", "fetch_weights", "finish_run", "main", "open_test"]


def finish_run(folder: Path, data: Path) -> RunRecord:
    """Do what the folder's record asks for and write it COMPLETE, or FAILED with the reason.

    Damaged data and a full disk are not the run's fault: they are raised, and the record stays as it was.
    """
    record = read_record(folder)
    if record.config.train.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    events = EventLog(folder)

    def tell(progress: Progress) -> None:
        _tell(progress)
        events.follow(progress.evaluations)

    try:
        source = find_sent(record.weights.origin, record.weights.hash)
        task = open_task(record.config, folder, data, tell, record.micro_batch, source)
        record = _opened(record, task)
        # What is known before the first step stays known if the process is killed in it.
        write_record(folder, record)
        outcome = probe(task) if record.config.train.mode is Mode.PROBE else train(task)
        logits = _as_kept(outcome.val_logits)
        metrics = score(logits, task.val.labels, task.dataset.superclass_of)
        model_bytes = _keep(folder, outcome, logits, task.val)
        events.follow()
    except (DataError, OutputError):
        raise
    except Exception as error:
        traceback.print_exc()
        record = record.model_copy(update={"state": State.FAILED, "reason": _reason(error)})
    else:
        record = _completed(record, outcome, metrics, model_bytes)
    record = record.model_copy(update={"versions": find_versions(), "device": _device()})
    write_record(folder, record)
    return record


def open_test(folder: Path, data: Path, bundle: Path | None = None) -> TestMetrics:
    """Score a finished run on the locked test split, and write its bundle if one is asked for.

    The opening is noted before the first image is read.
    """
    record = read_record(folder)
    model = _load(folder, record)
    dataset = open_dataset(data, record.config.data.classes, record.config.data.seed)
    if dataset.fingerprint != record.data.fingerprint:
        raise OutputError(f"{folder} was trained on other data than {data}; prepare the same data again")
    ledger = folder / "test-openings.txt"
    with ledger.open("a", encoding="utf-8") as file:
        file.write(datetime.now(UTC).isoformat(timespec="seconds") + "\n")
    split = load_split(dataset, "test", unlock=True)
    logits = predict_logits(compile_forward(model), split, flip=record.config.train.flip_test, on_batch=_counter(split))
    logits = _as_kept(logits)
    metrics = score(logits, split.labels, dataset.superclass_of)
    openings = len(ledger.read_text(encoding="utf-8").splitlines())
    test = TestMetrics(**metrics.model_dump(), openings=openings, **_score_without_leaks(logits, split, dataset))
    _write_logits(folder / "test-logits.npz", logits, split)
    _write_confusion(folder / "confusion.csv", confusion_matrix(logits, split.labels), dataset)
    record = record.model_copy(update={"test": test})
    write_record(folder, record)
    if bundle is not None:
        write_bundle(Trained(model, record, dataset, read_logits(folder)), bundle)
    return test


def _score_without_leaks(logits: NDArray[np.float32], test: Split, dataset: Dataset) -> dict[str, Any]:
    """The test score without the images that have a near-duplicate in training (Barz & Denzler, arXiv 1902.00423)."""
    leaked = find_leaks(dataset, load_split(dataset, "train"), test)
    if leaked is None:
        return {}
    hits = logits.argmax(axis=1)[~leaked] == test.labels[~leaked]
    return {
        "near_duplicates": int(leaked.sum()),
        "top1_without": float(hits.mean()) if len(hits) else None,
        "top1_without_ci95": wilson_interval(int(hits.sum()), len(hits)),
    }


def export_run(folder: Path, data: Path, bundle: Path, form: str | None = None, quantize: str | None = None) -> None:
    """Write a finished run's bundle; with a format named, try it out as well."""
    record = read_record(folder)
    dataset = open_dataset(data, record.config.data.classes, record.config.data.seed)
    write_bundle(
        Trained(_load(folder, record), record, dataset, read_logits(folder)),
        bundle,
        Format(form or Format.KERAS),
        Quantize(quantize) if quantize else None,
        timed=form is not None,
        on_step=lambda doing, fraction: _tell(Progress(doing, fraction)),
    )


def fetch_weights(network: str, target: Path) -> None:
    """Download a network's ImageNet weights to `target`. Raises WeightsError, or ends the process if nothing comes."""

    def give_up(reason: str) -> None:
        _write_event({"error": reason})
        os._exit(WeightsError.exit_code)

    download_weights(find_backbone(network), target, lambda fraction: _tell(Progress("download", fraction)), give_up)


def _load(folder: Path, record: RunRecord) -> keras.Model:
    path = folder / "model.keras"
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


def _as_kept(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits to half precision, in which they are kept: so that scores can be computed again to the last digit."""
    return logits.astype(np.float16).astype(np.float32)


def _keep(folder: Path, outcome: Outcome, logits: NDArray[np.float32], val: Split) -> int:
    _write_logits(folder / "val-logits.npz", logits, val)
    if outcome.model is None:
        return 0
    with replacing(folder / "model.keras") as temporary:
        outcome.model.save(temporary)
    return (folder / "model.keras").stat().st_size


def _write_logits(path: Path, logits: NDArray[np.float32], split: Split) -> None:
    with replacing(path) as temporary:
        np.savez_compressed(temporary, logits=logits.astype(np.float16), labels=split.labels, ids=np.array(split.ids))


def _write_confusion(path: Path, matrix: NDArray[np.int64], dataset: Dataset) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(dataset.class_names)
        writer.writerows(matrix.tolist())


def _reason(error: Exception) -> str:
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


def _tell(progress: Progress) -> None:
    _write_event(asdict(progress))


def _write_event(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def _counter(split: Split) -> Any:
    done = 0

    def count(images: int) -> None:
        nonlocal done
        done += images
        _tell(Progress("test", done / len(split)))

    return count


def _end_with_parent() -> None:
    def watch() -> None:
        # Unbuffered: the interpreter would wait at its end for a thread inside a buffered read.
        while os.read(0, 1024):
            continue
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(job: str, *arguments: str) -> int:
    """Do one job; returns the exit code. What the user can mend goes to standard output as an event."""
    _end_with_parent()
    jobs: dict[str, Callable[..., object]] = {
        "run": lambda folder, data: finish_run(Path(folder), Path(data)),
        "test": lambda folder, data, *bundle: open_test(Path(folder), Path(data), *map(Path, bundle)),
        "bundle": lambda folder, data, bundle, *kind: export_run(Path(folder), Path(data), Path(bundle), *kind),
        "fetch": lambda network, target: fetch_weights(network, Path(target)),
    }
    try:
        jobs[job](*arguments)
    except BakeoffError as error:
        _write_event({"error": str(error), "exit_code": error.exit_code})
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
