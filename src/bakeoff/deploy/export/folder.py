"""Write a complete bundle atomically: into a temporary folder, checked, then moved to its place."""

import importlib.metadata
import re
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
    ThresholdRule,
    check_format,
    measure_model,
    write_facts,
)
from bakeoff.deploy.export.card import write_card
from bakeoff.deploy.export.exported_model import build_exported_model
from bakeoff.deploy.export.full_precision import build_in_float32
from bakeoff.deploy.export.model_file import Expected, find_closer, write_checked
from bakeoff.deploy.export.threshold import choose_threshold
from bakeoff.deploy.temperature import calibrate
from bakeoff.errors import BundleError, OutputError
from bakeoff.files import hash_file, write_json, write_text
from bakeoff.locks import check_replaceable, replacing_folder
from bakeoff.networks.hub import needs_kerashub
from bakeoff.runs.agreement import describe_difference
from bakeoff.runs.calibration import softmax
from bakeoff.runs.folder import SplitScored
from bakeoff.runs.metrics import wilson_interval
from bakeoff.runs.predictions import Predictions
from bakeoff.runs.record import RunRecord
from bakeoff.runs.selective import CoverageCurve, trace_predictions, trace_probabilities
from bakeoff.runs.versions import find_library_versions
from bakeoff.training.inference import Forward, compile_forward, full_float32, predict_logits
from bakeoff.training.model import HOW_TO_MEND

__all__ = ["FinishedRun", "write_bundle"]

# Validation images on which a model without quantisation is compared with the run; a quantised model, and one with a
# threshold, is compared on all of them.
PARITY_IMAGES = 64
# The files of a bundle; of these, a model in TensorFlow's format is a folder.
_NAMES = rf"bundle\.json|labels\.json|model_card\.md|({'|'.join(map(re.escape, MODEL_NAMES.values()))})(/.+)?"

OnStep = Callable[[str, float], object]
"""Called with the current step and the completed fraction."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run in memory: model, record, data, and its predictions on each split that it was scored on.

    Of a refit, the predictions on validation are those of the run whose recipe it repeats.
    """

    model: keras.Model
    record: RunRecord
    dataset: Dataset
    predictions: Mapping[SplitScored, Predictions]
    forward: Forward
    """The compiled model: uint8 images (n, side, side, 3) -> logits (n, classes)."""
    confirmed: RunRecord | None = None
    """Of a refit, the run whose recipe it repeats."""


