"""Learning curves, shares and spending, and who was taken for whom."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from bakeoff.figures.canvas import INK, PALETTE, new_figure, to_svg

__all__ = ["Curve", "draw_confusion", "draw_curves", "draw_shares", "draw_spending"]

DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1, 1, 1)))


class Curve(NamedTuple):
    """Validation accuracy (fractions of 1) of one run over its training seconds."""

    label: str
    seconds: Sequence[float]
    top1: Sequence[float]
    stopped: bool
    winner: bool


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
            axes.plot(curve.seconds[-1:], top1[-1:], "x" if curve.stopped else ".", color=colour, ms=6)
        lines, names = axes.get_legend_handles_labels()
        first = {name: line for line, name in reversed(list(zip(lines, names, strict=True)))}
        figure.legend([first[label] for label in labels], labels, loc="outside right upper", fontsize=7.5)
        return to_svg(figure, alt)


def draw_spending(seconds: Mapping[str, float], unspent: float, alt: str) -> str:
    """One bar per stage: its seconds, and its share of all of them and of what was left."""
    bars = dict(seconds) | ({"not spent": unspent} if unspent > 0 else {})
    total = sum(bars.values())
    with new_figure(6.4, 0.7 + 0.32 * len(bars)) as figure:
        axes = figure.add_subplot(xlabel="seconds")
        drawn = axes.barh(list(bars), list(bars.values()), color=PALETTE[0], height=0.6)
        axes.bar_label(drawn, [f"{value:.0f} s, {100 * value / total:.0f} %" for value in bars.values()], padding=4)
        if unspent > 0:
            drawn[-1].set(color=INK, alpha=0.25)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.2)
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


def draw_confusion(counts: NDArray[np.int64], names: Sequence[str], alt: str) -> str:
    """Counts (classes, classes), rows the true class: right is blue and wrong is orange, the fuller the more often."""
    classes = len(names)
    pixels = np.empty((classes, classes, 4))
    pixels[..., :3] = to_rgb(PALETTE[1])
    pixels[range(classes), range(classes), :3] = to_rgb(PALETTE[5])
    # Most confusions are rare: in proportion, rather than by a root, they would be invisible beside the diagonal.
    pixels[..., 3] = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)) ** 0.4
    side = min(10.5, 3.2 + 0.11 * classes)
    with new_figure(side, side) as figure:
        axes = figure.add_subplot(xlabel="predicted", ylabel="true")
        axes.imshow(pixels, interpolation="none")
        axes.grid(visible=False)
        axes.tick_params(length=0, pad=2)
        # More names than this would lie on top of each other, and more numbers than this would not fit their cells.
        if classes <= 120:
            size, short = min(8.0, 45 * side / classes), [_shorten(name) for name in names]
            axes.set_xticks(range(classes), short, rotation=90, fontsize=size)
            axes.set_yticks(range(classes), short, fontsize=size)
        if classes <= 20:
            for (row, column), count in np.ndenumerate(counts):
                if count:
                    axes.text(column, row, str(count), ha="center", va="center", fontsize=min(8.0, 130 / classes))
        return to_svg(figure, alt)


def _shorten(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"
