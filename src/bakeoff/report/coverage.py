"""When not to answer: accuracy against coverage, and the confidence from which answers are right often enough."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bakeoff.report.board import DASH, format_percent, format_range
from bakeoff.report.evidence import Drawing
from bakeoff.report.figures import draw_coverage
from bakeoff.runs.calibration import choose_temperature
from bakeoff.runs.folder import SPLITS_SCORED, SplitScored, run_dir
from bakeoff.runs.predictions import has_predictions, read_predictions
from bakeoff.runs.record import RunRecord
from bakeoff.runs.selective import LEAST_ANSWERS, CoverageCurve, CoveragePoint, trace_predictions

__all__ = ["Coverage", "ThresholdRow", "describe_coverage"]

# The precisions of the table.
_PRECISIONS = (0.95, 0.98, 0.99)


class ThresholdRow(NamedTuple):
    """A precision that may be asked for, and what its threshold does, as text."""

    precision: str
    confidence: str
    """The smallest confidence that has the precision on validation; empty if there is none, and `missing` says why."""
    splits: list[tuple[str, str]]
    """Of each split: how many images are answered, and how many of the answers are right."""
    missing: str = ""


class Coverage(NamedTuple):
    """What the page shows of a run's answers by their confidence."""

    splits: list[str]
    rows: list[ThresholdRow]
    drawing: Drawing | None
    """None if validation has too few images."""


def describe_coverage(out: Path, record: RunRecord) -> Coverage | None:
    """Describe accuracy against coverage on validation, and on test if that split was opened.

    The probabilities are those that an exported model returns: with the temperature that is fitted on validation.

    Args:
        out: The study's folder.
        record: The run, usually the winner.

    Returns:
        The description; None if the run has no saved predictions on validation.

    Raises:
        OutputError: The predictions are damaged.
    """
    # Of a refit, the run whose recipe it repeats has not learned the validation images.
    folders: dict[SplitScored, Path] = {
        "val": run_dir(out, record.refit_of or record.id),
        "test": run_dir(out, record.id),
    }
    if not has_predictions(folders["val"], "val"):
        return None
    splits = [
        split for split in SPLITS_SCORED if has_predictions(folders[split], split) and (split == "val" or record.test)
    ]
    found = [read_predictions(folders[split], split) for split in splits]
    temperature = choose_temperature(found[0].logits, found[0].labels)
    curves = {each.split_name: trace_predictions(each, temperature) for each in found}
    return Coverage([*curves], [_describe_row(share, curves) for share in _PRECISIONS], _draw(curves))


def _describe_row(precision: float, curves: Mapping[str, CoverageCurve]) -> ThresholdRow:
    point = _find(precision, curves)
    if point is None:
        few = f"validation has no {LEAST_ANSWERS} answers that are right so often"
        return ThresholdRow(format_percent(precision), "", [], few)
    splits = [_describe_point(curve.at(point.confidence)) for curve in curves.values()]
    return ThresholdRow(format_percent(precision), f"{point.confidence:.3f}", splits)


def _find(precision: float, curves: Mapping[str, CoverageCurve]) -> CoveragePoint | None:
    """The threshold of a precision on validation, the first of the curves; None if too few answers reach it."""
    point = next(iter(curves.values())).find(precision)
    return point if point and point.answered >= LEAST_ANSWERS else None


def _describe_point(point: CoveragePoint) -> tuple[str, str]:
    answered = f"{point.answered:,} of {point.images:,} ({format_percent(point.coverage)})"
    right = f"{format_percent(point.precision)} ({format_range(point.interval)})" if point.answered else DASH
    return answered, right


def _draw(curves: Mapping[str, CoverageCurve]) -> Drawing | None:
    shown = {name: curve for name, curve in curves.items() if curve.images >= LEAST_ANSWERS}
    if next(iter(curves)) not in shown:
        return None
    chosen = [point for share in _PRECISIONS if (point := _find(share, curves))]
    marks = {name: [curve.at(point.confidence) for point in chosen] for name, curve in shown.items()}
    caption = (
        "Accuracy of the answers if only the most confident images are answered, with 95 % intervals. The lines begin"
        f" at {LEAST_ANSWERS} images."
    )
    if any(marks.values()):
        caption += " The dots are the thresholds of the table, chosen on validation."
    return Drawing(draw_coverage(shown, marks, LEAST_ANSWERS, caption), caption)
