"""A contact sheet: one row of sample images per class, as a PNG to look at before training on them.

Or one image of each class, and beside it what an augmentation policy makes of it.

Classes are grouped under their superclasses if there are any, and flow over as many panels as make the
picture about as wide as a screen.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bakeoff.data.augment import augment_batch, describe
from bakeoff.data.checks import Finding, load_all
from bakeoff.data.shards import Dataset, read_blocks
from bakeoff.data.sources import SplitName
from bakeoff.errors import DataError
from bakeoff.files import replacing
from bakeoff.runs.config import Augment

__all__ = ["draw_pairs", "draw_sheet"]

_THUMB = 48
_GAP = 4
_ROW = _THUMB + _GAP
_HEADING = 40
_MARGIN = 28
_TITLE = 64
_NAME_LIMIT = 260
_ASPECT = 1.6
_INK, _QUIET, _RULE, _EMPTY = "#1d2430", "#5b6675", "#c9d0d9", "#f1f3f6"


@dataclass(frozen=True)
class _Row:
    """A class with its samples, or a heading if `label` is None."""

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
) -> None:
    """Write a PNG with `columns` samples of every class; `rows` is the number of classes per panel.

    With `augment` the first column has one image of every class as it is, and the others have draws of its policy.
    Raises DataError for the locked test split or numbers below 1, OutputError if `path` cannot be written.
    """
    if columns < 1 or (rows is not None and rows < 1):
        raise DataError(f"a sheet of {columns} columns and {rows} rows shows nothing; give numbers from 1 up")
    samples = _collect(dataset, split, columns) if augment is None else _vary(dataset, split, columns, augment)
    bold, plain = _load_font("DejaVuSans-Bold.ttf"), _load_font("DejaVuSans.ttf")
    names = plain(17)
    margin = min(_NAME_LIMIT, max(math.ceil(names.getlength(_show(name))) for name in dataset.class_names)) + 16
    width = margin + columns * _ROW
    groups = _group(dataset)
    panels = _fold(groups, rows) if rows else _balance(groups, width)
    height = max(sum(row.height for row in panel) for panel in panels)
    title, facts = _title(dataset, split, augment)
    indent = _MARGIN + math.ceil(bold(22).getlength(title)) + 16
    total = _MARGIN + max(len(panels) * (width + _MARGIN), indent + math.ceil(names.getlength(facts)))
    sheet = Image.new("RGB", (total, _TITLE + height + _MARGIN + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, 34), title, _INK, bold(22), anchor="ls")
    pen.text((indent, 34), facts, _QUIET, names, anchor="ls")
    for number, panel in enumerate(panels):
        left, top = _MARGIN + number * (width + _MARGIN), _TITLE
        for row in panel:
            if row.label is None:
                _draw_heading(pen, row.text, left, top, width, bold(16))
            else:
                text = _shorten(row.text, names, margin - 16)
                pen.text((left, top + _THUMB // 2), text, _INK, names, anchor="lm")
                _draw_samples(sheet, samples[row.label], left + margin, top, columns)
            top += row.height
    _save(sheet, path)


def draw_pairs(dataset: Dataset, findings: Sequence[Finding], path: Path, *, most: int = 60) -> None:
    """Write a PNG of pairs of images with their splits, labels and similarity, as they come, at most `most`."""
    pairs = [finding for finding in findings if finding.id and finding.other_id][:most]
    images = {
        (name, key): split.images[place : place + 1][0]
        for name, split in load_all(dataset).items()
        for place, key in enumerate(split.ids)
    }
    bold, plain = _load_font("DejaVuSans-Bold.ttf"), _load_font("DejaVuSans.ttf")
    columns = max(1, min(3, -(-len(pairs) // 20)))
    rows, width = -(-len(pairs) // columns), 480
    sheet = Image.new("RGB", (_MARGIN + columns * width, _TITLE + rows * _ROW + _MARGIN), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, 34), f"{dataset.name}: {len(pairs)} pairs", _INK, bold(22), anchor="ls")
    for number, finding in enumerate(pairs):
        left, top = _MARGIN + number // rows * width, _TITLE + number % rows * _ROW
        both = [images[finding.split, finding.id], images[finding.other_split, finding.other_id]]
        _draw_samples(sheet, both, left, top, 2)
        words = f"{finding.similarity:.2f}  {_show(finding.label)}, {finding.split}"
        other = f"{_show(finding.other_label)}, {finding.other_split}"
        pen.text((left + 2 * _ROW + 8, top + 15), _shorten(words, plain(14), 360), _INK, plain(14), anchor="lm")
        pen.text((left + 2 * _ROW + 8, top + 34), _shorten(other, plain(14), 360), _QUIET, plain(14), anchor="lm")
    _save(sheet, path)


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


def _vary(dataset: Dataset, split: SplitName, columns: int, augment: Augment) -> list[list[np.ndarray]]:
    """One image of each class and draws of the policy; those of one column are one batch, so that they can be mixed."""
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
    rows = [_Row(_show(name), label) for label, name in enumerate(dataset.class_names)]
    if not dataset.superclass_names or not dataset.superclass_of:
        return [[row] for row in rows]
    groups = [[_Row(_show(name), None)] for name in dataset.superclass_names]
    for row, superclass in zip(rows, dataset.superclass_of, strict=True):
        groups[superclass].append(row)
    return groups


def _balance(groups: Sequence[list[_Row]], width: int) -> list[list[_Row]]:
    height = sum(row.height for group in groups for row in group)
    panels = round((_ASPECT * height / (width + _MARGIN)) ** 0.5)
    classes = sum(row.label is not None for group in groups for row in group)
    return _fold(groups, -(-classes // max(1, panels)))


def _fold(groups: Sequence[list[_Row]], rows: int) -> list[list[_Row]]:
    """Fill panels with whole groups up to `rows` classes each; a group larger than that gets its own panel."""
    panels: list[list[_Row]] = [[]]
    for group in groups:
        classes = sum(row.label is not None for row in [*panels[-1], *group])
        if panels[-1] and classes > rows:
            panels.append([])
        panels[-1] += group
    return panels


def _title(dataset: Dataset, split: SplitName, augment: Augment | None) -> tuple[str, str]:
    if augment is not None:
        return f"{dataset.name}  ·  {augment.policy}", f"first as stored, then {describe(augment) or 'drawn'}"
    parts = [f"{split} split", f"{len(dataset.class_names)} classes", f"{dataset.counts[split]:,} images"]
    if dataset.superclass_names:
        parts.insert(2, f"{len(dataset.superclass_names)} superclasses")
    return dataset.name, "  ·  ".join([*parts, f"{dataset.side}x{dataset.side} pixels"])


def _draw_heading(pen: ImageDraw.ImageDraw, text: str, left: int, top: int, width: int, font: Any) -> None:
    line = top + _HEADING - 10
    pen.line((left, line, left + width - _GAP, line), _RULE, 1)
    pen.text((left, line - 7), text, _QUIET, font, anchor="ls")


def _draw_samples(sheet: Image.Image, images: Sequence[np.ndarray], left: int, top: int, columns: int) -> None:
    for column in range(columns):
        place = (left + column * _ROW, top)
        if column >= len(images):
            sheet.paste(_EMPTY, (*place, place[0] + _THUMB, place[1] + _THUMB))
            continue
        picture = Image.fromarray(images[column])
        # Very small pixels are shown as they are; blurring them up would invent detail.
        exact = _THUMB % picture.width == 0 and picture.width <= _THUMB // 3
        method = Image.Resampling.NEAREST if exact else Image.Resampling.LANCZOS
        sheet.paste(picture.resize((_THUMB, _THUMB), method), place)


def _save(sheet: Image.Image, path: Path) -> None:
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def _load_font(name: str) -> Any:
    import matplotlib

    # matplotlib ships DejaVu, which has letters far beyond ASCII.
    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    return lambda size: ImageFont.truetype(str(file), size)


def _show(name: str) -> str:
    return name.replace("_", " ")


def _shorten(text: str, font: Any, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
