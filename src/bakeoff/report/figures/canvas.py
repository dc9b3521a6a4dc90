"""The palette, the style and the SVG output that all figures share."""

import hashlib
import html
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from bakeoff.runs.config import Metric

__all__ = ["INK", "MARKERS", "PALETTE", "add_tooltip", "name_axis", "new_figure", "to_svg"]

# Okabe and Ito 2008, without black (invisible on a dark page) and yellow (invisible on a light page).
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
MARKERS = ("o", "D", "s", "^", "v")
# A placeholder for `currentColor`, which matplotlib does not know; `to_svg` replaces it.
INK = "#010203"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bakeoff",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=PALETTE),
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
}


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """Open a figure in the report's style; width and height are inches at 72 dpi, so a pixel is a point."""
    with mpl.rc_context(), warnings.catch_warnings():
        # The user's matplotlib settings must not matter: the same records give the same bytes.
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        # The browser draws the text with the reader's fonts, so a glyph that is missing here does no harm.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield Figure(figsize=(width, height), dpi=72, layout="constrained")


def name_axis(metric: Metric, split: str = "validation ") -> str:
    """The label of an axis of scores on a split."""
    return f"{split}{metric.label}{' (nats)' if metric.is_loss else ' (%)'}"


def add_tooltip(artist: Artist, text: str) -> None:
    """Show `text` when the mouse is over a drawn object."""
    artist.set_gid(f"tooltip:{text}")


def to_svg(figure: Figure, alt: str) -> str:
    """Convert a figure to an <svg> element that scales with its container; `alt` is its text alternative.

    Ids get a prefix that is unique on the page.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = file.getvalue().replace(INK, "currentColor")
    # matplotlib writes an artist's gid as an id. It is escaped for an attribute, which is also valid inside an element.
    svg = re.sub(r'<g id="tooltip:([^"]*)">', r"<g><title>\1</title>", svg)
    mark = hashlib.sha256(svg.encode()).hexdigest()[:6]
    svg = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>f{mark}-", svg)
    head, body = svg[svg.index("<svg") :].split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{html.escape(alt)}">{body}'
