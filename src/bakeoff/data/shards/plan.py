"""Reads a source once and assigns each image to a split: the first of two passes over the source. It keeps no pixels.

Splits that the source gives are kept. Otherwise validation (and test, if the source has none) is drawn from train.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from bakeoff.data.pixels import read_rgb
from bakeoff.data.shards.edits import Edits, check_relabelled, find_labels
from bakeoff.data.shards.fit import MAX_CUT
from bakeoff.data.shards.grouping import Grouping
from bakeoff.data.shards.manifest import EXCLUDED, GroupFacts, Quarantined, Relabelled
from bakeoff.data.shards.splits import SPLITS, assign_splits
from bakeoff.data.sources import BadImage, OnCount, RawImage, Source, SplitName
from bakeoff.errors import DataError
from bakeoff.text import comparable

__all__ = ["ShardEntry", "ShardPlan", "plan_shards", "stored_form"]

# Images of at most this width and height, in pixels, are stored as raw pixels: encoded files would be smaller, but not
# worth the time to decode them.
_MAX_RAW_SIDE = 64
# Images of different sizes are read as squares of at most this side, in pixels; runs at larger inputs read them larger.
_MAX_SIDE, _MAX_LARGE_SIDE = 160, 512
# A class needs at least one image in each of train, val and test.
_MIN_IMAGES = 3
# Progress is reported after so many images.
_COUNT_EVERY = 256


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One readable image: all that is stored of it, except its bytes."""

    key: str
    split: SplitName
    label: int
    coarse_label: int | None
    sha256: str
    size: int
    """Number of bytes that are stored."""
    shape: tuple[int, int]
    """(height, width) in pixels."""
    group: str | None = None
    """The group that it is in, if the source has groups; an image without one is a group with its own key."""


@dataclass(frozen=True)
class ShardPlan:
    """All images of a source, each with its split, in an order that depends only on their content."""

    entries: tuple[ShardEntry, ...]
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
    found, left_out = _read(source, edits.excluded, on_count)
    check_relabelled(source, edits, [*(one.record.key for one in found), *(bad.key for _, bad in left_out)])
    # Sorted by content first, so that splits, order and fingerprint do not depend on file names.
    found.sort(key=lambda one: (one.sha256, one.record.label, one.record.split or "", one.record.key))
    records = [one.record for one in found]
    hashes = [one.sha256 for one in found]
    given_labels = [record.label for record in records]
    labels = [changes.get(comparable(record.key), record.label) for record in records] if changes else given_labels
    given = [record.split for record in records]
    _check_classes(source, Counter(labels), left_out)
    grouping = Grouping(source.grouped_by, records, hashes) if source.grouped_by else None
    if grouping and "test" not in given:
        grouping.check_classes(source.name, source.class_names)
    groups = grouping.groups if grouping else None
    splits = assign_splits(given, given_labels, hashes, groups, val_fraction=val_fraction, seed=seed)
    group_of: Sequence[str | None] = groups or [None] * len(found)
    as_given = tuple(
        ShardEntry(record.key, split, record.label, record.coarse_label, sha256, size, record.shape, group)
        for (record, sha256, size, _), split, group in zip(found, splits, group_of, strict=True)
    )
    entries = tuple(_relabel(source, entry, label) for entry, label in zip(as_given, labels, strict=True))
    _check_splits(source, entries)
    changed = [(one, given) for one, given in zip(entries, as_given, strict=True) if one.label != given.label]
    names = source.class_names
    shapes = {record.shape for record in records}
    uniform = len(shapes) == 1 and len(set(*shapes)) == 1 and all(one.is_raw for one in found)
    shorter, longer = np.sort([record.shape for record in records], axis=1).T
    side, whole_side = (int(np.median(sides)) for sides in (shorter, longer))
    large_sides = side, whole_side
    if not uniform:
        large_sides = min(side, _MAX_LARGE_SIDE), min(whole_side, _MAX_LARGE_SIDE)
        side, whole_side = min(side, _MAX_SIDE), min(whole_side, _MAX_SIDE)
    cut = 1 - shorter / longer
    return ShardPlan(
        entries,
        tuple(bad for _, bad in left_out),
        tuple(
            Relabelled(key=one.key, given=names[given.label], label=names[one.label])
            for one, given in sorted(changed, key=lambda pair: pair[0].key)
        ),
        side,
        whole_side,
        large_sides,
        float(np.median(cut)),
        int((cut > MAX_CUT).sum()),
        uniform,
        _compute_fingerprint(entries),
        _compute_fingerprint(as_given) if changed else "",
        grouping.count(splits) if grouping else None,
        tuple(split for split in SPLITS[1:] if split not in given),
        _count_copies(entries),
        tuple(grouping.warn(splits)) if grouping else (),
        (
            *source.notes,
            *(grouping.note(splits) if grouping else ()),
            *_note_duplicates(entries),
            *_note_changed([one for one, _ in changed]),
        ),
    )


