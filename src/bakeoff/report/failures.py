"""Where the winner fails: accuracy by class, the most frequent confusions, and the calibration of its confidence."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bakeoff.report.board import format_percent, format_range
from bakeoff.report.class_names import Classes, read_classes
from bakeoff.report.evidence import Drawing
from bakeoff.report.figures import MOST_CLASSES, ClassScore, draw_classes, draw_confusion, draw_reliability
from bakeoff.runs.calibration import calibration_error, choose_temperature, cross_fit, reliability, softmax
from bakeoff.runs.folder import SPLITS_SCORED, run_dir
from bakeoff.runs.metrics import wilson_interval
from bakeoff.runs.predictions import Predictions, has_predictions, read_predictions
from bakeoff.runs.record import RunRecord
from bakeoff.text import counted

__all__ = ["ClassRow", "Confusion", "Failures", "describe_failures"]

# Enough confusions to see a pattern, and few enough to read.
_CONFUSIONS = 12
# A mean confidence within this distance of the accuracy counts as correct.
_CALIBRATED = 0.02


class Confusion(NamedTuple):
    """Images of one class that were predicted as another: their number, and their share of the true class."""

    true_class: str
    predicted_class: str
    images: int
    share: float
    interval: tuple[float, float]
    """The 95 % interval of the share, as fractions of 1."""
    same_superclass: bool


class ClassRow(NamedTuple):
    """One class: its images, the correct predictions, and the class that it is most often confused with."""

    name: str
    images: int
    correct: int
    top1: float
    interval: tuple[float, float]
    """The 95 % interval of top-1, as fractions of 1."""
    confused_with: str
    """Empty if every prediction was correct."""


class Failures(NamedTuple):
    """What the page shows of the winner's predictions on one split."""

    split: str
    images: int
    classes: list[ClassRow]
    by_class: Drawing
    matrix: Drawing
    """The confusion matrix."""
    matrix_classes: int
    confusions: list[Confusion]
    calibration: Drawing
    calibration_text: str
    names_are_known: bool
    """False: numbers stand for the names of the classes."""


def describe_failures(out: Path, record: RunRecord) -> Failures | None:
    """Describe a run's failures: on test if that split was opened, otherwise on validation.

    Args:
        out: The study's folder.
        record: The run, usually the winner.

    Returns:
        The failures; None if the run has no saved predictions.

    Raises:
        OutputError: The predictions are damaged.
    """
    folder = run_dir(out, record.id)
    splits = [split for split in SPLITS_SCORED if has_predictions(folder, split) and (split == "val" or record.test)]
    if not splits:
        return None
    found = {split: read_predictions(folder, split) for split in splits}
    validation, predictions = found.get("val"), found[splits[-1]]
    if record.refit_of:  # it has no validation images of its own
        validation = read_predictions(run_dir(out, record.refit_of), "val")
    classes = read_classes(out, record, predictions.classes)
    rows = _rate_classes(predictions, classes)
    text, calibration = _describe_calibration(predictions, validation)
    return Failures(
        split=predictions.split_name,
        images=len(predictions.labels),
        classes=rows,
        by_class=_draw_classes(predictions, classes, rows),
        matrix=_draw_matrix(predictions, classes),
        matrix_classes=len(classes.names),
        confusions=_find_confusions(predictions, classes),
        calibration=calibration,
        calibration_text=text,
        names_are_known=classes.are_known,
    )


def _rate_classes(predictions: Predictions, classes: Classes) -> list[ClassRow]:
    """Every class that has images, worst first."""
    rows = []
    for label, counts in enumerate(predictions.confusion):
        images, correct = int(counts.sum()), int(counts[label])
        if images:
            wrong = counts.copy()
            wrong[label] = 0
            confused_with = classes.names[int(wrong.argmax())] if wrong.any() else ""
            interval = wilson_interval(correct, images)
            rows.append(ClassRow(classes.names[label], images, correct, correct / images, interval, confused_with))
    return sorted(rows, key=lambda row: (row.top1, row.name))