@full_float32()
def write_bundle(
    finished: FinishedRun,
    folder: Path,
    model_format: Format = Format.KERAS,
    quantize: Quantize | None = None,
    *,
    rule: ThresholdRule | None = None,
    timed: bool = False,
    on_step: OnStep = lambda _doing, _fraction: None,
) -> BundleFacts:
    """Write the bundle of a finished run.

    Args:
        finished: The run.
        folder: The bundle; an earlier bundle is replaced.
        model_format: The model's file format.
        quantize: The quantisation, if any.
        rule: From which confidence answers count; None marks no answer as unsure.
        timed: Whether to measure latency and memory of the model in a fresh process.
        on_step: Called before each step.

    Raises:
        BundleError: The format has no such quantisation, the exported model differs from the run, or the rule cannot be
            kept.
        OutputError: The folder holds something else than a bundle, or the model is not the run's.
    """
    check_format(model_format, quantize)
    check_replaceable(folder, "a bundle", "bundle.json", _NAMES)
    record, dataset, flip = finished.record, finished.dataset, finished.record.config.train.flip_test
    learned_val = record.config.train.with_val
    calibration = calibrate(finished.predictions, record.refit_of)
    temperature = calibration.temperature if calibration else 1.0
    val = load_split(dataset, "val", subset=None if quantize or rule else PARITY_IMAGES)
    logits = predict_logits(finished.forward, val, flip=flip)
    if not learned_val:  # else its file was told by its hash, which every such run has
        _check_stored(finished, Predictions(logits, val.labels, val.ids))
    exact = build_in_float32(finished.model, record.config)
    exact_logits = logits if exact is finished.model else predict_logits(compile_forward(exact), val, flip=flip)

    def to_probabilities(logits: Floats) -> Floats:
        return softmax(logits / np.float32(temperature))

    expected = Expected(
        record.candidate,
        dataset,
        val,
        record.config.train.precision,
        record.plugin,
        of_run=to_probabilities(logits),
        in_float32=to_probabilities(exact_logits),
    )
    exported = build_exported_model(exact, flip=flip, temperature=temperature)
    with replacing_folder(folder) as staged:
        path = staged / MODEL_NAMES[model_format]
        on_step(f"writing {model_format}", 0.1)
        try:
            written, parity = write_checked(exported, path, model_format, quantize, expected)
        except BundleError as error:
            closer = find_closer(
                exported, staged, model_format, quantize, expected, lambda label: on_step(f"trying {label}", 0.5)
            )
            raise BundleError(f"{error}; {closer}") from error
        threshold = None
        if rule is not None:
            # The run's predictions on test are not those of a quantised model.
            test = None if quantize else _trace_test(finished, temperature)
            seen = _trace_validation(finished, temperature) if learned_val else trace_probabilities(written, val.labels)
            threshold = choose_threshold(rule, seen, test)
        on_step("timing", 0.8)
        _write_labels(staged, dataset)
        facts = BundleFacts(
            run=record.id,
            candidate=record.candidate,
            side=dataset.side,
            fit=dataset.fit,
            bakeoff=bakeoff.__version__,
            versions=_find_versions(path, model_format),
            format=model_format,
            quantize=quantize,
            model_bytes=sum(file.stat().st_size for file in _files(path)),
            plugin=record.plugin,
            learned_val=learned_val,
            calibration=calibration,
            threshold=threshold,
            parity=parity,
            val=_compare_top1(expected.of_run, written, val.labels) if quantize else None,
            timing=measure_model(path, model_format, dataset.side, record.plugin) if timed else None,
            files={},
        )
        write_text(staged / "model_card.md", write_card(record, dataset, facts, finished.confirmed))
        hashes = {file.relative_to(staged).as_posix(): hash_file(file) for file in _files(staged)}
        facts = facts.model_copy(update={"files": hashes})
        write_facts(staged, facts)
    return facts


def _check_stored(finished: FinishedRun, computed: Predictions) -> None:
    """Raise OutputError if the model does not predict what the run has stored: then it is another model."""
    if difference := describe_difference(finished.record, finished.predictions["val"], computed):
        raise OutputError(
            f"model.keras of run {finished.record.id} does not predict what the run stored in val-logits.npz:"
            f" {difference}; {HOW_TO_MEND}"
        )


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


def _trace_validation(finished: FinishedRun, temperature: float) -> CoverageCurve:
    """The answers on validation of the run that a refit repeats, because the refit has learned these images."""
    predictions = finished.predictions.get("val")
    if predictions is None:
        raise BundleError(
            f"run {finished.record.id} has learned the validation images, so no confidence can be judged on them;"
            " export it without --precision and --min-confidence"
        )
    return trace_predictions(predictions, temperature)


def _trace_test(finished: FinishedRun, temperature: float) -> CoverageCurve | None:
    predictions = finished.predictions.get("test")
    return None if predictions is None else trace_predictions(predictions, temperature)


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _find_versions(model: Path, model_format: Format) -> dict[str, str]:
    """The versions of what wrote the model; with that of KerasHub if the model has layers of it."""
    found = {name: version for name, version in find_library_versions().items() if name in ("keras", "tensorflow")}
    if model_format is Format.KERAS and needs_kerashub(model):
        found["keras_hub"] = importlib.metadata.version("keras-hub")
    return found
