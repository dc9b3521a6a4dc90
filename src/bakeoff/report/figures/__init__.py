"""The report's figures as SVG strings to embed in HTML. The same data gives the same bytes.

canvas.py       style and SVG output, shared by all figures
tradeoff.py     accuracy against a cost
runs.py         learning curves, the timeline of a study, shares of a whole
agreement.py    predicted and measured memory, the orders of the screen and the race
predictions.py  confusion matrix, accuracy by class, reliability diagram
coverage.py     accuracy of the answers against the share of images that are answered
tuning.py       the trials of a search, and the effect of each value of a factor

Text stays text in the SVG. Lines and text use the colour of the surrounding page (`currentColor`), so a figure works on
light and dark pages. Series differ in colour (palette of Okabe and Ito 2008) and in dashes or markers.
"""

from bakeoff.report.figures.agreement import Forecast, RankPair, draw_forecasts, draw_rank_pairs
from bakeoff.report.figures.coverage import draw_coverage
from bakeoff.report.figures.predictions import MOST_CLASSES, ClassScore, draw_classes, draw_confusion, draw_reliability
from bakeoff.report.figures.runs import Curve, CurveDot, RunBar, StageBar, draw_curves, draw_shares, draw_timeline
from bakeoff.report.figures.tradeoff import Point, draw_tradeoff
from bakeoff.report.figures.tuning import Trial, ValueEffect, draw_trials, draw_value_effects

__all__ = [
    "MOST_CLASSES",
    "ClassScore",
    "Curve",
    "CurveDot",
    "Forecast",
    "Point",
    "RankPair",
    "RunBar",
    "StageBar",
    "Trial",
    "ValueEffect",
    "draw_classes",
    "draw_confusion",
    "draw_coverage",
    "draw_curves",
    "draw_forecasts",
    "draw_rank_pairs",
    "draw_reliability",
    "draw_shares",
    "draw_timeline",
    "draw_tradeoff",
    "draw_trials",
    "draw_value_effects",
]
