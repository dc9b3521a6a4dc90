"""Learning curves, the timeline of a study, and shares of a whole."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from bakeoff.report.figures.canvas import INK, PALETTE, add_tooltip, name_axis, new_figure, to_svg
from bakeoff.runs.config import Metric

__all__ = ["Curve", "RunBar", "StageBar", "draw_curves", "draw_shares", "draw_timeline"]

DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1, 1, 1)))


class Curve(NamedTuple):
    """The score on validation of one run over its training seconds."""

    label: str
    seconds: Sequence[float]
    scores: Sequence[float]
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
    """Draw learning curves over training time; runs with the same label share a style, a cross is a stopped run."""
    labels = list(dict.fromkeys(curve.label for curve in curves))
    with new_figure(9.0, 4.2) as figure:
        axes = figure.add_subplot(xlabel="training time (s)", ylabel=name_axis(metric))
        for curve in curves:
            number, scores = labels.index(curve.label), [metric.scale * value for value in curve.scores]
            colour, dashes = PALETTE[number % len(PALETTE)], DASHES[number // len(PALETTE) % len(DASHES)]
            width = 2.6 if curve.winner else 1.3
            axes.plot(curve.seconds, scores, color=colour, ls=dashes, lw=width, label=curve.label)
            for place, (seconds, value) in enumerate(zip(curve.seconds, scores, strict=True), 1):
                cross = curve.stopped and place == len(scores)
                (dot,) = axes.plot([seconds], [value], "x" if cross else "o", color=colour, ms=6 if cross else 3.2)
                add_tooltip(dot, f"{curve.label}: {value:.{metric.digits}f}{metric.unit} after {seconds:.0f} s")
        ends = [max(curve.seconds) for curve in curves]
        if max(ends) > 12 * min(ends):
            # A confirmation takes much longer than a race: on a linear axis the race would be a line at the edge.
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        lines, names = axes.get_legend_handles_labels()
        first = {name: line for line, name in reversed(list(zip(lines, names, strict=True)))}
        # Below the axes, where a narrow page has room for the legend.
        figure.legend([first[label] for label in labels], labels, loc="outside lower center", ncols=5, fontsize=7.5)
        return to_svg(figure, alt)


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
