"""What runs did with their time: learning curves, the timeline of a budget, and shares of a whole."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from bakeoff.report.figures.canvas import INK, PALETTE, hint, new_figure, to_svg

__all__ = ["Bar", "Curve", "Lane", "draw_curves", "draw_shares", "draw_timeline"]

DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1, 1, 1)))


class Curve(NamedTuple):
    """Validation accuracy (fractions of 1) of one run over its training seconds."""

    label: str
    seconds: Sequence[float]
    top1: Sequence[float]
    stopped: bool
    winner: bool


class Bar(NamedTuple):
    """A run's part of a stage: wall-clock seconds, those of them that were training, and what to say of it."""

    seconds: float
    training: float
    text: str


class Lane(NamedTuple):
    """A stage: wall-clock seconds, and its runs one after the other; none where they were not in a row."""

    stage: str
    seconds: float
    bars: Sequence[Bar]


def draw_curves(curves: Sequence[Curve], alt: str) -> str:
    """Learning curves of all runs over training time; one style per label, a cross where a run was stopped."""
    labels = list(dict.fromkeys(curve.label for curve in curves))
    with new_figure(9.0, 4.2) as figure:
        axes = figure.add_subplot(xlabel="training time (s)", ylabel="validation top-1 (%)")
        for curve in curves:
            number, top1 = labels.index(curve.label), [100 * value for value in curve.top1]
            colour, dashes = PALETTE[number % len(PALETTE)], DASHES[number // len(PALETTE) % len(DASHES)]
            width = 2.6 if curve.winner else 1.3
            axes.plot(curve.seconds, top1, color=colour, ls=dashes, lw=width, label=curve.label)
            for place, (seconds, value) in enumerate(zip(curve.seconds, top1, strict=True), 1):
                cross = curve.stopped and place == len(top1)
                (dot,) = axes.plot([seconds], [value], "x" if cross else "o", color=colour, ms=6 if cross else 3.2)
                hint(dot, f"{curve.label}: {value:.1f} % after {seconds:.0f} s")
        ends = [max(curve.seconds) for curve in curves]
        if max(ends) > 12 * min(ends):
            # A confirming run is so much longer than a race that the race would be a stroke at the edge.
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        lines, names = axes.get_legend_handles_labels()
        first = {name: line for line, name in reversed(list(zip(lines, names, strict=True)))}
        # Under the axes, where a narrow page has room for it.
        figure.legend([first[label] for label in labels], labels, loc="outside lower center", ncols=5, fontsize=7.5)
        return to_svg(figure, alt)


def draw_timeline(lanes: Sequence[Lane], budget: float | None, alt: str) -> str:
    """A row for each stage from its beginning to its end on the study's own clock; training is full colour."""
    end = sum(lane.seconds for lane in lanes)
    with new_figure(8.0, 0.9 + 0.3 * len(lanes)) as figure:
        axes = figure.add_subplot(xlabel="seconds of wall clock")
        start = 0.0
        for row, lane in enumerate(lanes):
            _draw_lane(axes, row, lane, start)
            start += lane.seconds
            text = f"{lane.seconds:.0f} s, {100 * lane.seconds / end:.0f} %"
            late = start > 0.7 * max(end, budget or 0.0)
            spot, shift, side = (start - lane.seconds, -4, "right") if late else (start, 4, "left")
            axes.annotate(text, (spot, row), (shift, 0), textcoords="offset points", ha=side, va="center", fontsize=7.5)
        if budget:
            axes.axvline(budget, color=INK, lw=1, ls="--")
            # Above the rows, on the side where it does not run out of the figure.
            axes.annotate("budget ", (budget, -0.75), ha="right", va="bottom", fontsize=7.5)
        axes.set_yticks(range(len(lanes)), [lane.stage for lane in lanes])
        axes.set_xlim(0, 1.02 * max(end, budget or 0.0))
        axes.set_ylim(len(lanes) - 0.4, -0.75)
        axes.grid(visible=False, axis="y")
        return to_svg(figure, alt)


def draw_shares(shares: Mapping[str, float], alt: str) -> str:
    """One bar for each share of a whole."""
    with new_figure(6.4, 0.7 + 0.32 * len(shares)) as figure:
        axes = figure.add_subplot(xlabel="share (%)")
        drawn = axes.barh(list(shares), [100 * share for share in shares.values()], color=PALETTE[0], height=0.6)
        axes.bar_label(drawn, [f"{100 * share:.0f} %" for share in shares.values()], padding=4)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.15)
        return to_svg(figure, alt)


def _draw_lane(axes: Axes, row: int, lane: Lane, start: float) -> None:
    axes.barh(row, lane.seconds, left=start, height=0.6, color=PALETTE[0], alpha=0.25, lw=0)
    for bar in lane.bars:
        (whole,) = axes.barh(row, bar.seconds, left=start, height=0.6, color=PALETTE[5], ec="white", lw=0.6)
        (training,) = axes.barh(row, bar.training, left=start, height=0.6, color=PALETTE[0], ec="white", lw=0.6)
        hint(whole, bar.text)
        hint(training, bar.text)
        start += bar.seconds
