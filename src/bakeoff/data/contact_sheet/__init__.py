"""Contact sheets as PNG.

drawing.py   what all sheets share: sizes, colours, thumbnails, and where they are written
classes.py   sample images of every class, augmented images
entries.py   pairs of near-duplicates, images with a suspicious label
"""

from bakeoff.data.contact_sheet.classes import draw_sheet
from bakeoff.data.contact_sheet.drawing import choose_path
from bakeoff.data.contact_sheet.entries import draw_pairs, draw_suspicious

__all__ = ["choose_path", "draw_pairs", "draw_sheet", "draw_suspicious"]
