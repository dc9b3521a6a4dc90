"""Two values of the same thing: predicted and measured memory, ranks in the screen and in the race."""

from collections.abc import Sequence
from typing import NamedTuple

from bakeoff.report.figures.canvas import INK, PALETTE, add_tooltip, new_figure, to_svg

__all__ = ["Forecast", "RankPair", "draw_forecasts", "draw_rank_pairs"]


class Forecast(NamedTuple):
    """The predicted and the measured peak memory of a run, in bytes."""

    label: str
    predicted: float
    measured: float


class RankPair(NamedTuple):
    """A candidate's rank in two rankings of the same candidates; 1 is best."""

    label: str
    first: int
    second: int


def draw_forecasts(forecasts: Sequence[Forecast], alt: str) -> str:
    """Draw a row for each run: a ring (predicted), a dot (measured), and the error of the prediction in percent."""
    with new_figure(6.4, 1.0 + 0.27 * len(forecasts)) as figure:
        axes = figure.add_subplot(xlabel="peak memory (MB)")
        for row, forecast in enumerate(forecasts):
            predicted, measured = forecast.predicted / 1e6, forecast.measured / 1e6
            axes.plot([predicted, measured], [row, row], color=INK, lw=1, alpha=0.4, zorder=1)
            (ring,) = axes.plot([predicted], [row], "o", mfc="none", mec=PALETTE[3], mew=1.6, ms=7)
            (dot,) = axes.plot([measured], [row], "o", color=PALETTE[0], ms=5.5)
            for mark in (ring, dot):
                add_tooltip(mark, f"{forecast.label}: predicted {predicted:.0f} MB, measured {measured:.0f} MB")
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


def draw_rank_pairs(pairs: Sequence[RankPair], titles: tuple[str, str], alt: str) -> str:
    """Draw a line for each candidate, from its rank in the first ranking to its rank in the second.

    Args:
        pairs: The candidates with their ranks.
        titles: The names of the two rankings.
        alt: The text alternative of the figure.

    Returns:
        An <svg> element.
    """
    with new_figure(6.4, 0.7 + 0.3 * len(pairs)) as figure:
        axes = figure.add_subplot()
        for number, each in enumerate(sorted(pairs, key=lambda each: each.second)):
            colour = PALETTE[number % len(PALETTE)]
            (line,) = axes.plot([0, 1], [each.first, each.second], "o-", color=colour, lw=2, ms=6)
            add_tooltip(line, f"{each.label}: rank {each.first} in the {titles[0]}, {each.second} in the {titles[1]}")
            for x, rank, side in ((0, each.first, "right"), (1, each.second, "left")):
                text = f"{rank}  {each.label}" if side == "left" else f"{each.label}  {rank}"
                shift = (8 if side == "left" else -8, 0)
                axes.annotate(text, (x, rank), shift, textcoords="offset points", ha=side, va="center", fontsize=8)
        axes.set_xticks([0, 1], titles)
        axes.xaxis.tick_top()
        axes.tick_params(length=0, labelleft=False)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set_xlim(-0.9, 1.9)
        axes.set_ylim(len(pairs) + 0.5, 0.5)
        return to_svg(figure, alt)
