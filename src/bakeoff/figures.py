"""The report's figures as SVG strings: made to stand inside HTML, in its ink, and the same bytes every time.

Text stays text. Lines and letters take the colour of the page around them (`currentColor`), so that one figure reads
on light and dark; series are told apart by the palette of Okabe and Ito 2008, and by dashes or shapes as well.
"""

import hashlib
import html
import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

__all__ = ["Curve", "Point", "draw_confusion", "draw_curves", "draw_spending", "draw_tradeoff"]

# Without its black and its yellow, which vanish on a dark and on a light page.
_PALETTE = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
_DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1, 1, 1)))
_MARKERS = ("o", "D", "s", "^", "v")
# Where a label may stand around its point: points away, and degrees.
_REACHES = (7, 14, 22, 32, 44, 58)
_TURNS = (0, 180, 30, 330, 150, 210, 90, 270)
# Stands for `currentColor` while matplotlib draws, which knows only real colours.
_INK = "#010203"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bakeoff",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=_PALETTE),
    "grid.color": _INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
}


class Point(NamedTuple):
    """One run in a trade-off: its cost, its accuracy and interval as fractions of 1, and the series it belongs to."""

    label: str
    cost: float
    top1: float
    interval: tuple[float, float]
    series: str


class Curve(NamedTuple):
    """Validation accuracy (fractions of 1) of one run over its training seconds."""

    label: str
    seconds: Sequence[float]
    top1: Sequence[float]
    stopped: bool
    winner: bool


def draw_tradeoff(points: Sequence[Point], front: str, cost: str, alt: str) -> str:
    """Accuracy against a cost, every point labelled; the Pareto front of the series `front` is drawn as steps."""
    with _figure(4.7, 3.9) as figure:
        axes = figure.add_subplot(xlabel=cost, ylabel="validation top-1 (%)")
        for number, series in enumerate(dict.fromkeys(point.series for point in points)):
            own = sorted((point for point in points if point.series == series), key=lambda point: point.cost)
            colour, marker = _PALETTE[number % len(_PALETTE)], _MARKERS[number % len(_MARKERS)]
            for point in own:
                axes.plot([point.cost] * 2, [100 * end for end in point.interval], color=colour, lw=0.8)
            axes.plot(*_spots(own), marker, color=colour, markersize=5.5, label=series)
            if series == front:
                edge = [one for place, one in enumerate(own) if all(one.top1 > other.top1 for other in own[:place])]
                axes.step(*_spots(edge), where="post", color=colour, lw=1, alpha=0.6, label="Pareto front")
        if max(point.cost for point in points) > 12 * min(point.cost for point in points):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(0.2, 0.12)
        figure.legend(loc="outside upper left", ncols=4, fontsize=7.5, handletextpad=0.3, columnspacing=1.2)
        _place_labels(figure, axes, points)
        return _to_svg(figure, alt)


def draw_curves(curves: Sequence[Curve], alt: str) -> str:
    """Learning curves of all runs over training time; one style per label, a cross where a run was stopped."""
    labels = list(dict.fromkeys(curve.label for curve in curves))
    with _figure(9.0, 4.2) as figure:
        axes = figure.add_subplot(xlabel="training time (s)", ylabel="validation top-1 (%)")
        for curve in curves:
            number, top1 = labels.index(curve.label), [100 * value for value in curve.top1]
            colour, dashes = _PALETTE[number % len(_PALETTE)], _DASHES[number // len(_PALETTE) % len(_DASHES)]
            width = 2.6 if curve.winner else 1.3
            axes.plot(curve.seconds, top1, color=colour, ls=dashes, lw=width, label=curve.label)
            axes.plot(curve.seconds[-1:], top1[-1:], "x" if curve.stopped else ".", color=colour, ms=6)
        lines, names = axes.get_legend_handles_labels()
        first = {name: line for line, name in reversed(list(zip(lines, names, strict=True)))}
        figure.legend([first[label] for label in labels], labels, loc="outside right upper", fontsize=7.5)
        return _to_svg(figure, alt)


def draw_spending(seconds: Mapping[str, float], unspent: float, alt: str) -> str:
    """One bar per stage: its seconds, and its share of all of them and of what was left."""
    bars = dict(seconds) | ({"not spent": unspent} if unspent > 0 else {})
    total = sum(bars.values())
    with _figure(6.4, 0.7 + 0.32 * len(bars)) as figure:
        axes = figure.add_subplot(xlabel="seconds")
        drawn = axes.barh(list(bars), list(bars.values()), color=_PALETTE[0], height=0.6)
        axes.bar_label(drawn, [f"{value:.0f} s, {100 * value / total:.0f} %" for value in bars.values()], padding=4)
        if unspent > 0:
            drawn[-1].set(color=_INK, alpha=0.25)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.2)
        return _to_svg(figure, alt)