def stored_form(record: RawImage, shape: tuple[int, int]) -> tuple[bytes, bool]:
    """The bytes that are stored for an image of `shape` (height, width), and whether they are raw pixels."""
    if not record.encoded:
        return record.data, True
    if max(shape) <= _MAX_RAW_SIDE:
        return read_rgb(record.data).tobytes(), True
    return record.data, False


class _Found(NamedTuple):
    """A readable image without its data, and what is stored of it."""

    record: RawImage
    sha256: str
    size: int
    is_raw: bool


_LeftOut = tuple[int | None, Quarantined]
"""An image that is left out, and its label if that is known."""


def _read(source: Source, excluded: Mapping[str, str], on_count: OnCount | None) -> tuple[list[_Found], list[_LeftOut]]:
    found = []
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
            found.append(_Found(_without_data(record), hashlib.sha256(data).hexdigest(), len(data), is_raw))
    if reasons and reasons.keys().isdisjoint(comparable(bad.key) for _, bad in left_out):
        raise DataError(
            f"none of the {len(excluded):,} ids to exclude names an image of {source.name}, the first is"
            f" {next(iter(excluded))!r}; give the list that `bakeoff data check` wrote about these images"
        )
    return found, left_out


def _relabel(source: Source, entry: ShardEntry, label: int) -> ShardEntry:
    if label == entry.label:
        return entry
    return replace(entry, label=label, coarse_label=source.coarse_of[label] if source.coarse_of else None)


def _without_data(record: RawImage) -> RawImage:
    return RawImage(
        record.key,
        record.split,
        record.label,
        record.coarse_label,
        b"",
        record.shape,
        record.encoded,
        record.group,
    )


def _compute_fingerprint(entries: Sequence[ShardEntry]) -> str:
    """A hash that does not depend on names: a group stands there as the first of its hashes."""
    first: dict[str | None, str] = {}
    for entry in entries:
        first[entry.group] = min(entry.sha256, first.get(entry.group, entry.sha256))
    lines = sorted(
        f"{entry.sha256} {entry.label} {entry.coarse_label} {entry.split}"
        + (f" {first[entry.group]}" if entry.group is not None else "")
        for entry in entries
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _check_classes(source: Source, counts: Counter[int], left_out: Sequence[_LeftOut]) -> None:
    for label, name in enumerate(source.class_names):
        count = counts[label]
        if count < _MIN_IMAGES:
            others = [bad for own, bad in left_out if own == label]
            seen = f" of {count + len(others):,}; {others[0].key} is left out: {others[0].reason}" if others else ""
            found = f"has fewer than {_MIN_IMAGES} readable images ({count}{seen})"
            raise DataError(f"class {name} of {source.name} {found}; add some or remove the class")


def _check_splits(source: Source, entries: Sequence[ShardEntry]) -> None:
    trained = {entry.label for entry in entries if entry.split == "train"}
    for label, name in enumerate(source.class_names):
        if label not in trained:
            raise DataError(f"class {name} of {source.name} has no readable image to train on; add some")
    present = {entry.split for entry in entries}
    for split in SPLITS:
        if split not in present:
            few = f"groups by {source.grouped_by}" if source.grouped_by else "different images"
            raise DataError(f"{source.name} has too few {few} to draw any for {split}; add some")


def _count_copies(entries: Sequence[ShardEntry]) -> dict[str, int]:
    """Images of validation and of test that are byte-identical to a training image."""
    trained = {entry.sha256 for entry in entries if entry.split == "train"}
    return {
        split: sum(entry.sha256 in trained for entry in entries if entry.split == split) for split in ("val", "test")
    }


def _note_changed(entries: Sequence[ShardEntry]) -> Iterator[str]:
    if entries:
        tested = sum(entry.split == "test" for entry in entries)
        scored = f", {tested:,} of them in test, whose scores count the new labels" if tested else ""
        yield f"images with another label than the data give: {len(entries):,}{scored}"


def _note_duplicates(entries: Sequence[ShardEntry]) -> list[str]:
    by_hash: dict[str, list[ShardEntry]] = defaultdict(list)
    for entry in entries:
        by_hash[entry.sha256].append(entry)
    groups = [group for group in by_hash.values() if len(group) > 1]
    notes = []
    if copies := sum(len(group) - 1 for group in groups):
        notes.append(f"byte-identical copies of other images: {copies}")
    if leaks := sum(len({entry.split for entry in group}) > 1 for group in groups):
        notes.append(f"images that occur in more than one split, as the source has them: {leaks}")
    if conflicts := sum(len({entry.label for entry in group}) > 1 for group in groups):
        notes.append(f"images that occur under more than one label: {conflicts}")
    return notes
