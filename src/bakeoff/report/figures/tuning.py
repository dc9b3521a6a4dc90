"""The trials of a search, and the effect of each value of a factor."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from bakeoff.report.figures.canvas import INK, PALETTE, add_tooltip, name_axis, new_figure, to_svg
from bakeoff.runs.config import Metric

__all__ = ["Trial", "ValueEffect", "draw_trials", "draw_value_effects"]


class Trial(NamedTuple):
    """One trial of a search: its score on validation, and whether it was stopped early."""

    number: int
    score: float
    stopped: bool


class ValueEffect(NamedTuple):
    """One value of a factor: by how much it is better than the base recipe, with its interval; shares of 1."""

    factor: str
    value: str
    difference: float
    interval: tuple[float, float]


def draw_trials(trials: Sequence[Trial], chosen: int | None, alt: str, metric: Metric = Metric.TOP1) -> str:
    """Draw every trial in order, with the best so far as steps.

    Args:
        trials: The trials in the order in which they ran.
        chosen: The number of the trial whose recipe was chosen; None if the recipe at the start was kept.
        alt: The text alternative of the figure.
        metric: What the scores are.

    Returns:
        An <svg> element.
    """
    scale, improve = metric.scale, np.minimum if metric.is_loss else np.maximum
    with new_figure(6.4, 3.2) as figure:
        axes = figure.add_subplot(xlabel="trial", ylabel=name_axis(metric))
        ended = [trial for trial in trials if not trial.stopped]
        best = improve.accumulate([scale * trial.score for trial in ended])
        axes.step([trial.number for trial in ended], best, where="post", color=PALETTE[0], lw=1, label="best so far")
        for stopped, marker, colour, label in (
            (False, "o", 0, "completed"),
            (True, "x", 1, "stopped early"),
        ):
            members = [trial for trial in trials if trial.stopped is stopped]
            for place, trial in enumerate(members):
                (dot,) = axes.plot([trial.number], [scale * trial.score], marker, color=PALETTE[colour], ms=5.5)
                score = f"{scale * trial.score:.{metric.digits}f}{metric.unit}"
                add_tooltip(dot, f"trial {trial.number}: {score}, {label}")
                if not place:
                    dot.set_label(label)
        for trial in trials:
            if trial.number == chosen:
                spot = [trial.number], [scale * trial.score]
                axes.plot(*spot, "o", mfc="none", mec=PALETTE[2], mew=1.8, ms=12, label="chosen")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside upper left", ncols=4, fontsize=7.5)
        return to_svg(figure, alt)


def draw_value_effects(effects: Sequence[ValueEffect], alt: str, metric: Metric = Metric.TOP1) -> str:
    """Draw the effect of each value in percentage points (or nats), with its interval, grouped by factor."""
    scale, digits = metric.scale, metric.digits
    unit = f"improvement of validation {metric.label}" if metric.is_loss else f"points of validation {metric.label}"
    factors = list(dict.fromkeys(effect.factor for effect in effects))
    with new_figure(7.6, 0.9 + 0.2 * (len(effects) + 1.4 * len(factors))) as figure:
        axes = figure.add_subplot(xlabel=f"difference from the base recipe ({unit})")
        place, places, names = 0.0, [], []
        for factor in factors:
            axes.text(0.0, place, factor, transform=axes.get_yaxis_transform(), weight="bold", va="center", fontsize=8)
            for effect in (each for each in effects if each.factor == factor):
                place += 1
                low, high = effect.interval
                colour = PALETTE[2] if low > 0 else PALETTE[3] if high < 0 else INK
                marker = ">" if low > 0 else "<" if high < 0 else "o"
                axes.plot([scale * low, scale * high], [place, place], color=colour, lw=1.2)
                (dot,) = axes.plot([scale * effect.difference], [place], marker, color=colour, ms=5)
                point, *ends = (f"{scale * value:+.{digits}f}" for value in (effect.difference, low, high))
                add_tooltip(dot, f"{effect.value}: {point} ({ends[0]} to {ends[1]}){metric.points}")
                places.append(place)
                names.append(effect.value)
            place += 1.4
        axes.axvline(0, color=INK, lw=0.8)
        axes.set_yticks(places, names)
        axes.grid(visible=False, axis="y")
        # The first row is the name of a factor, which is no data: automatic limits would leave it out.
        axes.set_ylim(place - 0.7, -0.7)
        return to_svg(figure, alt)
