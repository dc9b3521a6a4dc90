"""The report's figures with their data: trade-offs, learning curves, spending, and who was taken for whom."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bakeoff.board import STAGES, Row, do_differ, say_percent, say_seconds
from bakeoff.errors import OutputError
from bakeoff.figures import Curve, Point, draw_confusion, draw_curves, draw_spending, draw_tradeoff
from bakeoff.report.facts import Spending
from bakeoff.runs import RunRecord, Stage, State, read_history, run_dir

__all__ = ["Confusion", "Drawing", "draw_budget", "draw_learning", "draw_tradeoffs", "read_confusion"]

# Enough of the worst confusions to see the pattern, few enough to read.
_PAIRS = 12


class Drawing(NamedTuple):
    """A figure and the line under it."""

    svg: str
    caption: str


class Confusion(NamedTuple):
    """Names of classes, the matrix, and the worst pairs: true class, taken for, how often, share of the true class."""

    names: list[str]
    drawing: Drawing
    pairs: list[tuple[str, str, int, float]]


def draw_tradeoffs(rows: Sequence[Row]) -> list[Drawing]:
    """Accuracy against two costs in which candidates differ: training time, peak memory, else trained parameters."""
    # The trials of a search are one candidate, and have a figure of their own.
    candidates = [row for row in rows if row.stage is not Stage.TUNE]
    scored = [row for row in candidates if row.state is State.COMPLETE and row.val_top1_ci95]
    # A probe's seconds and memory are not those of training, so the screen is drawn only where nothing was trained.
    trained = [row for row in scored if row.stage is not Stage.SCREEN] or scored
    costs = {
        "Training time (s)": [row.seconds_train for row in trained],
        "Peak memory (MB)": [row.memory_peak_bytes / 1e6 for row in trained],
        "Trained parameters (million)": [row.params_trainable / 1e6 for row in trained],
    }
    # At equal seconds, for one, time tells nothing.
    telling = [(cost, values) for cost, values in costs.items() if values and do_differ(min(values), max(values))]
    drawings = []
    for cost, values in telling[:2]:
        points = [
            Point(row.name, value, row.val_top1 or 0.0, row.val_top1_ci95, row.stage.value)
            for row, value in zip(trained, values, strict=True)
            if value and row.val_top1_ci95
        ]
        sizes = Counter(point.series for point in points)
        front = max(reversed(STAGES), key=lambda stage: sizes[stage.value]).value
        if sizes[front] > 1:
            caption = f"Validation accuracy against {cost[0].lower()}{cost[1:]}, with 95 % intervals; {_count(points)}."
            caption += f" The steps are the Pareto front of the {front} stage: nothing above them costs as little."
            drawings.append(Drawing(draw_tradeoff(points, front, cost, caption), caption))
    return drawings


def draw_learning(out: Path, records: Sequence[RunRecord], rows: Sequence[Row], winner: str) -> Drawing | None:
    """The learning curves of all runs, `winner` (a run's id) heavier; None if none was scored on its way."""
    ranked = list(dict.fromkeys(row.name for row in rows))
    curves = []
    candidates = [record for record in records if record.stage is not Stage.TUNE] or records
    for record in sorted(candidates, key=lambda record: ranked.index(record.candidate)):
        history = read_history(run_dir(out, record.id))
        if history:
            seconds, top1 = [step.seconds for step in history], [step.val_top1 for step in history]
            stopped = record.state in (State.PRUNED, State.FAILED)
            curves.append(Curve(record.candidate, seconds, top1, stopped, record.id == winner))
    if all(len(curve.seconds) < 2 for curve in curves):
        return None
    caption = "Validation accuracy over training time: every run that was scored on its way."
    caption += " The heavy line is the winner's; a cross marks a run that was stopped or failed."
    return Drawing(draw_curves(curves, caption), caption)


def draw_budget(spending: Sequence[Spending], budget: float | None) -> Drawing | None:
    """Wall-clock seconds per stage, and what was left of `budget` (seconds); None if nothing was spent."""
    seconds = {stage.stage: stage.seconds for stage in spending if stage.seconds}
    spent = sum(seconds.values())
    if not spent:
        return None
    caption = f"{say_seconds(spent)} of wall clock"
    if budget:
        caption += f", of a budget of {say_seconds(budget)} ({100 * spent / budget:.0f} %)"
    return Drawing(draw_spending(seconds, (budget or spent) - spent, f"{caption}, by stage."), f"{caption}.")


def read_confusion(path: Path) -> Confusion | None:
    """The confusions of a run's test; None if there is no such file. Raises OutputError if it is damaged."""
    if not path.is_file():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names, *cells = csv.reader(file)
        counts = np.array(cells, dtype=np.int64)
    except (OSError, ValueError, csv.Error) as error:
        raise OutputError(f"cannot read {path}: {error}; evaluate the run again") from error
    if counts.shape != (len(names), len(names)) or counts.min(initial=0) < 0:
        raise OutputError(f"{path} is not one row of counts for each of its {len(names)} classes; evaluate it again")
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    places = [np.unravel_index(place, wrong.shape) for place in order]
    pairs = [
        (names[row], names[column], int(wrong[row, column]), float(wrong[row, column] / counts[row].sum()))
        for row, column in places
        if wrong[row, column]
    ]
    hits = say_percent(float(np.trace(counts) / max(counts.sum(), 1)))
    caption = f"{int(counts.sum()):,} test images of {len(names)} classes: rows are true, columns predicted."
    caption += f" Blue is right ({hits}), orange is wrong; the fuller the colour the larger the share of its row."
    return Confusion(names, Drawing(draw_confusion(counts, names, caption), caption), pairs)


def _count(points: Sequence[Point]) -> str:
    number = len({point.label for point in points})
    return f"{number} candidate{'s' if number > 1 else ''} in {len(points)} runs"
