"""Reads a source once and assigns each image to a split: the first of two passes over the source. It keeps no pixels.

Splits that the source gives are kept. Otherwise validation (and test, if the source has none) is drawn from train:
stratified by class, with a seed, and with byte-identical images in the same split.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.data.pixels import read_rgb
from bakeoff.data.shards.fit import MAX_CUT
from bakeoff.data.shards.manifest import Quarantined
from bakeoff.data.sources import BadImage, OnCount, RawImage, Source, SplitName
from bakeoff.errors import DataError

__all__ = ["SPLITS", "ShardEntry", "ShardPlan", "assign_splits", "plan_shards", "stored_form"]

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

_TEST_FRACTION = 0.1
# Images of at most this width and height, in pixels, are stored as raw pixels: encoded files would be smaller, but not
# worth the time to decode them.
_MAX_RAW_SIDE = 64
# Images of different sizes are read as squares of at most this side, in pixels.
_MAX_SIDE = 160
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


@dataclass(frozen=True)
class ShardPlan:
    """All images of a source, each with its split, in an order that depends only on their content."""

    entries: tuple[ShardEntry, ...]
    quarantined: tuple[Quarantined, ...]
    side: int
    whole_side: int
    cut_area: float
    cut_images: int
    uniform: bool
    fingerprint: str
    notes: tuple[str, ...]


def plan_shards(
    source: Source,
    val_fraction: float,
    seed: int,
    excluded: Mapping[str, str],
    on_count: OnCount | None = None,
) -> ShardPlan:
    """Read every image of a source once and assign it to a split.

    Args:
        source: The images.
        val_fraction: Share of the training images that becomes the validation split, if the source gives none.
        seed: Draws the splits.
        excluded: Images to leave out: the reason by key.
        on_count: Called with (what is being done, images done, images in all).

    Raises:
        DataError: A class has fewer than 3 readable images, or none to train on, or a split stays empty.
    """
    found: list[tuple[RawImage, str, int, bool]] = []
    quarantined = []
    for index, record in enumerate(source.records()):
        if on_count and index % _COUNT_EVERY == 0:
            on_count(f"reading {source.name}", index, source.count)
        if isinstance(record, BadImage):
            quarantined.append(Quarantined(key=record.key, reason=record.reason))
            continue
        if record.key in excluded:
            quarantined.append(Quarantined(key=record.key, reason=f"excluded: {excluded[record.key]}"))
            continue
        data, raw = stored_form(record, record.shape)
        found.append((_without_data(record), hashlib.sha256(data).hexdigest(), len(data), raw))
    # Sorted by content first, so that splits, order and fingerprint do not depend on file names.
    found.sort(key=lambda item: (item[1], item[0].label, item[0].split or "", item[0].key))
    records = [record for record, *_ in found]
    hashes = [sha256 for _, sha256, *_ in found]
    _check_classes(source, Counter(record.label for record in records))
    splits = assign_splits(
        [record.split for record in records],
        [record.label for record in records],
        hashes,
        val_fraction=val_fraction,
        seed=seed,
    )
    entries = tuple(
        ShardEntry(record.key, split, record.label, record.coarse_label, sha256, size, record.shape)
        for (record, sha256, size, _), split in zip(found, splits, strict=True)
    )
    _check_splits(source, entries)
    shapes = {record.shape for record in records}
    uniform = len(shapes) == 1 and len(set(*shapes)) == 1 and all(raw for *_, raw in found)
    shorter, longer = np.sort([record.shape for record in records], axis=1).T
    side, whole_side = (int(np.median(sides)) for sides in (shorter, longer))
    if not uniform:
        side, whole_side = min(side, _MAX_SIDE), min(whole_side, _MAX_SIDE)
    cut = 1 - shorter / longer
    lines = sorted(f"{entry.sha256} {entry.label} {entry.coarse_label} {entry.split}" for entry in entries)
    fingerprint = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return ShardPlan(
        entries,
        tuple(quarantined),
        side,
        whole_side,
        float(np.median(cut)),
        int((cut > MAX_CUT).sum()),
        uniform,
        fingerprint,
        (*source.notes, *_note_duplicates(entries)),
    )


def stored_form(record: RawImage, shape: tuple[int, int]) -> tuple[bytes, bool]:
    """The bytes that are stored for an image of `shape` (height, width), and whether they are raw pixels."""
    if not record.encoded:
        return record.data, True
    if max(shape) <= _MAX_RAW_SIDE:
        return read_rgb(record.data).tobytes(), True
    return record.data, False


def assign_splits(
    given: Sequence[SplitName | None], labels: Sequence[int], hashes: Sequence[str], *, val_fraction: float, seed: int
) -> list[SplitName]:
    """Assign each image to a split. Test is drawn only if no image has it, and so is validation.

    Args:
        given: The split that the source gives for each image. `train` and None may be moved to another split.
        labels: The label of each image.
        hashes: The hash of each image: byte-identical images go to the same split.
        val_fraction: Share of the movable images that becomes validation. Test gets a tenth.
        seed: The seed of the draw.

    Returns:
        The split of each image.
    """
    splits: list[SplitName] = [split or "train" for split in given]
    movable = [index for index, split in enumerate(splits) if split == "train"]
    per_class = Counter(labels[index] for index in movable)
    rng = np.random.default_rng(seed)
    fractions: dict[SplitName, float] = {"test": _TEST_FRACTION, "val": val_fraction}
    for split, fraction in fractions.items():
        if split in given:
            continue
        remaining = [index for index in movable if splits[index] == "train"]
        for index in _draw_images(remaining, labels, hashes, per_class, fraction, rng):
            splits[index] = split
    return splits


def _draw_images(
    indices: Sequence[int],
    labels: Sequence[int],
    hashes: Sequence[str],
    per_class: Counter[int],
    fraction: float,
    rng: np.random.Generator,
) -> list[int]:
    """Draw about `fraction` of each class, in whole groups of identical images."""
    by_hash: dict[str, list[int]] = defaultdict(list)
    for index in indices:
        by_hash[hashes[index]].append(index)
    groups: dict[int, list[list[int]]] = defaultdict(list)
    for group in by_hash.values():
        # An image with two labels stays in train: no prediction for it could be correct.
        if len({labels[index] for index in group}) == 1:
            groups[labels[group[0]]].append(group)
    drawn: list[int] = []
    for label in sorted(groups):
        room = max(1, round(fraction * per_class[label]))
        # The first group stays in train, so that a class with few different images keeps one to train on.
        for position in rng.permutation(len(groups[label]))[1:]:
            group = groups[label][position]
            if len(group) <= room:
                drawn += group
                room -= len(group)
            if room == 0:
                break
    return drawn


def _without_data(record: RawImage) -> RawImage:
    return RawImage(record.key, record.split, record.label, record.coarse_label, b"", record.shape, record.encoded)


def _check_classes(source: Source, counts: Counter[int]) -> None:
    for label, name in enumerate(source.class_names):
        if counts[label] < _MIN_IMAGES:
            found = f"has fewer than {_MIN_IMAGES} readable images ({counts[label]})"
            raise DataError(f"class {name} of {source.name} {found}; add some or remove the class")


def _check_splits(source: Source, entries: Sequence[ShardEntry]) -> None:
    trained = {entry.label for entry in entries if entry.split == "train"}
    for label, name in enumerate(source.class_names):
        if label not in trained:
            raise DataError(f"class {name} of {source.name} has no readable image to train on; add some")
    present = {entry.split for entry in entries}
    for split in SPLITS:
        if split not in present:
            raise DataError(f"{source.name} has too few different images to draw any for {split}; add some")


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
