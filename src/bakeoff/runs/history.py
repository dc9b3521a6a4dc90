"""How a run was doing while it trained: its evaluations (`history.csv`), and its learning curve (`curve.csv`).

An evaluation scores up to INTERIM_IMAGES validation images, and decides: it can stop a run. There may be one in a run.
The points of the curve are many, and decide nothing. Each has the training loss, which costs nothing, and the score on
a few validation images, where that takes at most CURVE_SHARE of the time of training.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from bakeoff.errors import OutputError
from bakeoff.files import replacing
from bakeoff.runs.config import Metric
from bakeoff.runs.facts import Facts, name_first
from bakeoff.runs.folder import RunFolder

__all__ = [
    "CURVE_POINTS",
    "CURVE_SHARE",
    "CurvePoint",
    "HistoryRow",
    "read_curve",
    "read_history",
    "write_curve",
    "write_history",
]

# Points of a learning curve, evenly spaced over the run; a run of fewer steps has a point for each of them.
CURVE_POINTS = 8
# What scoring for the curve may take, as a share of the time of training.
CURVE_SHARE = 0.02


class HistoryRow(Facts):
    """One evaluation during training, a row of `history.csv`."""

    seconds: float
    """Training seconds so far."""
    progress: float
    """Completed fraction of the run's length, in [0, 1]."""
    epoch: float
    """Passes over the training images so far."""
    images_seen: int
    """Training images so far, each counted every time that it was used."""
    size: int
    """Input size, in pixels, of the latest step."""
    learning_rate: float
    """Learning rate of the latest step."""
    train_loss: float
    """Mean over the steps since the previous evaluation, with what `train.balance` does to the loss."""
    val_loss: float
    """Log loss on the validation images."""
    val_top1: float
    """Top-1 on them."""
    val_balanced_accuracy: float | None = None
    """Balanced accuracy, if it was computed."""
    val_macro_f1: float | None = None
    """Macro F1, if it was computed."""
    val_auroc: float | None = None
    """AUROC, if it was computed."""
    val_images: int = 0
    """Validation images that were scored; 0 in files of older versions."""

    def read(self, metric: Metric) -> float | None:
        """One of the metrics that can decide; None if it is not known."""
        return _read(self, metric)


class CurvePoint(Facts):
    """One point of a learning curve, a row of `curve.csv`. Without validation images it has no score."""

    seconds: float
    """Training seconds so far."""
    progress: float
    """Completed fraction of the run's length, in [0, 1]."""
    epoch: float
    """Passes over the training images so far."""
    images_seen: int
    """Training images so far, each counted every time that it was used."""
    train_loss: float
    """Mean over the steps since the previous point, with what `train.balance` does to the loss."""
    val_images: int = 0
    """Validation images that were scored: few, so the score is uncertain."""
    val_loss: float | None = None
    """Log loss on them."""
    val_top1: float | None = None
    """Top-1 on them."""
    val_balanced_accuracy: float | None = None
    """Balanced accuracy, if it was computed."""
    val_macro_f1: float | None = None
    """Macro F1, if it was computed."""
    val_auroc: float | None = None
    """AUROC, if it was computed."""

    def read(self, metric: Metric) -> float | None:
        """One of the metrics that can decide; None if it is not known."""
        return _read(self, metric)


def _read(row: HistoryRow | CurvePoint, metric: Metric) -> float | None:
    value: float | None = getattr(row, "val_loss" if metric is Metric.LOG_LOSS else f"val_{metric.field}")
    return value


def write_history(folder: Path, rows: Sequence[HistoryRow]) -> None:
    """Write `history.csv` into a run's folder."""
    _write_rows(RunFolder(folder).history, rows, HistoryRow)


def read_history(folder: Path) -> list[HistoryRow]:
    """Read the rows of `history.csv`; none before the first evaluation. Raises OutputError if it is damaged."""
    return _read_rows(RunFolder(folder).history, HistoryRow)


def write_curve(folder: Path, points: Sequence[CurvePoint]) -> None:
    """Write `curve.csv` into a run's folder."""
    _write_rows(RunFolder(folder).curve, points, CurvePoint)


def read_curve(folder: Path) -> list[CurvePoint]:
    """Read the rows of `curve.csv`; none before the first point, and of older versions. Raises OutputError if it is
    damaged."""
    return _read_rows(RunFolder(folder).curve, CurvePoint)


Row = TypeVar("Row", bound=Facts)


def _write_rows(path: Path, rows: Sequence[Row], kind: type[Row]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(kind.model_fields))
        writer.writeheader()
        writer.writerows(row.model_dump() for row in rows)


def _read_rows(path: Path, kind: type[Row]) -> list[Row]:
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            cells = [{str(key): cell for key, cell in row.items() if cell != ""} for row in csv.DictReader(file)]
            return [kind.model_validate(row) for row in cells]
    except ValidationError as error:
        raise OutputError(f"cannot read {path}: {name_first(error)}; remove that run's folder") from error
    except (OSError, ValueError, csv.Error) as error:
        raise OutputError(f"cannot read {path}: {error}; remove that run's folder") from error
