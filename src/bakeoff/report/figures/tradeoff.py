"""The score against a cost; each label is placed where it covers as little as possible."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bakeoff.report.figures.canvas import INK, MARKERS, PALETTE, add_tooltip, name_axis, new_figure, to_svg
from bakeoff.runs.config import Metric

__all__ = ["Point", "draw_tradeoff"]

# Candidate positions of a label around its point: distances in points, and directions in degrees.
_REACHES = (7, 14, 22, 32, 44, 58)
_TURNS = (0, 180, 30, 330, 150, 210, 90, 270)


class Point(NamedTuple):
    """One run: its cost, its score with its interval, and the series (stage) that it belongs to."""

    label: str
    cost: float
    score: float
    interval: tuple[float, float]
    series: str


def draw_tradeoff(points: Sequence[Point], front: str, cost: str, alt: str, metric: Metric = Metric.TOP1) -> str:
    """Draw the score against a cost, with a label for every point.

    Args:
        points: The runs.
        front: The series whose Pareto front is drawn as steps.
        cost: The label of the cost axis.
        alt: The text alternative of the figure.
        metric: What the scores are.

    Returns:
        An <svg> element.
    """
    scale = metric.scale
    with new_figure(4.7, 3.9) as figure:
        axes = figure.add_subplot(xlabel=cost, ylabel=name_axis(metric, split=""))
        for number, series in enumerate(dict.fromkeys(point.series for point in points)):
            members = sorted((point for point in points if point.series == series), key=lambda point: point.cost)
            colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
            for point in members:
                axes.plot([point.cost] * 2, [scale * end for end in point.interval], color=colour, lw=0.8)
            for place, point in enumerate(members):
                (dot,) = axes.plot([point.cost], [scale * point.score], marker, color=colour, markersize=5.5)
                score = f"{scale * point.score:.{metric.digits}f}{metric.unit}"
                add_tooltip(dot, f"{point.label}: {score} at {point.cost:.4g}, {series}")
                if not place:
                    dot.set_label(series)
            if series == front:
                edge = [
                    each
                    for n, each in enumerate(members)
                    if all(metric.merit(each.score) > metric.merit(other.score) for other in members[:n])
                ]
                axes.step(
                    *_get_coordinates(edge, scale), where="post", color=colour, lw=1, alpha=0.6, label="Pareto front"
                )
        if max(point.cost for point in points) > 12 * min(point.cost for point in points):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(0.2, 0.12)
        figure.legend(loc="outside upper left", ncols=4, fontsize=7.5, handletextpad=0.3, columnspacing=1.2)
        _place_labels(figure, axes, points, scale)
        return to_svg(figure, alt)


def _get_coordinates(points: Sequence[Point], scale: int) -> tuple[list[float], list[float]]:
    return [point.cost for point in points], [scale * point.score for point in points]


def _place_labels(figure: Figure, axes: Axes, points: Sequence[Point], scale: int) -> None:
    """Label each point at the position around it that covers the least of other labels, points and intervals."""
    FigureCanvasAgg(figure)  # measures text
    figure.draw_without_rendering()
    # Freeze the layout: otherwise the labels would move the axes that they are placed in.
    figure.set_layout_engine("none")
    taken, spots = [], [axes.transData.transform((point.cost, scale * point.score)) for point in points]
    for point, (x, y) in zip(points, spots, strict=True):
        low, high = (axes.transData.transform((point.cost, scale * end))[1] for end in point.interval)
        taken += [(x - 4, y - 4, x + 4, y + 4), (x - 1, low, x + 1, high)]
    for point, (x, y) in zip(points, spots, strict=True):
        note = axes.annotate(point.label, (point.cost, scale * point.score), fontsize=7.5)
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
        line = {"arrowstyle": "-", "color": INK, "lw": 0.5, "alpha": 0.5, "shrinkA": 0, "shrinkB": 4}
        axes.annotate(
            point.label,
            (point.cost, scale * point.score),
            shifts[best],
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=7.5,
            arrowprops=line if gap > 12 else None,
        )


def _shift(width: float, height: float, reach: float, turn: int) -> tuple[float, float]:
    """The vector from a point to the centre of a label `reach` points away in the direction `turn` (degrees)."""
    dx, dy = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return reach * dx + round(dx) * width / 2, reach * dy + round(0.6 * dy) * height / 2


def _around(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _crossings(start: tuple[float, float], shift: tuple[float, float], others: Sequence[Any]) -> float:
    """The penalty for a line from a point to its label that crosses other points, in square points like `_cover`."""
    along = np.linspace(0, 1, 12)[:, None] * shift + np.asarray(start)
    return 400.0 * sum(bool((np.hypot(*(along - other).T) < 5).any()) for other in others)


def _cover(box: Sequence[float], others: Sequence[Sequence[float]]) -> float:
    """The area in square points that a box shares with others; boxes are (left, bottom, right, top)."""
    left, bottom, right, top = np.asarray(others).T
    width = np.minimum(right, box[2]) - np.maximum(left, box[0])
    height = np.minimum(top, box[3]) - np.maximum(bottom, box[1])
    return float((width.clip(0) * height.clip(0)).sum())
