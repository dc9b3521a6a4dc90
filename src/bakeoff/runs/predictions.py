"""A run's predictions on a split: `val-logits.npz` and `test-logits.npz`.

Logits are stored in half precision, or in single precision where one of them is too large for that. Metrics are
computed from the rounded logits, so they can be recomputed exactly from the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import OutputError
from bakeoff.files import read_arrays, replacing
from bakeoff.runs.calibration import softmax
from bakeoff.runs.folder import RunFolder, SplitScored
from bakeoff.runs.metrics import confusion_matrix

__all__ = [
    "Predictions",
    "has_predictions",
    "name_folds",
    "read_predictions",
    "round_logits",
    "write_predictions",
]


@dataclass(frozen=True)
class Predictions:
    """Logits (n, classes) and true labels (n,) of a split, with the n image ids if they are known."""

    logits: NDArray[np.float32]
    labels: NDArray[np.int32]
    ids: Sequence[str] = ()
    split: SplitScored = "val"
    folds: NDArray[np.int32] | None = None
    """The fold of each image, (n,), if these are predictions of a cross-validation, on images of validation and of
    training: each by a head that has not seen the image."""

    @property
    def split_name(self) -> str:
        """What the images are, in a sentence: `validation`, `test`, or `cross-validation`."""
        if self.split == "test":
            return "test"
        return "validation" if self.folds is None else "cross-validation"

    @cached_property
    def predicted(self) -> NDArray[np.intp]:
        """The most likely class of each image, (n,)."""
        predicted: NDArray[np.intp] = self.logits.argmax(axis=1)
        return predicted

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the true class, (n,)."""
        correct: NDArray[np.bool_] = self.predicted == self.labels
        return correct

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """The probability of the predicted class, (n,), in [0, 1]."""
        confidence: NDArray[np.float32] = softmax(self.logits).max(axis=1)
        return confidence

    def select(self, ids: Sequence[str]) -> "Predictions":
        """The predictions on some of the images, by id, in the order of `ids`."""
        places = {name: place for place, name in enumerate(self.ids)}
        chosen = np.array([places[name] for name in ids], dtype=np.intp)
        folds = None if self.folds is None else self.folds[chosen]
        return replace(self, logits=self.logits[chosen], labels=self.labels[chosen], ids=list(ids), folds=folds)

    @property
    def classes(self) -> int:
        """Number of classes."""
        count: int = self.logits.shape[1]
        return count

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Number of images by true class (rows) and predicted class (columns)."""
        return confusion_matrix(self.logits, self.labels)


def has_predictions(folder: Path, split: SplitScored) -> bool:
    """Whether a run's folder holds its predictions on a split."""
    return RunFolder(folder).predictions(split).is_file()


def read_predictions(folder: Path, split: SplitScored) -> Predictions:
    """Read a run's predictions on a split from its folder. Raises OutputError if they are missing or damaged."""
    path = RunFolder(folder).predictions(split)
    try:
        file = read_arrays(path)
        logits, labels = file["logits"].astype(np.float32), file["labels"].astype(np.int32)
        ids = file["ids"].tolist() if "ids" in file else []
        folds = file["folds"].astype(np.int32) if "folds" in file else None
    except FileNotFoundError as error:
        raise OutputError(f"{path} is missing; name a completed training run, or run the study again") from error
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(f"cannot read {path}: {error}; remove that run's folder and run the study again") from error
    shapes_match = logits.ndim == 2 and labels.shape == logits.shape[:1] and len(labels)
    shapes_match = shapes_match and len(ids) in (0, len(labels))  # early versions stored no ids
    if not shapes_match or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise OutputError(f"{path} does not hold one row of logits for each label; remove that run's folder")
    return Predictions(logits, labels, ids, split, folds)


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Write predictions into a run's folder, atomically."""
    with replacing(RunFolder(folder).predictions(predictions.split)) as temporary:
        arrays: dict[str, Any] = {
            "logits": _to_stored(predictions.logits),
            "labels": predictions.labels,
            "ids": np.array(predictions.ids),
        }
        if predictions.folds is not None:
            arrays["folds"] = predictions.folds
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


def name_folds(folds: int, images: int) -> str:
    """The name of a cross-validation of so many images with so many folds: `10-fold cross-validation`."""
    return f"{'leave-one-out' if folds == images else f'{folds}-fold'} cross-validation"


def round_logits(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round logits as they are stored; returned as float32."""
    return _to_stored(logits).astype(np.float32)


def _to_stored(logits: NDArray[np.float32]) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        half = logits.astype(np.float16)
    return half if np.array_equal(np.isfinite(half), np.isfinite(logits)) else logits.astype(np.float32)
