"""What a run answered, image by image, and what its classes are called."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.calibration import softmax
from bakeoff.errors import OutputError
from bakeoff.files import read_arrays, read_json
from bakeoff.runs import RunRecord
from bakeoff.shards import find_dataset

__all__ = ["Answers", "Classes", "read_answers", "read_classes"]


@dataclass(frozen=True)
class Classes:
    """Names by label; superclasses where there are any."""

    names: tuple[str, ...]
    groups: tuple[str, ...] = ()
    """The superclass of each class."""


@dataclass(frozen=True)
class Answers:
    """Logits (n, classes) float32, true labels (n,) and ids of the images of a split, `validation` or `test`."""

    split: str
    logits: NDArray[np.float32]
    labels: NDArray[np.int32]
    ids: list[str]

    @cached_property
    def said(self) -> NDArray[np.intp]:
        """The class named for each image."""
        said: NDArray[np.intp] = self.logits.argmax(axis=1)
        return said

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether it was the true one."""
        right: NDArray[np.bool_] = self.said == self.labels
        return right

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """The probability that was given to it."""
        confidence: NDArray[np.float32] = softmax(self.logits).max(axis=1)
        return confidence

    @property
    def classes(self) -> int:
        """How many classes there are to name."""
        count: int = self.logits.shape[1]
        return count

    @property
    def counts(self) -> NDArray[np.int64]:
        """Images by true class (rows) and class named (columns)."""
        pairs = self.labels.astype(np.int64) * self.classes + self.said
        return np.bincount(pairs, minlength=self.classes**2).reshape(self.classes, self.classes)


def read_answers(folder: Path, split: str) -> Answers | None:
    """A run's answers on `validation` or `test`; None if it has none. Raises OutputError if they are damaged."""
    path = folder / {"validation": "val-logits.npz", "test": "test-logits.npz"}[split]
    if not path.is_file():
        return None
    try:
        file = read_arrays(path)
        logits, labels = file["logits"].astype(np.float32), file["labels"].astype(np.int32)
        ids = file["ids"].tolist() if "ids" in file else []
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(f"cannot read {path}: {error}; remove that run's folder and run the study again") from error
    fits = logits.ndim == 2 and labels.shape == logits.shape[:1] and len(labels)
    if not fits or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise OutputError(f"{path} is not one answer for each of its labels; remove that run's folder")
    return Answers(split, logits, labels, ids)


def read_classes(out: Path, record: RunRecord, count: int) -> Classes:
    """The names of a run's `count` classes: from the study's bundle, else from the shards, else they are numbers."""
    path = out / "bundle" / "labels.json"
    try:
        facts = read_json(path)
        names, supers, of = facts["classes"], facts["superclasses"], facts["superclass_of"]
    except (OSError, ValueError, KeyError, TypeError):
        # No bundle, or none that can be read: whoever opens it is told so, and names are to be had elsewhere.
        dataset = find_dataset(record.data.fingerprint, record.config.data.classes, record.config.data.seed)
        if dataset is None:
            return Classes(tuple(map(str, range(count))))
        names, supers, of = dataset.class_names, dataset.superclass_names, dataset.superclass_of
    if len(names) != count:
        return Classes(tuple(map(str, range(count))))
    return Classes(_show(names), _show([supers[group] for group in of]) if supers and of else ())


def _show(names: Sequence[str]) -> tuple[str, ...]:
    """As people write them."""
    return tuple(name.replace("_", " ") for name in names)
