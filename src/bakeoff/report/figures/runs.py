"""Learning curves, the timeline of a study, and shares of a whole."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from bakeoff.report.figures.canvas import INK, PALETTE, add_tooltip, name_axis, new_figure, to_svg
from bakeoff.runs.config import Metric

__all__ = ["Curve", "CurveDot", "RunBar", "StageBar", "draw_curves", "draw_shares", "draw_timeline"]

DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1, 1, 1)))
_LEGEND_COLUMNS = 5


class CurveDot(NamedTuple):
    """A score on validation: after how many training seconds, on how many images (0: not known), and whether it is an
    evaluation; otherwise it is a quick score for the curve."""

    seconds: float
    score: float
    images: int
    decides: bool


class Curve(NamedTuple):
    """One run over its training seconds: its scores on validation in order, and its training losses."""

    label: str
    dots: Sequence[CurveDot]
    losses: Sequence[tuple[float, float]]
    """Training seconds and the mean loss since the pair before."""
    stopped: bool
    winner: bool


class RunBar(NamedTuple):
    """A run in the timeline: its wall-clock seconds, the seconds of training among them, and its tooltip."""

    seconds: float
    training: float
    text: str


class StageBar(NamedTuple):
    """A stage in the timeline: its wall-clock seconds, and its runs in order; no runs if they overlapped in time."""

    stage: str
    seconds: float
    runs: Sequence[RunBar]


def draw_curves(curves: Sequence[Curve], alt: str, metric: Metric = Metric.TOP1) -> str:
    """Draw learning curves over training time, and the training loss below them, if it is known.

    Runs with the same label share a style. A full dot is an evaluation, a hollow one a quick score, a cross the end of
    a run that was stopped.
    """
    labels = list(dict.fromkeys(curve.label for curve in curves))
    has_losses = any(len(curve.losses) > 1 for curve in curves)
    # The legend is below the axes, where a narrow page has room for it.
    with new_figure(9.0, (5.4 if has_losses else 3.8) + 0.2 * math.ceil(len(labels) / _LEGEND_COLUMNS)) as figure:
        ratios = (2.2, 1.0) if has_losses else (1.0,)
        panels = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
        scores, below = panels[0], panels[-1]
        scores.set_ylabel(name_axis(metric))
        for curve in curves:
            number = labels.index(curve.label)
            colour, dashes = PALETTE[number % len(PALETTE)], DASHES[number // len(PALETTE) % len(DASHES)]
            style: dict[str, Any] = {"color": colour, "ls": dashes, "lw": 2.6 if curve.winner else 1.3}
            values = [metric.scale * dot.score for dot in curve.dots]
            scores.plot([dot.seconds for dot in curve.dots], values, label=curve.label, **style)
            for dot in curve.dots:
                _draw_dot(scores, curve, dot, colour, metric)
            if has_losses:
                below.plot(*zip(*curve.losses, strict=True) if curve.losses else ([], []), **style)
                for seconds, loss in curve.losses:
                    (mark,) = below.plot([seconds], [loss], ".", color=colour, ms=4)
                    add_tooltip(mark, f"{curve.label}: training loss {loss:.3g} after {seconds:.0f} s")
        if has_losses:
            below.set_ylabel("training loss")
        below.set_xlabel("training time (s)")
        ends = [max(dot.seconds for dot in curve.dots) for curve in curves if curve.dots]
        if ends and max(ends) > 12 * min(ends):
            # A confirmation takes much longer than a race: on a linear axis the race would be a line at the edge.
            below.set_xscale("log")
            below.xaxis.set_major_formatter("{x:g}")
        lines, names = scores.get_legend_handles_labels()
        first = {name: line for line, name in reversed(list(zip(lines, names, strict=True)))}
        handles = [first[label] for label in labels]
        figure.legend(handles, labels, loc="outside lower center", ncols=_LEGEND_COLUMNS, fontsize=7.5)
        return to_svg(figure, alt)


def _draw_dot(axes: Axes, curve: Curve, dot: CurveDot, colour: str, metric: Metric) -> None:
    if curve.stopped and dot is curve.dots[-1]:
        marker, size, face = "x", 6.0, colour
    else:
        marker, size, face = ("o", 4.5, colour) if dot.decides else ("o", 3.0, "none")
    (mark,) = axes.plot([dot.seconds], [metric.scale * dot.score], marker, color=colour, ms=size, mfc=face)
    text = f"{curve.label}: {dot.score * metric.scale:.{metric.digits}f}{metric.unit} after {dot.seconds:.0f} s"
    add_tooltip(mark, f"{text}, on {dot.images:,} images" if dot.images else text)


def draw_timeline(stages: Sequence[StageBar], budget: float | None, alt: str) -> str:
    """Draw a row for each stage, from its start to its end in the study's wall-clock time.

    Args:
        stages: The stages in order.
        budget: The study's budget in seconds, drawn as a dashed line.
        alt: The text alternative of the figure.

    Returns:
        An <svg> element.
    """
    end = sum(stage.seconds for stage in stages)
    with new_figure(8.0, 0.9 + 0.3 * len(stages)) as figure:
        axes = figure.add_subplot(xlabel="wall-clock time (s)")
        start = widest = 0.0
        width = max(end, budget or 0.0)
        for row, stage in enumerate(stages):
            _draw_stage(axes, row, stage, start)
            start += stage.seconds
            text = f"{stage.seconds:.0f} s, {100 * stage.seconds / end:.0f} %"
            # Beside the end of the bar, or before its start if the end is near the right edge and there is room.
            before = start > 0.7 * width and start - stage.seconds > 0.15 * width
            spot, shift, side = (start - stage.seconds, -4, "right") if before else (start, 4, "left")
            widest = max(widest, start + (0.0 if before else 0.15 * width))
            axes.annotate(text, (spot, row), (shift, 0), textcoords="offset points", ha=side, va="center", fontsize=7.5)
        if budget:
            axes.axvline(budget, color=INK, lw=1, ls="--")
            # Above the rows and left of the line, so that it stays inside the figure.
            axes.annotate("budget ", (budget, -0.75), ha="right", va="bottom", fontsize=7.5)
        axes.set_yticks(range(len(stages)), [stage.stage for stage in stages])
        axes.set_xlim(0, max(1.02 * width, widest))
        axes.set_ylim(len(stages) - 0.4, -0.75)
        axes.grid(visible=False, axis="y")
        return to_svg(figure, alt)


def draw_shares(shares: Mapping[str, float], alt: str) -> str:
    """Draw a bar for each share of a whole; shares are fractions of 1."""
    with new_figure(6.4, 0.7 + 0.32 * len(shares)) as figure:
        axes = figure.add_subplot(xlabel="share (%)")
        drawn = axes.barh(list(shares), [100 * share for share in shares.values()], color=PALETTE[0], height=0.6)
        axes.bar_label(drawn, [f"{100 * share:.0f} %" for share in shares.values()], padding=4)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.15)
        return to_svg(figure, alt)


def _draw_stage(axes: Axes, row: int, stage: StageBar, start: float) -> None:
    axes.barh(row, stage.seconds, left=start, height=0.6, color=PALETTE[0], alpha=0.25, lw=0)
    for bar in stage.runs:
        (whole,) = axes.barh(row, bar.seconds, left=start, height=0.6, color=PALETTE[5], ec="white", lw=0.6)
        (training,) = axes.barh(row, bar.training, left=start, height=0.6, color=PALETTE[0], ec="white", lw=0.6)
        add_tooltip(whole, bar.text)
        add_tooltip(training, bar.text)
        start += bar.seconds
