"""The figures of runs with their captions: accuracy against cost, memory, time, the screen's order."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

from bakeoff.report.board import (
    STAGES,
    Row,
    format_seconds,
    is_clearly_cheaper,
    is_scored,
    read_score,
)
from bakeoff.report.facts import Spending
from bakeoff.report.figures import (
    Forecast,
    Point,
    RankPair,
    RunBar,
    StageBar,
    draw_forecasts,
    draw_rank_pairs,
    draw_timeline,
    draw_tradeoff,
)
from bakeoff.runs.config import Metric
from bakeoff.runs.record import RunRecord, Stage
from bakeoff.text import counted

__all__ = ["Drawing", "draw_budget", "draw_memory", "draw_screen_order", "draw_tradeoffs", "name_score"]

# The most runs in the figure of memory.
_ROWS = 24


class Drawing(NamedTuple):
    """A figure and its caption."""

    svg: str
    caption: str


def draw_tradeoffs(rows: Sequence[Row]) -> list[Drawing]:
    """Draw the score against the first two costs that differ between runs: training time, peak memory, parameters."""
    # The trials of a search have a separate figure in the section on the recipe.
    candidates = [row for row in rows if row.stage is not Stage.TUNE]
    scored = [row for row in candidates if is_scored(row)]
    # Scores on other data say nothing about these.
    scored = [row for row in scored if row.fingerprint == scored[0].fingerprint]
    # A probe's seconds and memory are not those of training, so the screen is drawn only where nothing was trained.
    trained = [row for row in scored if row.stage is not Stage.SCREEN] or scored
    costs = {
        "Training time (s)": [row.seconds_train for row in trained],
        "Peak memory (MB)": [row.memory_peak_bytes / 1e6 for row in trained],
        "Trained parameters (million)": [row.params_trainable / 1e6 for row in trained],
    }
    # After training for equal seconds, for example, a figure of time shows nothing.
    differing = [
        (cost, values) for cost, values in costs.items() if values and is_clearly_cheaper(min(values), max(values))
    ]
    drawings = []
    for cost, values in differing[:2]:
        metric, points = trained[0].metric, []
        for row, value in zip(trained, values, strict=True):
            score = read_score(row)
            if value and score and score.interval:
                points.append(Point(row.name, value, score.value, score.interval, row.stage.value))
        if not points:
            continue
        sizes = Counter(point.series for point in points)
        front = max(reversed(STAGES), key=lambda stage: sizes[stage.value]).value
        if sizes[front] > 1:
            caption = f"{name_score(metric, folded=any(row.folds for row in trained))} against"
            caption += f" {cost[0].lower()}{cost[1:]}, with 95 % intervals; {_count(points)}."
            caption += f" The steps are the Pareto front of the {front} stage: no cheaper run is as"
            caption += f" {'accurate' if metric is Metric.TOP1 else 'good'}."
            drawings.append(Drawing(draw_tradeoff(points, front, cost, caption, metric), caption))
    return drawings


def draw_budget(spending: Sequence[Spending], records: Sequence[RunRecord], budget: float | None) -> Drawing | None:
    """Draw the study's wall-clock time by stage and run. Beside a budget, what `bakeoff train` took is no part of it.

    Args:
        spending: The stages with their seconds, in order.
        records: The runs of the stages.
        budget: The study's budget in seconds, if it has one.

    Returns:
        The figure; None if no time was recorded.
    """
    by_id = {record.id: record for record in records}
    charged = [stage for stage in spending if stage.seconds and not (budget and stage.stage == Stage.TRAIN)]
    bars = [_make_stage_bar(stage, by_id) for stage in charged]
    spent = sum(bar.seconds for bar in bars)
    if not spent:
        return None
    caption = f"{format_seconds(spent)} of wall-clock time before this page was written"
    if budget:
        caption += f", of a budget of {format_seconds(budget)} ({100 * spent / budget:.0f} %)"
    caption += (
        ". Dark: training steps. Light: the rest of a run, such as compilation and validation. Pale: outside runs."
    )
    return Drawing(draw_timeline(bars, budget, caption), caption)


def draw_memory(rows: Sequence[Row]) -> Drawing | None:
    """Draw predicted and measured peak memory of fine-tuned runs, or else of screened ones; None if there are none."""
    measured = [row for row in rows if is_scored(row) and row.memory_predicted_bytes and row.memory_peak_bytes]
    trained = [row for row in measured if row.stage not in (Stage.SCREEN, Stage.TUNE)] or [
        row for row in measured if row.stage is Stage.SCREEN
    ]
    if not trained:
        return None
    shown = trained[:_ROWS]
    forecasts = [
        Forecast(f"{row.name}, {row.stage}", row.memory_predicted_bytes, row.memory_peak_bytes) for row in shown
    ]
    errors = [abs(row.memory_predicted_bytes / row.memory_peak_bytes - 1) for row in trained]
    caption = "Peak memory of training: predicted before the run and measured in its process."
    caption += f" The median error is {100 * median(errors):.0f} %."
    if len(trained) > len(shown):
        caption += f" The figure shows the first {len(shown)} of {counted(len(trained), 'run')}."
    return Drawing(draw_forecasts(forecasts, caption), caption)


def draw_screen_order(rows: Sequence[Row]) -> Drawing | None:
    """Draw the screen's order against that of the race or comparison after it; None with fewer than two candidates."""
    for stage in (Stage.RACE, Stage.COMPARE):
        screened = list(dict.fromkeys(row.name for row in rows if row.stage is Stage.SCREEN and is_scored(row)))
        trained = list(dict.fromkeys(row.name for row in rows if row.stage is stage and is_scored(row)))
        both = [name for name in screened if name in trained]
        if len(both) > 1:
            after = [name for name in trained if name in both]
            ranks = [RankPair(name, both.index(name) + 1, after.index(name) + 1) for name in both]
            pairs = list(combinations(ranks, 2))
            agreed = sum((one.first < other.first) == (one.second < other.second) for one, other in pairs)
            caption = f"The order of the same candidates in the screen and in the {stage}. The two orders agree on"
            caption += f" {agreed} of {counted(len(pairs), 'pair')}."
            return Drawing(draw_rank_pairs(ranks, ("screen", stage.value), caption), caption)
    return None


def _make_stage_bar(stage: Spending, by_id: Mapping[str, RunRecord]) -> StageBar:
    runs = [by_id[run] for run in stage.runs if run in by_id]
    bars = [
        RunBar(
            run.seconds.total,
            min(run.seconds.train, run.seconds.total),
            f"{run.candidate}, {run.state.lower()}: {run.seconds.total:.0f} s, training {run.seconds.train:.0f} s",
        )
        for run in runs
    ]
    # Runs that overlapped in time cannot be drawn one after the other.
    one_at_a_time = sum(bar.seconds for bar in bars) <= 1.02 * stage.seconds
    return StageBar(stage.stage, stage.seconds, bars if one_at_a_time else [])


def name_score(metric: Metric, *, folded: bool = False) -> str:
    """Name the metric on validation, or on more images, at the beginning of a sentence."""
    name = "accuracy" if metric is Metric.TOP1 else metric.label
    return f"{name[:1].upper()}{name[1:]}" if folded else f"Validation {name}"


def _count(points: Sequence[Point]) -> str:
    return f"{counted(len({point.label for point in points}), 'candidate')} in {counted(len(points), 'run')}"