def draw_confusion(counts: NDArray[np.int64], names: Sequence[str], alt: str) -> str:
    """Counts (classes, classes), rows the true class: right is blue and wrong is orange, the fuller the more often."""
    classes = len(names)
    pixels = np.empty((classes, classes, 4))
    pixels[..., :3] = to_rgb(_PALETTE[1])
    pixels[range(classes), range(classes), :3] = to_rgb(_PALETTE[5])
    # Most confusions are rare: in proportion, rather than by a root, they would be invisible beside the diagonal.
    pixels[..., 3] = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)) ** 0.4
    side = min(10.5, 3.2 + 0.11 * classes)
    with _figure(side, side) as figure:
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
        return _to_svg(figure, alt)


def _spots(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [point.cost for point in points], [100 * point.top1 for point in points]


def _shorten(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"


def _place_labels(figure: Figure, axes: Axes, points: Sequence[Point]) -> None:
    """Label each point at the nearest place around it that is free of other labels, points and intervals."""
    FigureCanvasAgg(figure)  # measures text
    figure.draw_without_rendering()
    # From here on the axes stay where they are, or the labels would move them away from under themselves.
    figure.set_layout_engine("none")
    taken, spots = [], [axes.transData.transform((point.cost, 100 * point.top1)) for point in points]
    for point, (x, y) in zip(points, spots, strict=True):
        low, high = (axes.transData.transform((point.cost, 100 * end))[1] for end in point.interval)
        taken += [(x - 4, y - 4, x + 4, y + 4), (x - 1, low, x + 1, high)]
    for point, (x, y) in zip(points, spots, strict=True):
        note = axes.annotate(point.label, (point.cost, 100 * point.top1), fontsize=7.5)
        size = note.get_window_extent()
        note.remove()
        shifts = [_shift(size.width, size.height, reach, turn) for reach in _REACHES for turn in _TURNS]
        boxes = [_around(x + dx, y + dy, size.width, size.height) for dx, dy in shifts]
        others = [other for other in spots if not np.array_equal(other, (x, y))]
        crowding = [
            _cover(box, taken)
            - _cover(box, [axes.bbox.extents])
            + _crossings((x, y), shift, others)
            + math.hypot(*shift) / 10
            for box, shift in zip(boxes, shifts, strict=True)
        ]
        best = int(np.argmin(crowding))
        taken.append(boxes[best])
        gap = math.dist((x, y), np.clip((x, y), boxes[best][:2], boxes[best][2:]))
        line = {"arrowstyle": "-", "color": _INK, "lw": 0.5, "alpha": 0.5, "shrinkA": 0, "shrinkB": 4}
        axes.annotate(
            point.label,
            (point.cost, 100 * point.top1),
            shifts[best],
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=7.5,
            arrowprops=line if gap > 12 else None,
        )


def _shift(width: float, height: float, reach: float, turn: int) -> tuple[float, float]:
    """From a point to the centre of a label `reach` points away in the direction `turn` (degrees)."""
    dx, dy = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return reach * dx + round(dx) * width / 2, reach * dy + round(0.6 * dy) * height / 2


def _around(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _crossings(start: tuple[float, float], shift: tuple[float, float], others: Sequence[Any]) -> float:
    """How badly a line from a point to its label runs over other points; as much as a label over another."""
    along = np.linspace(0, 1, 12)[:, None] * shift + np.asarray(start)
    return 400.0 * sum(bool((np.hypot(*(along - other).T) < 5).any()) for other in others)


def _cover(box: Sequence[float], others: Sequence[Sequence[float]]) -> float:
    """Area in square points that a box shares with others; boxes are (left, bottom, right, top)."""
    left, bottom, right, top = np.asarray(others).T
    width = np.minimum(right, box[2]) - np.maximum(left, box[0])
    height = np.minimum(top, box[3]) - np.maximum(bottom, box[1])
    return float((width.clip(0) * height.clip(0)).sum())


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    """A figure in inches at 72 pixels each, so that a pixel is a point, in the house style."""
    with mpl.rc_context(), warnings.catch_warnings():
        # Not the settings of whoever runs it: the same records give the same bytes.
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        # The reader's fonts draw the text; that the measuring font lacks a letter of a class name is no matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield Figure(figsize=(width, height), dpi=72, layout="constrained")


def _to_svg(figure: Figure, alt: str) -> str:
    """The figure as an <svg> element that scales with its box, with ids that no other figure on the page has."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = file.getvalue().replace(_INK, "currentColor")
    mark = hashlib.sha256(svg.encode()).hexdigest()[:6]
    svg = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>f{mark}-", svg)
    head, body = svg[svg.index("<svg") :].split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{html.escape(alt)}">{body}'
