"""Reads a source once and assigns each image to a split: the first of two passes over the source. It keeps no pixels.

Splits that the source gives are kept. Otherwise validation (and test, if the source has none) is drawn from train.
"""

import hashlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.pixels import read_rgb
from bakeoff.data.shards.columns import NONE, ColumnsBuilder, ImageColumns, Numbers
from bakeoff.data.shards.copies import count_copies, note_copies
from bakeoff.data.shards.edits import Edits, check_excluded, check_relabelled, find_labels, find_reasons
from bakeoff.data.shards.fit import MAX_CUT
from bakeoff.data.shards.grouping import Grouping
from bakeoff.data.shards.manifest import EXCLUDED, GroupFacts, Quarantined, Relabelled
from bakeoff.data.shards.splits import SPLITS, assign_splits
from bakeoff.data.sources import BadImage, OnCount, RawImage, Source, SplitName
from bakeoff.errors import DataError
from bakeoff.text import comparable

__all__ = ["ShardPlan", "plan_shards", "stored_form"]

# Images of at most this width and height, in pixels, are stored as raw pixels: encoded files would be smaller, but not
# worth the time to decode them.
_MAX_RAW_SIDE = 64
# Images of different sizes are read as squares of at most this side, in pixels; runs at larger inputs read them larger.
_MAX_SIDE, _MAX_LARGE_SIDE = 160, 512
# A class needs at least one image in each of train, val and test.
_MIN_IMAGES = 3
# Progress is reported after so many images.
_COUNT_EVERY = 256


@dataclass(frozen=True)
class ShardPlan:
    """All images of a source, each with its split, in an order that depends only on their content."""

    images: ImageColumns
    quarantined: tuple[Quarantined, ...]
    relabelled: tuple[Relabelled, ...]
    side: int
    whole_side: int
    large_sides: tuple[int, int]
    """The same two without the limit for runs at small inputs."""
    cut_area: float
    cut_images: int
    uniform: bool
    fingerprint: str
    given_fingerprint: str
    """The same with the labels that the source gives; empty if none was changed."""
    groups: GroupFacts | None
    drawn: tuple[SplitName, ...]
    """The splits that the source does not give."""
    copies: dict[str, int]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def plan_shards(
    source: Source,
    val_fraction: float,
    seed: int,
    edits: Edits,
    on_count: OnCount | None = None,
) -> ShardPlan:
    """Read every image of a source once and assign it to a split.

    Splits are drawn by the labels that the source gives, and images that are left out take part in the draw: whatever
    the edits are, an image stays in its split.

    Args:
        source: The images.
        val_fraction: Share of the training images that becomes the validation split, if the source gives none.
        seed: Draws the splits.
        edits: Images to leave out, and images that get another label.
        on_count: Called with (what is being done, images done, images in all).

    Raises:
        DataError: A class has fewer than 3 readable images, or none to train on, or too few groups, or a split stays
            empty; or a list of images names other images or classes.
    """
    changes = find_labels(source, edits)
    whole, is_kept, left_out = _read(source, edits, on_count)
    check_relabelled(source, edits, chain(whole.keys(), (bad.key for _, bad in left_out)))
    labels = _change_labels(whole, changes)[is_kept]
    _check_classes(source, np.bincount(labels, minlength=len(source.class_names)).tolist(), left_out)
    given = set(whole.names_of_splits())
    grouping = Grouping(source.grouped_by, whole) if source.grouped_by else None
    if grouping and "test" not in given:
        grouping.check_classes(source.name, source.class_names)
    whole = _draw_splits(whole, grouping, val_fraction, seed)
    images = whole.keep(is_kept)
    if grouping and not is_kept.all():
        # Groups that only an image that is left out has joined are apart again.
        grouping = Grouping(source.grouped_by, images)
    splits = [SPLITS[place] for place in images.splits] if grouping else []
    as_given = replace(images, groups=grouping.groups if grouping else None)
    changed = np.flatnonzero(labels != images.labels)
    images = _relabel(source, as_given, labels, changed)
    _check_splits(source, whole, images, left_out)
    names = source.class_names
    uniform = bool(images.is_raw.all() and (images.shapes == images.shapes[0, 0]).all())
    shorter, longer = np.sort(images.shapes.astype(np.int64), axis=1).T
    side, whole_side = (int(np.median(sides)) for sides in (shorter, longer))
    large_sides = side, whole_side
    if not uniform:
        large_sides = min(side, _MAX_LARGE_SIDE), min(whole_side, _MAX_LARGE_SIDE)
        side, whole_side = min(side, _MAX_SIDE), min(whole_side, _MAX_SIDE)
    cut = 1 - shorter / longer
    return ShardPlan(
        images,
        tuple(bad for _, bad in left_out),
        tuple(
            sorted(
                (
                    Relabelled(key=images.key(place), given=names[as_given.labels[place]], label=names[labels[place]])
                    for place in changed.tolist()
                ),
                key=lambda one: one.key,
            )
        ),
        side,
        whole_side,
        large_sides,
        float(np.median(cut)),
        int((cut > MAX_CUT).sum()),
        uniform,
        _compute_fingerprint(images),
        _compute_fingerprint(as_given) if len(changed) else "",
        grouping.count(splits) if grouping else None,
        tuple(split for split in SPLITS[1:] if split not in given),
        count_copies(images),
        tuple(grouping.warn(splits)) if grouping else (),
        (
            *source.notes,
            *(grouping.note(splits) if grouping else ()),
            *note_copies(images),
            *_note_changed(images, changed),
        ),
    )


