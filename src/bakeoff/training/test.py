"""Evaluation on the locked test split. Every opening of the split is counted."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import Split, load_split
from bakeoff.data.checks import find_leaks, find_like_validation
from bakeoff.data.shards import Dataset, open_dataset
from bakeoff.errors import OutputError
from bakeoff.files import replacing
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.metrics import TestMetrics, score, wilson_interval
from bakeoff.runs.predictions import Predictions, round_logits, write_predictions
from bakeoff.runs.record import read_record, write_record
from bakeoff.text import to_cell
from bakeoff.training.inference import compile_forward, predict_logits, report_batches
from bakeoff.training.model import load_model

__all__ = ["open_test"]


def open_test(folder: Path, data: Path) -> TestMetrics:
    """Score a finished run on the locked test split. The opening is recorded before the first image is read.

    Args:
        folder: The run's folder, `OUT/runs/ID`.
        data: The folder of shards that it was trained on.

    Raises:
        OutputError: The run has no trained model, or was trained on other data.
    """
    record = read_record(folder)
    model = load_model(folder, record)
    dataset = open_dataset(data, record.view.classes, record.view.seed, record.view.fit)
    if dataset.fingerprint != record.data.fingerprint:
        raise OutputError(f"{folder} was trained on other data than {data}; prepare the same data again")
    openings = RunFolder(folder).test_openings
    with openings.open("a", encoding="utf-8") as file:
        file.write(datetime.now(UTC).isoformat(timespec="seconds") + "\n")
    split = load_split(dataset.at_input(model.input_shape[1]), "test", unlock=True)
    logits = predict_logits(
        compile_forward(model), split, flip=record.config.train.flip_test, on_batch=report_batches("test", len(split))
    )
    predictions = Predictions(round_logits(logits), split.labels, split.ids, "test")
    metrics = score(predictions.logits, split.labels, dataset.superclass_of)
    leaks = _score_without_leaks(predictions, split, dataset, learned_val=record.config.train.with_val)
    count = len(openings.read_text(encoding="utf-8").splitlines())
    test = TestMetrics(**metrics.model_dump(), openings=count, **leaks)
    write_predictions(folder, predictions)
    _write_confusion(RunFolder(folder).confusion, predictions.confusion, dataset)
    write_record(folder, record.model_copy(update={"test": test}))
    return test


def _score_without_leaks(
    predictions: Predictions, test: Split, dataset: Dataset, *, learned_val: bool
) -> dict[str, Any]:
    """Test top-1 without images that have a near-duplicate in training (Barz & Denzler 2020, arXiv 1902.00423)."""
    leaks = find_leaks(dataset)
    if leaks is None:
        return {}
    leaked = np.isin(test.ids, [*leaks.test, *(find_like_validation(dataset) if learned_val else ())])
    correct = predictions.correct[~leaked]
    return {
        "near_duplicates": int(leaked.sum()),
        "top1_without": float(correct.mean()) if len(correct) else None,
        "top1_without_ci95": wilson_interval(int(correct.sum()), len(correct)),
    }


def _write_confusion(path: Path, matrix: NDArray[np.int64], dataset: Dataset) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(map(to_cell, dataset.class_names))
        writer.writerows(matrix.tolist())
