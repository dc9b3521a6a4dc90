"""Write a complete bundle atomically: into a temporary folder, checked, then moved to its place."""

import contextlib
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

import bakeoff
from bakeoff.data.batches import load_split
from bakeoff.data.shards import Dataset
from bakeoff.deploy.bundle import (
    MODEL_NAMES,
    SAVED_MODEL_VERSION,
    BundleFacts,
    Floats,
    Format,
    Quantize,
    Scores,
    advise,
    check_format,
    format_label,
    measure_model,
    open_runtime,
    write_facts,
)
from bakeoff.deploy.export.card import write_card
from bakeoff.deploy.export.convertible import make_convertible
from bakeoff.deploy.export.exported_model import build_exported_model
from bakeoff.deploy.export.full_precision import build_in_float32
from bakeoff.deploy.export.keras_file import write_keras
from bakeoff.deploy.export.litert_file import write_litert
from bakeoff.deploy.export.onnx_file import write_onnx
from bakeoff.deploy.export.parity import PRECISIONS, TOLERANCES, check_parity, predict_split
from bakeoff.deploy.export.saved_model import write_saved_model
from bakeoff.deploy.export.temperature import calibrate
from bakeoff.errors import BakeoffError, BundleError, OutputError
from bakeoff.files import explained_errors, hash_file, write_json, write_text
from bakeoff.locks import replacing_folder
from bakeoff.runs.agreement import describe_difference
from bakeoff.runs.calibration import softmax
from bakeoff.runs.config import Precision
from bakeoff.runs.folder import SplitScored
from bakeoff.runs.metrics import wilson_interval
from bakeoff.runs.predictions import Predictions
from bakeoff.runs.record import RunRecord
from bakeoff.runs.versions import find_versions
from bakeoff.training.inference import compile_forward, predict_logits
from bakeoff.training.model import HOW_TO_MEND

__all__ = ["FinishedRun", "write_bundle"]

# Validation images on which a model without quantisation is compared with the run; a quantised model is compared, and
# scored, on all of them.
PARITY_IMAGES = 64
# Training images that calibrate the ranges of activations for int8.
CALIBRATION_IMAGES = 256

OnStep = Callable[[str, float], object]
"""Called with the current step and the completed fraction."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run in memory: model, record, data, and its predictions on each split that it was scored on."""

    model: keras.Model
    record: RunRecord
    dataset: Dataset
    predictions: Mapping[SplitScored, Predictions]


def write_bundle(
    finished: FinishedRun,
    folder: Path,
    model_format: Format = Format.KERAS,
    quantize: Quantize | None = None,
    *,
    timed: bool = False,
    on_step: OnStep = lambda _doing, _fraction: None,
) -> BundleFacts:
    """Write the bundle of a finished run.

    Args:
        finished: The run.
        folder: The bundle; an earlier bundle is replaced.
        model_format: The model's file format.
        quantize: The quantisation, if any.
        timed: Whether to measure latency and memory of the model in a fresh process.
        on_step: Called before each step.

    Raises:
        BundleError: The format has no such quantisation, or the exported model differs from the run.
        OutputError: The folder holds something else than a bundle, or the model is not the run's.
    """
    check_format(model_format, quantize)
    _check_target(folder)
    record, dataset, flip = finished.record, finished.dataset, finished.record.config.train.flip_test
    calibration = calibrate(finished.predictions)
    val = load_split(dataset, "val", subset=None if quantize else PARITY_IMAGES)
    logits = predict_logits(compile_forward(finished.model), val, flip=flip)
    _check_stored(finished, Predictions(logits, val.labels, val.ids))
    exact = _in_float32(finished)
    exported = build_exported_model(exact, flip=flip, temperature=calibration.temperature)
    with replacing_folder(folder) as staged:
        path = staged / MODEL_NAMES[model_format]
        on_step(f"writing {model_format}", 0.1)
        with _explained(record.candidate, path, model_format, quantize):
            _write_model(exported, path, model_format, quantize, dataset)
        on_step("checking", 0.4)
        tolerance, precision = TOLERANCES[model_format, quantize], record.config.train.precision

        def to_probabilities(logits: Floats) -> Floats:
            return softmax(logits / np.float32(calibration.temperature))

        with _explained(record.candidate, path, model_format, quantize):
            written = predict_split(open_runtime(path, model_format), val)
        expected, advice = to_probabilities(logits), advise(model_format, quantize)
        if exact is not finished.model:
            # A failed conversion is smaller than the tolerance of 16-bit operations may be.
            exact_logits = predict_logits(compile_forward(exact), val, flip=flip)
            check_parity(to_probabilities(exact_logits), written, tolerance, advice)
        parity = check_parity(expected, written, tolerance.widened(PRECISIONS[precision]), advice)
        on_step("timing", 0.8)
        _write_labels(staged, dataset)
        facts = BundleFacts(
            run=record.id,
            candidate=record.candidate,
            side=dataset.side,
            fit=dataset.fit,
            bakeoff=bakeoff.__version__,
            versions={name: found for name, found in find_versions().items() if name in ("keras", "tensorflow")},
            format=model_format,
            quantize=quantize,
            model_bytes=sum(file.stat().st_size for file in _files(path)),
            calibration=calibration,
            parity=parity,
            val=_compare_top1(expected, written, val.labels) if quantize else None,
            timing=measure_model(path, model_format, dataset.side) if timed else None,
            files={},
        )
        write_text(staged / "model_card.md", write_card(record, dataset, facts))
        hashes = {file.relative_to(staged).as_posix(): hash_file(file) for file in _files(staged)}
        facts = facts.model_copy(update={"files": hashes})
        write_facts(staged, facts)
    return facts


