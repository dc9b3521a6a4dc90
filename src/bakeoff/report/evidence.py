"""The report's figures with their data: trade-offs, learning curves, memory, spending, and the screen's order."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bakeoff.report.board import STAGES, Row, do_differ, format_seconds, is_scored
from bakeoff.report.facts import Spending
from bakeoff.report.figures import (
    Bar,
    Curve,
    Forecast,
    Lane,
    Places,
    Point,
    draw_curves,
    draw_forecasts,
    draw_places,
    draw_timeline,
    draw_tradeoff,
)
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import RunRecord, Stage, State, read_history

__all__ = ["Drawing", "draw_budget", "draw_learning", "draw_memory", "draw_orders", "draw_tradeoffs"]

# More rows of memory than this would not be read.
_ROWS = 24


class Drawing(NamedTuple):
    """A figure and the line under it."""

    svg: str
    caption: str


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


def draw_budget(spending: Sequence[Spending], records: Sequence[RunRecord], budget: float | None) -> Drawing | None:
    """The study's wall clock from stage to stage and run to run; None if nothing was spent. `budget` in seconds."""
    by_id = {record.id: record for record in records}
    lanes = [_make_lane(stage, by_id) for stage in spending if stage.seconds]
    spent = sum(lane.seconds for lane in lanes)
    if not spent:
        return None
    caption = f"{format_seconds(spent)} of wall clock before this page"
    if budget:
        caption += f", of a budget of {format_seconds(budget)} ({100 * spent / budget:.0f} %)"
    caption += ". Dark: steps of training; light: the rest of a run, such as compiling and validation; pale: all else."
    return Drawing(draw_timeline(lanes, budget, caption), caption)


def draw_memory(rows: Sequence[Row]) -> Drawing | None:
    """Predicted beside measured peak memory of the runs that were trained; None where there are none."""
    seen = [row for row in rows if is_scored(row) and row.memory_predicted_bytes and row.memory_peak_bytes]
    trained = [row for row in seen if row.stage not in (Stage.SCREEN, Stage.TUNE)] or [
        row for row in seen if row.stage is Stage.SCREEN
    ]
    if not trained:
        return None
    shown = trained[:_ROWS]
    forecasts = [
        Forecast(f"{row.name}, {row.stage}", row.memory_predicted_bytes, row.memory_peak_bytes) for row in shown
    ]
    errors = [abs(row.memory_predicted_bytes / row.memory_peak_bytes - 1) for row in trained]
    caption = "Peak memory of training as predicted before the run, and as measured in its process"
    caption += f"; the median error is {100 * median(errors):.0f} %."
    if len(trained) > len(shown):
        caption += f" The first {len(shown)} of {len(trained)} runs."
    return Drawing(draw_forecasts(forecasts, caption), caption)


def draw_orders(rows: Sequence[Row]) -> Drawing | None:
    """The screen's order of those that were trained on equal terms after it; None if they are fewer than two."""
    for stage in (Stage.RACE, Stage.COMPARE):
        screened = list(dict.fromkeys(row.name for row in rows if row.stage is Stage.SCREEN and is_scored(row)))
        raced = list(dict.fromkeys(row.name for row in rows if row.stage is stage and is_scored(row)))
        both = [name for name in screened if name in raced]
        if len(both) > 1:
            after = [name for name in raced if name in both]
            places = [Places(name, both.index(name) + 1, after.index(name) + 1) for name in both]
            pairs = list(combinations(places, 2))
            agreed = sum((one.first < other.first) == (one.second < other.second) for one, other in pairs)
            caption = f"The screen's order of those that met in the {stage}, and the {stage}'s own: they agree on"
            caption += f" {agreed} of {len(pairs)} pairs."
            return Drawing(draw_places(places, ("screen", stage.value), caption), caption)
    return None


def _make_lane(stage: Spending, by_id: Mapping[str, RunRecord]) -> Lane:
    runs = [by_id[run] for run in stage.runs if run in by_id]
    bars = [
        Bar(
            run.seconds.total,
            min(run.seconds.train, run.seconds.total),
            f"{run.candidate}, {run.state.lower()}: {run.seconds.total:.0f} s, of training {run.seconds.train:.0f} s",
        )
        for run in runs
    ]
    # Runs side by side, on several machines, have no place of their own on one clock.
    in_a_row = sum(bar.seconds for bar in bars) <= 1.02 * stage.seconds
    return Lane(stage.stage, stage.seconds, bars if in_a_row else [])


def _count(points: Sequence[Point]) -> str:
    number = len({point.label for point in points})
    return f"{number} candidate{'s' if number > 1 else ''} in {len(points)} runs"
