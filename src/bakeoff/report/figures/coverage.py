"""Accuracy against coverage: what is right if answers of low confidence are withheld."""

from collections.abc import Mapping, Sequence

import numpy as np

from bakeoff.report.figures.canvas import INK, PALETTE, add_tooltip, new_figure, to_svg
from bakeoff.runs.selective import CoverageCurve, CoveragePoint
from bakeoff.text import counted

__all__ = ["draw_coverage"]

# More points of a curve are not visible.
_POINTS = 200


def draw_coverage(
    curves: Mapping[str, CoverageCurve], marks: Mapping[str, Sequence[CoveragePoint]], least: int, alt: str
) -> str:
    """Draw the accuracy of the answers against the share of images that are answered, with its 95 % interval.

    Args:
        curves: The curve of each split, by its name; the first one is chosen on.
        marks: Points to be marked on each curve.
        least: Answers from which a curve is drawn: the accuracy of fewer varies too much.
        alt: The text alternative of the figure.

    Returns:
        An <svg> element.
    """
    with new_figure(6.4, 3.4) as figure:
        axes = figure.add_subplot(xlabel="images answered (%)", ylabel="right among the answers (%)")
        for number, (name, curve) in enumerate(curves.items()):
            colour, dashes = PALETTE[(0, 3)[number]], ("-", (0, (4, 1.5)))[number]
            points = _thin_out(curve, least)
            shares = [100 * point.coverage for point in points]
            low, high = zip(*((100 * end for end in point.interval) for point in points), strict=True)
            axes.fill_between(shares, low, high, color=colour, alpha=0.12, lw=0)
            axes.plot(shares, [100 * point.precision for point in points], color=colour, ls=dashes, label=name)
            for point in marks.get(name, ()):
                (dot,) = axes.plot([100 * point.coverage], [100 * point.precision], "o", color=colour, ms=5)
                add_tooltip(
                    dot,
                    f"{name}, confidence from {point.confidence:.3f}: {point.answered:,} of"
                    f" {counted(point.images, 'image')}"
                    f" answered, {100 * point.precision:.1f} % right",
                )
        axes.set_xlim(0, 101)
        axes.tick_params(color=INK)
        axes.legend(loc="lower left")
        return to_svg(figure, alt)


def _thin_out(curve: CoverageCurve, least: int) -> list[CoveragePoint]:
    """Points of a curve at about equal steps, among them the last one, in which all images are answered."""
    wanted = np.linspace(least, curve.images, _POINTS)
    places = np.unique(np.searchsorted(curve.answered, wanted).clip(max=len(curve.answered) - 1))
    return [curve.point(int(place)) for place in places]
