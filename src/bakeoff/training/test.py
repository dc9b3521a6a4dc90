"""Evaluation on the locked test split. Every opening of the split is counted."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import Split, load_split
from bakeoff.data.checks import find_leaks, find_like_validation
from bakeoff.data.shards import Dataset
from bakeoff.files import replacing
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.metrics import TestMetrics, score, wilson_interval
from bakeoff.runs.predictions import Predictions, round_logits, write_predictions
from bakeoff.runs.record import write_record
from bakeoff.text import to_cell
from bakeoff.training.inference import full_float32, predict_logits, report_batches
from bakeoff.training.model import OpenedRun

__all__ = ["open_test", "score_without_leaks"]


@full_float32()
def open_test(run: OpenedRun) -> TestMetrics:
    """Score a finished run on the locked test split. The opening is recorded before the first image is read.

    It is computed in full float32, because the bundle may be compared with the run in the same process.
    """
    openings, before = RunFolder(run.folder).test_openings, run.record.test
    with openings.open("a", encoding="utf-8") as file:
        file.write(datetime.now(UTC).isoformat(timespec="seconds") + "\n")
    dataset, flip = run.dataset, run.record.config.train.flip_test
    split = load_split(dataset, "test", unlock=True)
    logits = predict_logits(run.forward, split, flip=flip, on_batch=report_batches("test", len(split)))
    predictions = Predictions(round_logits(logits), split.labels, split.ids, "test")
    metrics = score(predictions.logits, split.labels, dataset.superclass_of)
    leaks = score_without_leaks(predictions, split, dataset, learned_val=run.record.config.train.with_val)
    # An opening that is on record stays counted, even if its line in the file is gone.
    count = max(len(openings.read_bytes().splitlines()), before.openings + 1 if before else 0)
    test = TestMetrics(**metrics.model_dump(), openings=count, **leaks)
    write_predictions(run.folder, predictions)
    _write_confusion(RunFolder(run.folder).confusion, predictions.confusion, dataset)
    write_record(run.folder, run.record.model_copy(update={"test": test}))
    return test


def score_without_leaks(
    predictions: Predictions, test: Split, dataset: Dataset, *, learned_val: bool
) -> dict[str, Any]:
    """Test top-1 without images that have a near-duplicate in training (Barz & Denzler 2020, arXiv 1902.00423)."""
    leaks = find_leaks(dataset)
    if leaks is None:
        return {}
    like_val = find_like_validation(dataset) if learned_val else set[str]()
    leaked = np.isin(test.ids, [*leaks.test, *(like_val or ())])
    correct = predictions.correct[~leaked]
    return {
        "near_duplicates": int(leaked.sum()),
        "near_duplicates_unsearched": "the validation images, which were learned too" if like_val is None else "",
        "top1_without": float(correct.mean()) if len(correct) else None,
        "top1_without_ci95": wilson_interval(int(correct.sum()), len(correct)),
    }


def _write_confusion(path: Path, matrix: NDArray[np.int64], dataset: Dataset) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(map(to_cell, dataset.class_names))
        writer.writerows(matrix.tolist())