def _draw_classes(predictions: Predictions, classes: Classes, rows: Sequence[ClassRow]) -> Drawing:
    superclasses = dict(zip(classes.names, classes.superclasses, strict=True)) if classes.superclasses else {}
    scores = [ClassScore(row.name, row.top1, row.interval, superclasses.get(row.name, "")) for row in rows]
    worst, best = rows[0], rows[-1]
    mean = float(predictions.correct.mean())
    is_cut = len(rows) > MOST_CLASSES and not superclasses
    drawn = f" Drawn are the {MOST_CLASSES} worst of {counted(len(rows), 'class')}." if is_cut else ""
    caption = (
        f"Top-1 by class on {predictions.split_name}: from {worst.name} ({format_percent(worst.top1)}, 95 % interval"
        f" {format_range(worst.interval)}) to {best.name} ({format_percent(best.top1)})."
        f"{drawn} The dashed line is the accuracy on all images ({format_percent(mean)}). The fewer images a class has,"
        " the less certain is its accuracy."
    )
    return Drawing(draw_classes(scores, mean, caption), caption)


def _draw_matrix(predictions: Predictions, classes: Classes) -> Drawing:
    superclasses = classes.superclasses
    order = np.argsort(superclasses, kind="stable") if superclasses else np.arange(len(classes.names))
    counts = predictions.confusion[np.ix_(order, order)]
    names = [classes.names[label] for label in order]
    groups = [superclasses[label] for label in order] if superclasses else []
    caption = (
        f"{counted(len(predictions.labels), f'{predictions.split_name} image')} of {counted(len(names), 'class')}"
        f"{', ordered by superclass' if groups else ''}. Rows are true classes, columns are predicted classes. Blue is"
        f" correct ({format_percent(float(predictions.correct.mean()))}), orange is wrong. A stronger colour is a"
        " larger share of the row. Point at a cell to see its classes."
    )
    return Drawing(draw_confusion(counts, names, caption, groups), caption)


def _find_confusions(predictions: Predictions, classes: Classes) -> list[Confusion]:
    """The most frequent confusions, most images first."""
    counts = predictions.confusion
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    confusions = []
    for place in order:
        row, column = divmod(int(place), len(wrong))
        images, of_class = int(wrong[row, column]), int(counts[row].sum())
        if images:
            related = bool(classes.superclasses) and classes.superclasses[row] == classes.superclasses[column]
            names = classes.names[row], classes.names[column]
            interval = wilson_interval(images, of_class)
            confusions.append(Confusion(*names, images, images / of_class, interval, related))
    return confusions


def _describe_calibration(predictions: Predictions, validation: Predictions | None) -> tuple[str, Drawing]:
    """Text and figure. The temperature is never fitted on the images that it is evaluated on."""
    if predictions.split == "test" and validation is not None:
        temperature = choose_temperature(validation.logits, validation.labels)
        scaled = predictions.logits / np.float32(temperature)
        method = f"Temperature scaling divides the logits by {temperature:.2f} (fitted on validation)."
    else:
        scaled = cross_fit(predictions.logits, predictions.labels)
        temperature = choose_temperature(predictions.logits, predictions.labels)
        method = (
            f"Temperature scaling divides the logits by about {temperature:.2f} (each half fitted on the other half)."
        )
    confidence = softmax(scaled).max(axis=1)
    before, after = (calibration_error(each, predictions.correct) for each in (predictions.confidence, confidence))
    mean, accuracy = float(predictions.confidence.mean()), float(predictions.correct.mean())
    verdict = "well calibrated"
    if abs(mean - accuracy) > _CALIBRATED:
        verdict = "overconfident" if mean > accuracy else "underconfident"
    change = "reduces" if after < before else "does not reduce"
    text = (
        f"The model is {verdict}: its mean confidence is {format_percent(mean)}, and {format_percent(accuracy)} of its"
        f" predictions are correct. {method} This {change} the expected calibration error: from"
        f" {format_percent(before)} to {format_percent(after)}. It changes the confidence, never the predicted class."
    )
    caption = (
        f"Accuracy against confidence on {counted(len(predictions.labels), f'{predictions.split_name} image')}."
        " Below the dashed"
        " line the model is overconfident. A larger dot stands for more images."
    )
    bins = [reliability(each, predictions.correct) for each in (predictions.confidence, confidence)]
    return text, Drawing(draw_reliability(bins[0], bins[1], caption), caption)
