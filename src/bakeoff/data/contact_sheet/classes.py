"""Contact sheets of classes as PNG: sample images of every class, or what an augmentation makes of one.

A sheet has one row per class. Classes are grouped under their superclasses if there are any, and fill as many panels
side by side as give the sheet the aspect ratio of a screen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from bakeoff.data.augment import augment_batch, describe
from bakeoff.data.contact_sheet.drawing import GAP, MARGIN, MUTED_TEXT, TEXT, THUMB, TITLE, draw_samples, save, to_text
from bakeoff.data.lettering import Lettering, Style
from bakeoff.data.shards import Dataset, read_blocks
from bakeoff.data.sources import SplitName
from bakeoff.errors import DataError
from bakeoff.runs.config import Augment, Fit
from bakeoff.text import counted

__all__ = ["draw_sheet"]

# Sizes in pixels.
_ROW = THUMB + GAP
_HEADING = 40
_MAX_NAME_WIDTH, _MAX_TITLE_WIDTH = 260, 600
# Width over height of a sheet, about.
_ASPECT = 1.6
_FITTED = {Fit.CROP: "centre crop", Fit.PAD: "padded", Fit.SQUASH: "squashed"}
_LINE = "#c9d0d9"


@dataclass(frozen=True)
class _Row:
    """A row of the sheet: a class, or the heading of a superclass if `label` is None."""

    text: str
    label: int | None

    @property
    def height(self) -> int:
        return _HEADING if self.label is None else _ROW


def draw_sheet(
    dataset: Dataset,
    path: Path,
    *,
    split: SplitName = "train",
    columns: int = 10,
    rows: int | None = None,
    augment: Augment | None = None,
) -> tuple[str, ...]:
    """Write a contact sheet.

    Args:
        dataset: The images.
        path: The PNG to write.
        split: The split that samples come from.
        columns: Number of images per class.
        rows: Number of classes per panel; by default as many as fit the aspect ratio of a screen.
        augment: If given, the first column shows one image of every class as stored, and the others show the same
            image after the policy.

    Returns:
        Notes: which names are not drawn as they are written, and why.

    Raises:
        DataError: The split is locked, or a number is below 1.
        OutputError: The file cannot be written.
    """
    if columns < 1 or (rows is not None and rows < 1):
        raise DataError(f"a sheet of {columns} columns and {rows} rows shows nothing; give numbers of at least 1")
    samples = (
        _collect(dataset, split, columns) if augment is None else _augment_samples(dataset, split, columns, augment)
    )
    title, facts = _title(dataset, split, augment)
    lettering = Lettering([title, facts, *map(to_text, (*dataset.class_names, *(dataset.superclass_names or ())))])
    names, heading, large = lettering.style(17), lettering.style(16, bold=True), lettering.style(22, bold=True)
    labels = [names.shorten(to_text(name), _MAX_NAME_WIDTH) for name in dataset.class_names]
    margin = max(map(math.ceil, map(names.width, labels))) + 16
    width = margin + columns * _ROW
    groups = _group(dataset)
    panels = _fill_panels(groups, rows) if rows else _fit_to_aspect(groups, width)
    height = max(sum(row.height for row in panel) for panel in panels)
    title = large.shorten(title, _MAX_TITLE_WIDTH)
    indent = MARGIN + math.ceil(large.width(title)) + 16
    total = MARGIN + max(len(panels) * (width + MARGIN), indent + math.ceil(names.width(facts)))
    sheet = Image.new("RGB", (total, TITLE + height + MARGIN + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    large.draw(draw, MARGIN, 34, title, TEXT)
    names.draw(draw, indent, 34, facts, MUTED_TEXT)
    for number, panel in enumerate(panels):
        left, top = MARGIN + number * (width + MARGIN), TITLE
        for row in panel:
            if row.label is None:
                _draw_heading(draw, row.text, left, top, width, heading)
            else:
                names.draw_centred(draw, left, top + THUMB // 2, labels[row.label], TEXT)
                draw_samples(sheet, samples[row.label], left + margin, top, columns)
            top += row.height
    save(sheet, path)
    return lettering.notes


def _collect(dataset: Dataset, split: SplitName, columns: int) -> list[list[np.ndarray]]:
    samples: list[list[np.ndarray]] = [[] for _ in dataset.class_names]
    missing = len(samples)
    for block in read_blocks(dataset, split):
        for image, label in zip(block.images, block.labels, strict=True):
            if len(samples[label]) < columns:
                samples[label].append(image)
                missing -= len(samples[label]) == columns
        # Shards are shuffled: the first blocks usually have enough of every class.
        if not missing:
            break
    return samples


def _augment_samples(dataset: Dataset, split: SplitName, columns: int, augment: Augment) -> list[list[np.ndarray]]:
    """One image of each class, then `columns` - 1 augmented ones. A column is one batch, for steps that mix."""
    firsts = _collect(dataset, split, 1)
    labels = [label for label, images in enumerate(firsts) if images]
    batch = np.stack([firsts[label][0] for label in labels])
    targets = np.eye(len(firsts), dtype=np.float32)[labels]
    for column in range(columns - 1):
        varied, _ = augment_batch(batch, targets, np.random.default_rng(column), augment)
        for label, image in zip(labels, varied, strict=True):
            firsts[label].append(image)
    return firsts


def _group(dataset: Dataset) -> list[list[_Row]]:
    rows = [_Row(to_text(name), label) for label, name in enumerate(dataset.class_names)]
    if not dataset.superclass_names or not dataset.superclass_of:
        return [[row] for row in rows]
    groups = [[_Row(to_text(name), None)] for name in dataset.superclass_names]
    for row, superclass in zip(rows, dataset.superclass_of, strict=True):
        groups[superclass].append(row)
    return groups


def _fit_to_aspect(groups: Sequence[list[_Row]], width: int) -> list[list[_Row]]:
    height = sum(row.height for group in groups for row in group)
    panels = round((_ASPECT * height / (width + MARGIN)) ** 0.5)
    classes = sum(row.label is not None for group in groups for row in group)
    return _fill_panels(groups, -(-classes // max(1, panels)))


def _fill_panels(groups: Sequence[list[_Row]], rows: int) -> list[list[_Row]]:
    """Fill panels with whole groups, up to `rows` classes each; a larger group has a panel to itself."""
    panels: list[list[_Row]] = [[]]
    for group in groups:
        classes = sum(row.label is not None for row in [*panels[-1], *group])
        if panels[-1] and classes > rows:
            panels.append([])
        panels[-1] += group
    return panels


def _title(dataset: Dataset, split: SplitName, augment: Augment | None) -> tuple[str, str]:
    # Images that are all square are as they were.
    fitted = "" if dataset.manifest.uniform else f", {_FITTED[dataset.fit]}"
    if augment is not None:
        return f"{dataset.name}  ·  {augment.policy}", f"first as stored{fitted}, then {describe(augment) or 'drawn'}"
    parts = [f"{split} split", counted(len(dataset.class_names), "class"), counted(dataset.counts[split], "image")]
    if dataset.superclass_names:
        parts.insert(2, counted(len(dataset.superclass_names), "superclass"))
    return dataset.name, "  ·  ".join([*parts, f"{dataset.side}x{dataset.side} pixels{fitted}"])


def _draw_heading(draw: ImageDraw.ImageDraw, text: str, left: int, top: int, width: int, style: Style) -> None:
    line = top + _HEADING - 10
    draw.line((left, line, left + width - GAP, line), _LINE, 1)
    style.draw(draw, left, line - 7, style.shorten(text, width), MUTED_TEXT)
