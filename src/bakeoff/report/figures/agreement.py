"""Two accounts of the same thing side by side: predicted and measured memory, the screen's order and the race's."""

from collections.abc import Sequence
from typing import NamedTuple

from bakeoff.report.figures.canvas import INK, PALETTE, hint, new_figure, to_svg

__all__ = ["Forecast", "Places", "draw_forecasts", "draw_places"]


class Forecast(NamedTuple):
    """One run's peak memory in bytes, as predicted and as measured."""

    label: str
    predicted: float
    measured: float


class Places(NamedTuple):
    """A candidate's place among the same others by two rankings, from 1."""

    label: str
    first: int
    second: int


def draw_forecasts(forecasts: Sequence[Forecast], alt: str) -> str:
    """A row for each run: predicted as a ring, measured as a dot, and the error of the prediction in percent."""
    with new_figure(6.4, 1.0 + 0.27 * len(forecasts)) as figure:
        axes = figure.add_subplot(xlabel="peak memory (MB)")
        for row, forecast in enumerate(forecasts):
            predicted, measured = forecast.predicted / 1e6, forecast.measured / 1e6
            axes.plot([predicted, measured], [row, row], color=INK, lw=1, alpha=0.4, zorder=1)
            (ring,) = axes.plot([predicted], [row], "o", mfc="none", mec=PALETTE[3], mew=1.6, ms=7)
            (dot,) = axes.plot([measured], [row], "o", color=PALETTE[0], ms=5.5)
            for mark in (ring, dot):
                hint(mark, f"{forecast.label}: predicted {predicted:.0f} MB, measured {measured:.0f} MB")
            error = f"{100 * predicted / measured - 100:+.0f} %"
            spot = (max(predicted, measured), row)
            axes.annotate(error, spot, (8, 0), textcoords="offset points", va="center", fontsize=7.5)
        ring.set_label("predicted")
        dot.set_label("measured")
        axes.set_yticks(range(len(forecasts)), [forecast.label for forecast in forecasts])
        axes.set_ylim(len(forecasts) - 0.5, -0.5)
        axes.set_xlim(0, 1.18 * max(max(each.predicted, each.measured) for each in forecasts) / 1e6)
        figure.legend(loc="outside upper left", ncols=2, fontsize=7.5)
        return to_svg(figure, alt)


def draw_places(places: Sequence[Places], titles: tuple[str, str], alt: str) -> str:
    """A line for each candidate from its place by the first ranking, on the left, to its place by the second."""
    with new_figure(6.4, 0.7 + 0.3 * len(places)) as figure:
        axes = figure.add_subplot()
        for number, each in enumerate(sorted(places, key=lambda each: each.second)):
            colour = PALETTE[number % len(PALETTE)]
            (line,) = axes.plot([0, 1], [each.first, each.second], "o-", color=colour, lw=2, ms=6)
            hint(line, f"{each.label}: {each.first} by the {titles[0]}, {each.second} by the {titles[1]}")
            for x, place, side in ((0, each.first, "right"), (1, each.second, "left")):
                text = f"{place}  {each.label}" if side == "left" else f"{each.label}  {place}"
                shift = (8 if side == "left" else -8, 0)
                axes.annotate(text, (x, place), shift, textcoords="offset points", ha=side, va="center", fontsize=8)
        axes.set_xticks([0, 1], titles)
        axes.xaxis.tick_top()
        axes.tick_params(length=0, labelleft=False)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set_xlim(-0.9, 1.9)
        axes.set_ylim(len(places) + 0.5, 0.5)
        return to_svg(figure, alt)
