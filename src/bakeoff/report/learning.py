"""The learning curves of a study's runs, and what each of their points stands on."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from bakeoff.report.board import Row, find_metric
from bakeoff.report.evidence import Drawing, name_score
from bakeoff.report.figures import Curve, CurveDot, draw_curves
from bakeoff.runs.config import Metric
from bakeoff.runs.folder import run_dir
from bakeoff.runs.history import CurvePoint, HistoryRow, read_curve, read_history
from bakeoff.runs.record import RunRecord, Stage, State

__all__ = ["draw_learning"]


def draw_learning(out: Path, records: Sequence[RunRecord], rows: Sequence[Row], winner: str) -> Drawing | None:
    """Draw the score on validation and the training loss over training time.

    Args:
        out: The study's folder, which holds the histories.
        records: The runs to draw; trials of a search are left out unless there are no other runs.
        rows: The board, which gives the order of the legend.
        winner: The id of the run to emphasise.

    Returns:
        The figure; None if no run has two points.
    """
    ranked = list(dict.fromkeys(row.name for row in rows))
    metric = find_metric(records)
    candidates = [record for record in records if record.stage is not Stage.TUNE] or records
    curves = [
        curve
        for record in sorted(candidates, key=lambda record: ranked.index(record.candidate))
        if (curve := _read(out, record, metric, winner)).dots or curve.losses
    ]
    if all(max(len(curve.dots), len(curve.losses)) < 2 for curve in curves):
        return None
    caption = _describe([dot for curve in curves for dot in curve.dots], metric)
    if any(curve.losses for curve in curves):
        caption += " Below: the mean training loss since the point before, which needs no validation image."
    if any(curve.winner for curve in curves):
        caption += " The thick line is the winner."
    if any(curve.stopped for curve in curves):
        caption += " A cross marks a run that was stopped or failed."
    return Drawing(draw_curves(curves, caption, metric), caption)


def _read(out: Path, record: RunRecord, metric: Metric, winner: str) -> Curve:
    folder = run_dir(out, record.id)
    history, points = read_history(folder), read_curve(folder)
    dots = [*_list_dots(history, metric, decides=True), *_list_dots(points, metric, decides=False)]
    return Curve(
        record.candidate,
        sorted(dots, key=lambda dot: dot.seconds),
        [(point.seconds, point.train_loss) for point in points],
        stopped=record.state in (State.PRUNED, State.FAILED),
        winner=record.id == winner,
    )


def _list_dots(rows: Iterable[HistoryRow | CurvePoint], metric: Metric, *, decides: bool) -> list[CurveDot]:
    found = [(row, row.read(metric)) for row in rows]
    return [CurveDot(row.seconds, score, row.val_images, decides) for row, score in found if score is not None]


def _describe(dots: Sequence[CurveDot], metric: Metric) -> str:
    evaluated, quick = ([dot.images for dot in dots if dot.decides is decides] for decides in (True, False))
    caption = f"{name_score(metric)} over training time. A full dot is an evaluation{_count(evaluated)}."
    if quick:
        caption += f" A hollow dot is a quick score{_count(quick)}: it is less certain, and decides nothing."
    return caption


def _count(images: Sequence[int]) -> str:
    """On how many images scores stand, as far as it is known: ` on 337 to 1,000 validation images`."""
    if not images or 0 in images:
        return ""
    least, most = min(images), max(images)
    return f" on {least:,}{f' to {most:,}' if most > least else ''} validation images"
