"""A model's predictions: the confusion matrix, accuracy by class, and the reliability diagram."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bakeoff.report.figures.canvas import INK, PALETTE, add_tooltip, new_figure, to_svg
from bakeoff.runs.calibration import BINS, Reliability
from bakeoff.text import counted

__all__ = ["MOST_CLASSES", "ClassScore", "draw_classes", "draw_confusion", "draw_reliability"]

# The most classes whose names fit on the axes, and whose counts fit into the cells of the matrix.
_NAMED, _NUMBERED = 120, 20
MOST_CLASSES = 40
"""With more classes than this, superclasses are drawn instead if there are any; otherwise so many of the worst."""
# The most off-diagonal cells of the matrix that get a tooltip.
_TOOLTIPS = 150


class ClassScore(NamedTuple):
    """The accuracy of a class with its interval (fractions of 1), and its superclass if it has one."""

    name: str
    top1: float
    interval: tuple[float, float]
    group: str = ""


def draw_confusion(counts: NDArray[np.int64], names: Sequence[str], alt: str, groups: Sequence[str] = ()) -> str:
    """Draw a confusion matrix: correct predictions in blue, wrong ones in orange, stronger for a larger share of a row.

    Args:
        counts: Images (classes, classes); rows are true classes, columns are predicted ones.
        names: The names of the classes.
        alt: The text alternative of the figure.
        groups: The superclass of each class, if there are any; classes of one superclass are adjacent.

    Returns:
        An <svg> element.
    """
    classes = len(names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    pixels = np.empty((classes, classes, 4))
    pixels[..., :3] = to_rgb(PALETTE[1])
    pixels[range(classes), range(classes), :3] = to_rgb(PALETTE[5])
    # A power below 1 makes rare confusions visible beside the diagonal.
    pixels[..., 3] = shares**0.4
    side = min(10.5, 3.2 + 0.11 * classes)
    with new_figure(side, side) as figure:
        axes = figure.add_subplot(xlabel="predicted", ylabel="true")
        axes.imshow(pixels, interpolation="none")
        axes.grid(visible=False)
        axes.tick_params(length=0, pad=2)
        if groups and classes > MOST_CLASSES:
            _name_groups(axes, groups)
        elif classes <= _NAMED:
            size, short = min(8.0, 45 * side / classes), [_shorten(name) for name in names]
            axes.set_xticks(range(classes), short, rotation=90, fontsize=size)
            axes.set_yticks(range(classes), short, fontsize=size)
        if classes <= _NUMBERED:
            for (row, column), count in np.ndenumerate(counts):
                if count:
                    axes.text(column, row, str(count), ha="center", va="center", fontsize=min(8.0, 130 / classes))
        for place in np.argsort(-shares, axis=None, kind="stable")[: _TOOLTIPS + classes]:
            row, column = divmod(int(place), classes)
            if counts[row, column]:
                cell = axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, alpha=0))
                text = f"{names[row]} predicted as {names[column]}" if row != column else f"{names[row]}, correct"
                add_tooltip(cell, f"{text}: {counts[row, column]} of {counts[row].sum()}")
        return to_svg(figure, alt)


def draw_classes(scores: Sequence[ClassScore], mean: float, alt: str) -> str:
    """Draw accuracy by class with its interval, worst first.

    With many classes in superclasses, each superclass is a row with a dot for each class.

    Args:
        scores: The classes.
        mean: The accuracy over all images, as a fraction of 1.
        alt: The text alternative of the figure.

    Returns:
        An <svg> element.
    """
    if len(scores) > MOST_CLASSES and any(score.group for score in scores):
        return _draw_groups(scores, mean, alt)
    ranked = sorted(scores, key=lambda score: (score.top1, score.name))[:MOST_CLASSES]
    with new_figure(6.4, 0.9 + 0.19 * len(ranked)) as figure:
        axes = figure.add_subplot(xlabel="top-1 (%)")
        for row, score in enumerate(ranked):
            ends = [100 * end for end in score.interval]
            axes.plot(ends, [row, row], color=PALETTE[0], lw=1.2, alpha=0.6)
            (dot,) = axes.plot([100 * score.top1], [row], "o", color=PALETTE[0], ms=5)
            add_tooltip(dot, _format_score(score))
        axes.axvline(100 * mean, color=INK, lw=0.8, ls="--")
        axes.set_yticks(range(len(ranked)), [_shorten(score.name) for score in ranked])
        axes.set_ylim(len(ranked) - 0.4, -0.6)
        axes.set_xlim(None, 101)
        return to_svg(figure, alt)


def draw_reliability(before: Reliability, after: Reliability, alt: str) -> str:
    """Draw accuracy against confidence by bin.

    Args:
        before: The bins of the model as trained.
        after: The bins after temperature scaling.
        alt: The text alternative of the figure.

    Returns:
        An <svg> element.
    """
    with new_figure(6.4, 3.4) as figure:
        named: Mapping[str, Reliability] = {"as trained": before, "after temperature scaling": after}
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        for number, (panel, (title, bins)) in enumerate(zip(axes, named.items(), strict=True)):
            panel.plot([0, 100], [0, 100], color=INK, lw=0.8, ls="--")
            full = np.flatnonzero(bins.counts)
            for place in full:
                share, confidence = 100 * bins.accuracy[place], 100 * bins.confidence[place]
                # The area of a dot grows with the number of images.
                size = 3 + 12 * np.sqrt(bins.counts[place] / bins.counts.sum())
                panel.plot([confidence] * 2, [confidence, share], color=PALETTE[3], lw=1.2)
                (dot,) = panel.plot([confidence], [share], "o", color=PALETTE[(0, 2)[number]], ms=size)
                add_tooltip(
                    dot,
                    f"{counted(bins.counts[place], 'image')}: confidence {confidence:.0f} %, accuracy {share:.0f} %",
                )
            panel.set_title(title, fontsize=8.5)
            panel.set(xlabel="confidence (%)", xlim=(0, 102), ylim=(0, 102))
            panel.set_xticks(range(0, 101, 20))
        axes[0].set_ylabel(f"accuracy (%), in {BINS} bins")
        return to_svg(figure, alt)


def _draw_groups(scores: Sequence[ClassScore], mean: float, alt: str) -> str:
    grouped: dict[str, list[ClassScore]] = {}
    for score in scores:
        grouped.setdefault(score.group, []).append(score)
    ranked = sorted(grouped.items(), key=lambda item: float(np.mean([score.top1 for score in item[1]])))
    with new_figure(8.0, 0.9 + 0.27 * len(ranked)) as figure:
        axes = figure.add_subplot(xlabel="top-1 (%)")
        for row, (_, members) in enumerate(ranked):
            members.sort(key=lambda score: score.top1)
            axes.plot(
                [100 * members[0].top1, 100 * members[-1].top1], [row, row], color=INK, lw=0.8, alpha=0.3, zorder=1
            )
            for score in members:
                (dot,) = axes.plot([100 * score.top1], [row], "o", color=PALETTE[0], ms=5, alpha=0.8)
                add_tooltip(dot, _format_score(score))
            worst = (100 * members[0].top1, row)
            axes.annotate(
                _shorten(members[0].name),
                worst,
                (-6, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=7,
            )
        axes.axvline(100 * mean, color=INK, lw=0.8, ls="--")
        axes.set_yticks(range(len(ranked)), [_shorten(group, 30) for group, _ in ranked])
        axes.set_ylim(len(ranked) - 0.4, -0.6)
        low = 100 * min(score.top1 for score in scores)
        axes.set_xlim(max(-18.0, low - 14), 101)
        return to_svg(figure, alt)


def _name_groups(axes: Axes, groups: Sequence[str]) -> None:
    """Label each block of equal groups at its middle, and separate the blocks with lines."""
    edges = [0, *(place for place in range(1, len(groups)) if groups[place] != groups[place - 1]), len(groups)]
    for edge in edges[1:-1]:
        axes.axvline(edge - 0.5, color=INK, lw=0.4, alpha=0.35)
        axes.axhline(edge - 0.5, color=INK, lw=0.4, alpha=0.35)
    middles = [(low + high - 1) / 2 for low, high in itertools.pairwise(edges)]
    named = [_shorten(groups[edge], 30) for edge in edges[:-1]]
    axes.set_xticks(middles, named, rotation=90, fontsize=8)
    axes.set_yticks(middles, named, fontsize=8)


def _format_score(score: ClassScore) -> str:
    low, high = score.interval
    return f"{score.name}: {100 * score.top1:.0f} % (95 % interval {100 * low:.0f} to {100 * high:.0f} %)"


def _shorten(name: str, length: int = 18) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"
