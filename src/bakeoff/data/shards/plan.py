"""Reads a source once and assigns each image to a split: the first of two passes over the source. It keeps no pixels.

Splits that the source gives are kept. Otherwise validation (and test, if the source has none) is drawn from train.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.pixels import read_rgb
from bakeoff.data.shards.columns import NONE, ColumnsBuilder, ImageColumns, Numbers
from bakeoff.data.shards.edits import Edits, check_relabelled, find_labels
from bakeoff.data.shards.fit import MAX_CUT
from bakeoff.data.shards.grouping import Grouping
from bakeoff.data.shards.manifest import EXCLUDED, GroupFacts, Quarantined, Relabelled
from bakeoff.data.shards.splits import SPLITS, assign_splits
from bakeoff.data.sources import BadImage, OnCount, RawImage, Source, SplitName
from bakeoff.errors import DataError
from bakeoff.text import comparable, counted

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

    Splits are drawn by the labels that the source gives: an image whose label is changed stays in its split.

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
    images, left_out = _read(source, edits.excluded, on_count)
    check_relabelled(source, edits, chain(images.keys(), (bad.key for _, bad in left_out)))
    labels = _change_labels(images, changes)
    _check_classes(source, np.bincount(labels, minlength=len(source.class_names)).tolist(), left_out)
    given = images.names_of_splits()
    grouping = Grouping(source.grouped_by, images) if source.grouped_by else None
    if grouping and "test" not in given:
        grouping.check_classes(source.name, source.class_names)
    groups = grouping.groups if grouping else None
    splits = assign_splits(given, images.labels, images.contents, groups, val_fraction=val_fraction, seed=seed)
    codes = np.array([SPLITS.index(split) for split in splits], np.int8)
    as_given = replace(images, splits=codes, groups=groups)
    changed = np.flatnonzero(labels != images.labels)
    images = _relabel(source, as_given, labels, changed)
    _check_splits(source, images)
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
        _count_copies(images),
        tuple(grouping.warn(splits)) if grouping else (),
        (
            *source.notes,
            *(grouping.note(splits) if grouping else ()),
            *_note_duplicates(images),
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


def _read(source: Source, excluded: Mapping[str, str], on_count: OnCount | None) -> tuple[ImageColumns, list[_LeftOut]]:
    found = ColumnsBuilder(has_groups=bool(source.grouped_by))
    left_out: list[_LeftOut] = []
    reasons = {comparable(key): reason for key, reason in excluded.items()}
    for index, record in enumerate(source.records()):
        if on_count and index % _COUNT_EVERY == 0:
            on_count(f"reading {source.name}", index, source.count)
        if isinstance(record, BadImage):
            left_out.append((record.label, Quarantined(key=record.key, reason=record.reason)))
        elif reasons and (reason := reasons.get(comparable(record.key))):
            left_out.append((record.label, Quarantined(key=record.key, reason=f"{EXCLUDED}{reason}")))
        else:
            data, is_raw = stored_form(record, record.shape)
            found.add(record, hashlib.sha256(data).digest(), len(data), is_raw)
    if reasons and reasons.keys().isdisjoint(comparable(bad.key) for _, bad in left_out):
        raise DataError(
            f"{source.name} has no image for any of {counted(len(excluded), 'id')} to exclude, such as"
            f" {next(iter(excluded))!r}; give the list that `bakeoff data check` wrote about these images"
        )
    return found.finish(), left_out


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
            others = [bad for own, bad in left_out if own == label]
            seen = f" of {count + len(others):,}; {others[0].key} is left out: {others[0].reason}" if others else ""
            found = f"has fewer than {_MIN_IMAGES} readable images ({count}{seen})"
            raise DataError(f"class {name} of {source.name} {found}; add some or remove the class")


def _check_splits(source: Source, images: ImageColumns) -> None:
    trained = set(images.labels[images.splits == 0].tolist())
    for label, name in enumerate(source.class_names):
        if label not in trained:
            raise DataError(f"class {name} of {source.name} has no readable image to train on; add some")
    for place, split in enumerate(SPLITS):
        if not (images.splits == place).any():
            few = f"groups by {source.grouped_by}" if source.grouped_by else "different images"
            raise DataError(f"{source.name} has too few {few} to draw any for {split}; add some")


def _count_copies(images: ImageColumns) -> dict[str, int]:
    """Images of validation and of test that are byte-identical to a training image."""
    contents = images.contents
    is_trained = np.zeros(len(images), bool)
    is_trained[contents[images.splits == 0]] = True
    return {
        split: int(is_trained[contents[images.splits == place]].sum()) for place, split in enumerate(SPLITS) if place
    }


def _note_changed(images: ImageColumns, changed: NDArray[np.intp]) -> Iterator[str]:
    if len(changed):
        tested = int((images.splits[changed] == SPLITS.index("test")).sum())
        scored = f", {tested:,} of them in test, whose scores count the new labels" if tested else ""
        yield f"images with another label than the data give: {len(changed):,}{scored}"


def _note_duplicates(images: ImageColumns) -> Iterator[str]:
    """Notes on byte-identical images, which are one after another."""
    starts = np.unique(images.contents, return_index=True)[1]
    if copies := len(images) - len(starts):
        yield f"byte-identical copies of other images: {copies}"
    if leaks := _count_mixed(images.splits, starts):
        yield f"images that occur in more than one split, as the source has them: {leaks}"
    if conflicts := _count_mixed(images.labels, starts):
        yield f"images that occur under more than one label: {conflicts}"


def _count_mixed(numbers: Numbers, starts: NDArray[np.intp]) -> int:
    """How many of the stretches of numbers that begin at these places have different numbers."""
    return int((np.minimum.reduceat(numbers, starts) != np.maximum.reduceat(numbers, starts)).sum())
