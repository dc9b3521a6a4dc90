"""The report's figures as SVG strings: made to stand inside HTML, in its ink, and the same bytes every time.

canvas.py     what all of them share
tradeoff.py   accuracy against a cost
runs.py       learning curves, the timeline of a budget, shares
agreement.py  predicted and measured memory, the screen's order and the race's
answers.py    confusions, accuracy by class, reliability
tuning.py     the trials of a search, and what each value of a factor is worth

Text stays text. Lines and letters take the colour of the page around them (`currentColor`), so that one figure reads
on light and dark; series are told apart by the palette of Okabe and Ito 2008, and by dashes or shapes as well.
"""

from bakeoff.report.figures.agreement import Forecast, Places, draw_forecasts, draw_places
from bakeoff.report.figures.answers import ClassScore, draw_classes, draw_confusion, draw_reliability
from bakeoff.report.figures.runs import Bar, Curve, Lane, draw_curves, draw_shares, draw_timeline
from bakeoff.report.figures.tradeoff import Point, draw_tradeoff
from bakeoff.report.figures.tuning import Trial, Worth, draw_trials, draw_worths

__all__ = [
    "Bar",
    "ClassScore",
    "Curve",
    "Forecast",
    "Lane",
    "Places",
    "Point",
    "Trial",
    "Worth",
    "draw_classes",
    "draw_confusion",
    "draw_curves",
    "draw_forecasts",
    "draw_places",
    "draw_reliability",
    "draw_shares",
    "draw_timeline",
    "draw_tradeoff",
    "draw_trials",
    "draw_worths",
]