def stored_form(record: RawImage, shape: tuple[int, int]) -> tuple[bytes, bool]:
    """The bytes that are stored for an image of `shape` (height, width), and whether they are raw pixels."""
    if not record.encoded:
        return record.data, True
    if max(shape) <= _MAX_RAW_SIDE:
        return read_rgb(record.data).tobytes(), True
    return record.data, False


_LeftOut = tuple[int | None, Quarantined]
"""An image that is left out, and its label if that is known."""


def _read(
    source: Source, edits: Edits, on_count: OnCount | None
) -> tuple[ImageColumns, NDArray[np.bool_], list[_LeftOut]]:
    """All readable images, which of them are kept, and what is left out: unreadable and excluded ones."""
    found = ColumnsBuilder(has_groups=bool(source.grouped_by))
    is_kept = array("b")
    left_out: list[_LeftOut] = []
    reasons = find_reasons(edits)
    for index, record in enumerate(source.records()):
        if on_count and index % _COUNT_EVERY == 0:
            on_count(f"reading {source.name}", index, source.count)
        if isinstance(record, BadImage):
            left_out.append((record.label, Quarantined(key=record.key, reason=record.reason)))
            continue
        data, is_raw = stored_form(record, record.shape)
        found.add(record, hashlib.sha256(data).digest(), len(data), is_raw)
        reason = reasons.get(comparable(record.key)) if reasons else None
        is_kept.append(reason is None)
        if reason is not None:
            left_out.append((record.label, Quarantined(key=record.key, reason=f"{EXCLUDED}{reason}")))
    check_excluded(source, edits, (bad.key for _, bad in left_out))
    images = found.finish()
    return images, np.array(is_kept, np.bool_)[images.read], left_out


def _draw_splits(images: ImageColumns, grouping: Grouping | None, val_fraction: float, seed: int) -> ImageColumns:
    """The images with a split each: that of the source, or one that is drawn."""
    splits = assign_splits(
        images.names_of_splits(),
        images.labels,
        images.contents,
        grouping.groups if grouping else None,
        val_fraction=val_fraction,
        seed=seed,
    )
    return replace(images, splits=np.array([SPLITS.index(split) for split in splits], np.int8))


def _change_labels(images: ImageColumns, changes: Mapping[str, int]) -> Numbers:
    if not changes:
        return images.labels
    labels = images.labels.tolist()
    return np.array([changes.get(comparable(key), label) for key, label in zip(images.keys(), labels, strict=True)])


def _relabel(source: Source, images: ImageColumns, labels: Numbers, changed: NDArray[np.intp]) -> ImageColumns:
    if not len(changed):
        return images
    coarse = images.coarse_labels.astype(np.int64)
    coarse[changed] = np.array(source.coarse_of)[labels[changed]] if source.coarse_of else NONE
    return replace(images, labels=labels, coarse_labels=coarse)


def _compute_fingerprint(images: ImageColumns) -> str:
    """A hash that does not depend on names: a group stands there as the first of its hashes."""
    first: dict[str, str] = {}
    digest = hashlib.sha256()
    separator = b""
    # Images are in the order of their hashes, with which a line begins: only the lines of copies remain to be sorted.
    for sha256, alike in groupby(images.rows(), key=lambda entry: entry.sha256):
        lines = [
            f"{sha256} {entry.label} {entry.coarse_label} {entry.split}"
            + (f" {first.setdefault(entry.group, sha256)}" if entry.group is not None else "")
            for entry in alike
        ]
        digest.update(separator + "\n".join(sorted(lines)).encode())
        separator = b"\n"
    return digest.hexdigest()


def _check_classes(source: Source, counts: Sequence[int], left_out: Sequence[_LeftOut]) -> None:
    for label, name in enumerate(source.class_names):
        count = counts[label]
        if count < _MIN_IMAGES:
            others = sum(own == label for own, _ in left_out)
            seen = f" of {count + others:,}{_name_left_out(left_out, label)}" if others else ""
            found = f"has fewer than {_MIN_IMAGES} readable images ({count}{seen})"
            raise DataError(f"class {name} of {source.name} {found}; add some or remove the class")


def _name_left_out(left_out: Sequence[_LeftOut], label: int) -> str:
    """The first image of a class that is left out, and why; empty if there is none."""
    return next((f"; {bad.key} is left out: {bad.reason}" for own, bad in left_out if own == label), "")


def _check_splits(source: Source, whole: ImageColumns, images: ImageColumns, left_out: Sequence[_LeftOut]) -> None:
    """Raise DataError for a class without training images, and for a split without images, as drawn and as kept."""
    trained = set(images.labels[images.splits == 0].tolist())
    for label, name in enumerate(source.class_names):
        if label not in trained:
            raise DataError(
                f"class {name} of {source.name} has no readable image to train on{_name_left_out(left_out, label)};"
                " add some"
            )
    for place, split in enumerate(SPLITS):
        if not (whole.splits == place).any():
            few = f"groups by {source.grouped_by}" if source.grouped_by else "different images"
            raise DataError(f"{source.name} has too few {few} to draw any for {split}; add some")
        if not (images.splits == place).any():
            raise DataError(f"--exclude leaves no image of {source.name} in {split}; delete rows of its list")


def _note_changed(images: ImageColumns, changed: NDArray[np.intp]) -> Iterator[str]:
    if len(changed):
        tested = int((images.splits[changed] == SPLITS.index("test")).sum())
        scored = f", {tested:,} of them in test, whose scores count the new labels" if tested else ""
        yield f"images with another label than the data give: {len(changed):,}{scored}"
