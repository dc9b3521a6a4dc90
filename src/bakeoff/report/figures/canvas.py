"""What all figures share: the palette, the style, and how a figure becomes an <svg> element."""

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

__all__ = ["INK", "MARKERS", "PALETTE", "hint", "new_figure", "to_svg"]

# Without its black and its yellow, which vanish on a dark and on a light page.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
MARKERS = ("o", "D", "s", "^", "v")
# Stands for `currentColor` while matplotlib draws, which knows only real colours.
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
    """A figure in inches at 72 pixels each, so that a pixel is a point, in the house style."""
    with mpl.rc_context(), warnings.catch_warnings():
        # Not the settings of whoever runs it: the same records give the same bytes.
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        # The reader's fonts draw the text; that the measuring font lacks a letter of a class name is no matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield Figure(figsize=(width, height), dpi=72, layout="constrained")


def hint(artist: Artist, text: str) -> None:
    """Show `text` where the mouse rests on something that was drawn."""
    artist.set_gid(f"hint:{text}")


def to_svg(figure: Figure, alt: str) -> str:
    """The figure as an <svg> element that scales with its box, with ids that no other figure on the page has."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = file.getvalue().replace(INK, "currentColor")
    # matplotlib writes the name of an artist as an id, escaped as an attribute, which is as good inside an element.
    svg = re.sub(r'<g id="hint:([^"]*)">', r"<g><title>\1</title>", svg)
    mark = hashlib.sha256(svg.encode()).hexdigest()[:6]
    svg = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>f{mark}-", svg)
    head, body = svg[svg.index("<svg") :].split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{html.escape(alt)}">{body}'
