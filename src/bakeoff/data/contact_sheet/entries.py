"""Contact sheets of single images as PNG: pairs of near-duplicates, images with a suspicious label."""

import itertools
from collections.abc import Sequence, Set
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from bakeoff.data.checks import Finding, SuspiciousLabel
from bakeoff.data.contact_sheet.drawing import GAP, MARGIN, MUTED_TEXT, TEXT, THUMB, TITLE, draw_samples, save, to_text
from bakeoff.data.lettering import Lettering
from bakeoff.data.shards import SPLITS, Dataset, read_blocks
from bakeoff.text import counted

__all__ = ["draw_pairs", "draw_suspicious"]

# Sizes in pixels.
_LARGE_THUMB = 2 * THUMB
_LINE_HEIGHT = 19
# Entries in a column, before there is another one.
_ROWS, _MAX_COLUMNS = 20, 3


def draw_pairs(dataset: Dataset, findings: Sequence[Finding], path: Path, *, limit: int = 60) -> tuple[str, ...]:
    """Write a PNG of pairs of images with their splits, labels and similarity.

    Args:
        dataset: The images.
        findings: The findings; those that are not about a pair are skipped.
        path: The PNG to write.
        limit: The largest number of pairs; the first ones are drawn.

    Returns:
        Notes: which names are not drawn as they are written, and why.

    Raises:
        OutputError: The file cannot be written.
    """
    pairs = [finding for finding in findings if finding.id and finding.other_id][:limit]
    shown = [((pair.split, pair.id), (pair.other_split, pair.other_id)) for pair in pairs]
    images = _find(dataset, {key for both in shown for key in both})
    # The split comes first: a line is written in the direction of its first letter.
    entries = [
        _Entry(
            [images[first], images[second]],
            [
                f"{pair.similarity:.2f}  {_describe(pair.split, pair.label, pair.likelier)}",
                _describe(pair.other_split, pair.other_label, pair.likelier),
            ],
        )
        for pair, (first, second) in zip(pairs, shown, strict=True)
    ]
    return _draw_entries(f"{dataset.name}: {counted(len(pairs), 'pair')}", entries, path, thumb=THUMB, width=480)


def draw_suspicious(
    dataset: Dataset, found: Sequence[SuspiciousLabel], path: Path, *, limit: int = 100
) -> tuple[str, ...]:
    """Write a PNG of images with a suspicious label: their label, the suggested one with its probability, and the id.

    Args:
        dataset: The images.
        found: The suspicious labels.
        path: The PNG to write.
        limit: The largest number of images; the first ones are drawn.

    Returns:
        Notes: which names are not drawn as they are written, and why.

    Raises:
        OutputError: The file cannot be written.
    """
    shown = found[:limit]
    images = _find(dataset, {(one.split, one.id) for one in shown})
    # A line is written in the direction of its first letter, so none begins with the name of a class.
    entries = [
        _Entry(
            [images[one.split, one.id]],
            [
                f"{number}  {one.split}",
                f"labelled {to_text(one.label)}",
                f"{one.confidence:.2f} suggested {to_text(one.suggested)}",
                _shorten(one.id),
            ],
        )
        for number, one in enumerate(shown, 1)
    ]
    title = f"{dataset.name}: {counted(len(found), 'suspicious label')}"
    if len(shown) < len(found):
        title += f", the first {len(shown)}"
    return _draw_entries(title, entries, path, thumb=_LARGE_THUMB, width=400)


def _shorten(key: str) -> str:
    """The end of an id, where images differ: at most the last folder and the file."""
    *folders, folder, file = ["", "", *key.split("/")]
    return f"…/{folder}/{file}" if any(folders) else key


def _describe(split: str, label: str, likelier: str) -> str:
    return f"{split}{', likelier' if label == likelier else ''}: {to_text(label)}"


class _Entry(NamedTuple):
    """Images side by side, with lines of text beside them."""

    images: Sequence[np.ndarray]
    lines: Sequence[str]


def _draw_entries(title: str, entries: Sequence[_Entry], path: Path, *, thumb: int, width: int) -> tuple[str, ...]:
    """Write a PNG of entries in columns, from top to bottom; every other line of text is muted."""
    columns = max(1, min(_MAX_COLUMNS, -(-len(entries) // _ROWS)))
    rows, row = -(-len(entries) // columns), thumb + GAP
    lettering = Lettering([title, *itertools.chain.from_iterable(entry.lines for entry in entries)])
    plain, large = lettering.style(14), lettering.style(22, bold=True)
    sheet = Image.new("RGB", (MARGIN + columns * width, TITLE + rows * row + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    large.draw(draw, MARGIN, 34, large.shorten(title, columns * width), TEXT)
    for number, entry in enumerate(entries):
        left, top = MARGIN + number // rows * width, TITLE + number % rows * row
        draw_samples(sheet, entry.images, left, top, len(entry.images), thumb)
        beside = len(entry.images) * row + 8
        middle = top + thumb // 2 - _LINE_HEIGHT * (len(entry.lines) - 1) // 2
        for place, line in enumerate(entry.lines):
            text = plain.shorten(line, width - beside - 16)
            plain.draw_centred(
                draw, left + beside, middle + _LINE_HEIGHT * place, text, MUTED_TEXT if place % 2 else TEXT
            )
    save(sheet, path)
    return lettering.notes


def _find(dataset: Dataset, wanted: Set[tuple[str, str]]) -> dict[tuple[str, str], np.ndarray]:
    """Images by split and id, test images as well."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for split in SPLITS:
        if not any(name == split for name, _ in wanted):
            continue
        for block in read_blocks(dataset, split, unlock=True):
            keys = [(split, key) for key in block.ids]
            found |= {key: block.images[place] for place, key in enumerate(keys) if key in wanted}
    return found
