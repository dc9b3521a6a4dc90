"""Where the winner fails: by class, by pair of classes, and by how sure it is of itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bakeoff.report.board import format_percent, format_range
from bakeoff.report.class_names import Classes, read_classes
from bakeoff.report.evidence import Drawing
from bakeoff.report.figures import ClassScore, draw_classes, draw_confusion, draw_reliability
from bakeoff.runs.calibration import calibration_error, cross_fit, fit_temperature, reliability, softmax
from bakeoff.runs.folder import SPLITS_SCORED, run_dir
from bakeoff.runs.metrics import wilson_interval
from bakeoff.runs.predictions import Predictions, has_predictions, read_predictions
from bakeoff.runs.record import RunRecord

__all__ = ["ClassRow", "Failures", "Pair", "describe_failures"]

# Enough of the worst confusions to see the pattern, few enough to read.
_PAIRS = 12


class Pair(NamedTuple):
    """Images of one class that were taken for another: how many, which share of the class, and its interval."""

    name: str
    taken: str
    images: int
    share: float
    interval: tuple[float, float]
    related: bool
    """Whether both are of one superclass."""


class ClassRow(NamedTuple):
    """One class: its images, how many were named rightly, and what the others were taken for most often."""

    name: str
    images: int
    right: int
    top1: float
    interval: tuple[float, float]
    taken: str


class Failures(NamedTuple):
    """What the page says of the winner's answers on a split."""

    split: str
    images: int
    classes: list[ClassRow]
    by_class: Drawing
    confusion: Drawing
    matrix_side: int
    pairs: list[Pair]
    calibration: Drawing
    calibration_words: str


def describe_failures(out: Path, record: RunRecord) -> Failures | None:
    """The winner's failures on test if that was opened, else on validation; None if its answers were not kept."""
    folder = run_dir(out, record.id)
    splits = [split for split in SPLITS_SCORED if has_predictions(folder, split) and (split == "val" or record.test)]
    if not splits:
        return None
    found = {split: read_predictions(folder, split) for split in splits}
    validation, predictions = found.get("val"), found[splits[-1]]
    classes = read_classes(out, record, predictions.classes)
    rows = _rate_classes(predictions, classes)
    words, calibration = _calibrate(predictions, validation)
    return Failures(
        split=predictions.split_name,
        images=len(predictions.labels),
        classes=rows,
        by_class=_draw_classes(predictions, classes, rows),
        confusion=_draw_confusion(predictions, classes),
        matrix_side=len(classes.names),
        pairs=_find_pairs(predictions, classes),
        calibration=calibration,
        calibration_words=words,
    )


def _rate_classes(predictions: Predictions, classes: Classes) -> list[ClassRow]:
    """Every class that has images, worst first."""
    rows = []
    for label, counts in enumerate(predictions.confusion):
        images, right = int(counts.sum()), int(counts[label])
        if images:
            wrong = counts.copy()
            wrong[label] = 0
            taken = classes.names[int(wrong.argmax())] if wrong.any() else ""
            interval = wilson_interval(right, images)
            rows.append(ClassRow(classes.names[label], images, right, right / images, interval, taken))
    return sorted(rows, key=lambda row: (row.top1, row.name))


def _draw_classes(predictions: Predictions, classes: Classes, rows: Sequence[ClassRow]) -> Drawing:
    groups = dict(zip(classes.names, classes.groups, strict=True)) if classes.groups else {}
    scores = [ClassScore(row.name, row.top1, row.interval, groups.get(row.name, "")) for row in rows]
    worst, best = rows[0], rows[-1]
    mean = float(predictions.correct.mean())
    caption = (
        f"Accuracy by class on {predictions.split_name}: from {worst.name} ({format_percent(worst.top1)}, 95 % interval"
    )
    caption += f" {format_range(worst.interval)}) to {best.name} ({format_percent(best.top1)}). Dashed: all images"
    caption += f" ({format_percent(mean)}). The fewer images a class has, the more of its place is luck."
    return Drawing(draw_classes(scores, mean, caption), caption)


def _draw_confusion(predictions: Predictions, classes: Classes) -> Drawing:
    order = np.argsort(classes.groups, kind="stable") if classes.groups else np.arange(len(classes.names))
    counts = predictions.confusion[np.ix_(order, order)]
    names = [classes.names[label] for label in order]
    groups = [classes.groups[label] for label in order] if classes.groups else []
    hits = format_percent(float(predictions.correct.mean()))
    caption = (
        f"{len(predictions.labels):,} {predictions.split_name} images of {len(names)} classes: rows are true, columns"
    )
    caption += f" predicted{', classes ordered by superclass' if groups else ''}. Blue is right ({hits}), orange is"
    caption += " wrong; the fuller the colour the larger the share of its row."
    return Drawing(draw_confusion(counts, names, caption, groups), caption)


def _find_pairs(predictions: Predictions, classes: Classes) -> list[Pair]:
    counts = predictions.confusion
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    pairs = []
    for place in order:
        row, column = divmod(int(place), len(wrong))
        images, of = int(wrong[row, column]), int(counts[row].sum())
        if images:
            related = bool(classes.groups) and classes.groups[row] == classes.groups[column]
            names = classes.names[row], classes.names[column]
            pairs.append(Pair(*names, images, images / of, wilson_interval(images, of), related))
    return pairs


def _calibrate(predictions: Predictions, validation: Predictions | None) -> tuple[str, Drawing]:
    """Words and figure: the temperature never comes from the images that it is judged on."""
    if predictions.split == "test" and validation is not None:
        temperature = fit_temperature(validation.logits, validation.labels)
        scaled = predictions.logits / np.float32(temperature)
        how = f"Dividing its logits by {temperature:.2f}, which was fitted on validation,"
    else:
        scaled = cross_fit(predictions.logits, predictions.labels)
        temperature = fit_temperature(predictions.logits, predictions.labels)
        how = f"Dividing its logits by about {temperature:.2f}, each half's divisor fitted on the other half,"
    sure = softmax(scaled).max(axis=1)
    before, after = (calibration_error(each, predictions.correct) for each in (predictions.confidence, sure))
    gap = float(predictions.confidence.mean() - predictions.correct.mean())
    mean = f"on average it is {format_percent(float(predictions.confidence.mean()))} sure"
    mean += f" and {format_percent(float(predictions.correct.mean()))} of its answers are right"
    which = "too sure of itself" if gap > 0 else "less sure of itself than it could be"
    verdict = f"It is {which}: {mean}." if abs(gap) > 0.02 else f"Its confidence can be taken at its word: {mean}."
    effect = "takes" if after < before else "does not help: it takes"
    words = f"{verdict} {how} {effect} the expected calibration error from {format_percent(before)} to"
    words += f" {format_percent(after)}. No answer changes by that, only how sure it is."
    caption = (
        f"How often it was right, by how sure it was, on {len(predictions.labels):,} {predictions.split_name} images."
    )
    caption += " Below the dashed line it is too sure; a larger dot is more images."
    bins = [reliability(each, predictions.correct) for each in (predictions.confidence, sure)]
    return words, Drawing(draw_reliability(bins[0], bins[1], caption), caption)