def _check_target(folder: Path) -> None:
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not (folder / "bundle.json").is_file():
        raise OutputError(f"{folder} holds something else than a bundle; choose another --out")


def _check_stored(finished: FinishedRun, computed: Predictions) -> None:
    """Raise OutputError if the model does not predict what the run has stored: then it is another model."""
    if difference := describe_difference(finished.record, finished.predictions["val"], computed):
        raise OutputError(
            f"model.keras of run {finished.record.id} does not predict what the run stored in val-logits.npz:"
            f" {difference}; {HOW_TO_MEND}"
        )


def _in_float32(finished: FinishedRun) -> keras.Model:
    config = finished.record.config
    if config.train.precision is Precision.FLOAT32:
        return finished.model
    return build_in_float32(finished.model, config.model, len(finished.dataset.class_names))


@contextlib.contextmanager
def _explained(candidate: str, path: Path, model_format: Format, quantize: Quantize | None) -> Iterator[None]:
    """Turn an exception of a converter or a runtime into a BundleError that says what to export instead."""
    try:
        with explained_errors(path):
            yield
    except (BakeoffError, MemoryError):
        raise
    except Exception as error:  # each converter and runtime has exceptions of its own
        traceback.print_exc()
        reason = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise BundleError(
            f"{candidate} cannot be exported as {format_label(model_format, quantize)} ({reason});"
            f" {advise(model_format, quantize)}"
        ) from error


def _write_model(
    model: keras.Model, path: Path, model_format: Format, quantize: Quantize | None, dataset: Dataset
) -> None:
    needs_ranges = quantize is Quantize.INT8
    training_images = (
        load_split(dataset, "train", subset=CALIBRATION_IMAGES).images[:] if needs_ranges else np.empty(0, np.uint8)
    )
    match model_format:
        case Format.KERAS:
            write_keras(model, path)
        case Format.SAVED_MODEL:
            write_saved_model(model, path / SAVED_MODEL_VERSION)
        case Format.ONNX:
            write_onnx(make_convertible(model), path, quantize, training_images)
        case Format.LITERT:
            write_litert(make_convertible(model), path, quantize, training_images)


def _write_labels(folder: Path, dataset: Dataset) -> None:
    labels = {
        "classes": dataset.class_names,
        "superclasses": dataset.superclass_names,
        "superclass_of": dataset.superclass_of,
    }
    write_json(folder / "labels.json", labels)


def _compare_top1(expected: Floats, written: Floats, labels: NDArray[np.int32]) -> Scores:
    of_run, of_model = (int((probabilities.argmax(axis=1) == labels).sum()) for probabilities in (expected, written))
    n = len(labels)
    return Scores(images=n, run_top1=of_run / n, top1=of_model / n, top1_ci95=wilson_interval(of_model, n))


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
