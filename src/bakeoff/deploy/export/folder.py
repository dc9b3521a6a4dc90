"""Everything about a bundle into one folder, or nothing: written beside, checked, then put in place."""

from collections.abc import Callable, Mapping
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
    BundleFacts,
    Floats,
    Format,
    Quantize,
    Scores,
    check_kind,
    open_runtime,
    try_out,
    write_facts,
)
from bakeoff.deploy.export.card import write_card
from bakeoff.deploy.export.keras_file import write_keras
from bakeoff.deploy.export.litert_file import write_litert
from bakeoff.deploy.export.onnx_file import write_onnx
from bakeoff.deploy.export.parity import TOLERANCES, answer_split, check_parity
from bakeoff.deploy.export.saved_model import write_saved_model
from bakeoff.deploy.export.shipping import make_shipped
from bakeoff.deploy.export.temperature import calibrate
from bakeoff.errors import OutputError
from bakeoff.files import hash_file, write_json, write_text
from bakeoff.locks import replacing_folder
from bakeoff.runs.calibration import softmax
from bakeoff.runs.folder import SplitScored
from bakeoff.runs.metrics import wilson_interval
from bakeoff.runs.predictions import Predictions
from bakeoff.runs.record import RunRecord
from bakeoff.training.inference import compile_forward, predict_logits

__all__ = ["Trained", "write_bundle"]

# Validation images that an exact format is checked on; one that is quantised is scored on all of them.
CHECKED = 64
# Training images that tell the ranges of activations.
CALIBRATION = 256

OnStep = Callable[[str, float], object]
"""Told what is being done, and the fraction that is done."""


@dataclass(frozen=True)
class Trained:
    """A finished run in memory: model, record, data, and the predictions of each split that it was scored on."""

    model: keras.Model
    record: RunRecord
    dataset: Dataset
    predictions: Mapping[SplitScored, Predictions]


def write_bundle(
    trained: Trained,
    folder: Path,
    form: Format = Format.KERAS,
    quantize: Quantize | None = None,
    *,
    timed: bool = False,
    on_step: OnStep = lambda _doing, _fraction: None,
) -> BundleFacts:
    """Write a run's bundle; with `timed`, try it out in a process of its own, too.

    Raises BundleError if the format cannot be quantised so, or if the written model answers otherwise than the run;
    OutputError if the folder holds something else.
    """
    check_kind(form, quantize)
    _check_place(folder)
    record, dataset, flip = trained.record, trained.dataset, trained.record.config.train.flip_test
    calibration = calibrate(trained.predictions)
    shipped = make_shipped(trained.model, flip=flip, temperature=calibration.temperature)
    with replacing_folder(folder) as staged:
        path = staged / MODEL_NAMES[form]
        on_step(f"writing {form}", 0.1)
        _write_model(shipped, path, form, quantize, dataset)
        on_step("checking", 0.4)
        held_out = load_split(dataset, "val", subset=None if quantize else CHECKED)
        logits = predict_logits(compile_forward(trained.model), held_out, flip=flip)
        written = answer_split(open_runtime(path, form), held_out)
        expected = softmax(logits / np.float32(calibration.temperature))
        parity = check_parity(expected, written, TOLERANCES[form, quantize])
        on_step("timing", 0.8)
        _write_labels(staged, dataset)
        facts = BundleFacts(
            run=record.id,
            candidate=record.candidate,
            side=dataset.side,
            bakeoff=bakeoff.__version__,
            format=form,
            quantize=quantize,
            model_bytes=sum(file.stat().st_size for file in _files(path)),
            calibration=calibration,
            parity=parity,
            val=_score(expected, written, held_out.labels) if quantize else None,
            timing=try_out(path, form, dataset.side) if timed else None,
            files={},
        )
        write_text(staged / "model_card.md", write_card(record, dataset, facts))
        hashes = {file.relative_to(staged).as_posix(): hash_file(file) for file in _files(staged)}
        facts = facts.model_copy(update={"files": hashes})
        write_facts(staged, facts)
    return facts


def _check_place(folder: Path) -> None:
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not (folder / "bundle.json").is_file():
        raise OutputError(f"{folder} holds something else than a bundle; choose another --out")


def _write_model(shipped: keras.Model, path: Path, form: Format, quantize: Quantize | None, dataset: Dataset) -> None:
    needs_ranges = quantize is Quantize.INT8
    training_images = (
        load_split(dataset, "train", subset=CALIBRATION).images[:] if needs_ranges else np.empty(0, np.uint8)
    )
    match form:
        case Format.KERAS:
            write_keras(shipped, path)
        case Format.SAVED_MODEL:
            write_saved_model(shipped, path)
        case Format.ONNX:
            write_onnx(shipped, path, quantize, training_images)
        case Format.LITERT:
            write_litert(shipped, path, quantize, training_images)


def _write_labels(folder: Path, dataset: Dataset) -> None:
    labels = {
        "classes": dataset.class_names,
        "superclasses": dataset.superclass_names,
        "superclass_of": dataset.superclass_of,
    }
    write_json(folder / "labels.json", labels)


def _score(expected: Floats, written: Floats, labels: NDArray[np.int32]) -> Scores:
    before, hits = (int((probabilities.argmax(axis=1) == labels).sum()) for probabilities in (expected, written))
    n = len(labels)
    return Scores(images=n, run_top1=before / n, top1=hits / n, top1_ci95=wilson_interval(hits, n))


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
