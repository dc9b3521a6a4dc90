"""What a source holds and where each image goes: the first of the two passes, which keeps no pixels.

A split that the source gives is kept. Otherwise validation (and test, if there is none) is cut from train:
stratified by class, drawn by the seed, byte-identical images on one side.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.data.pixels import read_rgb
from bakeoff.data.shards.manifest import Quarantined
from bakeoff.data.sources import BadImage, OnCount, RawImage, Source, SplitName
from bakeoff.errors import DataError

__all__ = ["SPLITS", "ShardEntry", "ShardPlan", "assign_splits", "plan_shards", "stored_form"]

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

_TEST_FRACTION = 0.1
_RAW_SIDE = 64
"""Images of at most this width and height are stored as raw pixels: decoding would cost more than it saves."""
_SIDE_LIMIT = 160
_MIN_IMAGES = 3
_TICK = 256


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One readable image: what is stored of it, but not its bytes."""

    key: str
    split: SplitName
    label: int
    coarse_label: int | None
    sha256: str
    size: int
    """Bytes that are stored."""
    shape: tuple[int, int]


@dataclass(frozen=True)
class ShardPlan:
    """All images of a source, each with its split, in an order that only their content decides."""

    entries: tuple[ShardEntry, ...]
    quarantined: tuple[Quarantined, ...]
    side: int
    uniform: bool
    fingerprint: str
    notes: tuple[str, ...]


def plan_shards(
    source: Source,
    val_fraction: float,
    seed: int,
    excluded: Mapping[str, str],
    progress: OnCount | None = None,
) -> ShardPlan:
    """Read every image once and decide where it goes; those whose keys are in `excluded` nowhere.

    Raises DataError if a class keeps fewer than 3 readable images or none to train on.
    """
    found: list[tuple[RawImage, str, int, bool]] = []
    quarantined = []
    for index, record in enumerate(source.records()):
        if progress and index % _TICK == 0:
            progress(f"reading {source.name}", index, source.count)
        if isinstance(record, BadImage):
            quarantined.append(Quarantined(key=record.key, reason=record.reason))
            continue
        if record.key in excluded:
            quarantined.append(Quarantined(key=record.key, reason=f"excluded: {excluded[record.key]}"))
            continue
        data, raw = stored_form(record, record.shape)
        found.append((_without_data(record), hashlib.sha256(data).hexdigest(), len(data), raw))
    # Equal images are drawn and shuffled equally whatever their files are called: one fingerprint, one order.
    found.sort(key=lambda row: (row[1], row[0].label, row[0].split or "", row[0].key))
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
    median = int(np.median([min(record.shape) for record in records]))
    side = median if uniform else min(median, _SIDE_LIMIT)
    lines = sorted(f"{entry.sha256} {entry.label} {entry.coarse_label} {entry.split}" for entry in entries)
    fingerprint = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return ShardPlan(entries, tuple(quarantined), side, uniform, fingerprint, (*source.notes, *_note_twins(entries)))


def stored_form(record: RawImage, shape: tuple[int, int]) -> tuple[bytes, bool]:
    """The bytes that are stored of an image of `shape` (height, width), and whether they are raw pixels."""
    if not record.encoded:
        return record.data, True
    if max(shape) <= _RAW_SIDE:
        return read_rgb(record.data).tobytes(), True
    return record.data, False


def assign_splits(
    given: Sequence[SplitName | None], labels: Sequence[int], hashes: Sequence[str], *, val_fraction: float, seed: int
) -> list[SplitName]:
    """The split of each image; `hashes` tell which images are byte-identical.

    Validation takes `val_fraction` of the images that are free to move, test a tenth if none is given.
    """
    splits: list[SplitName] = [split or "train" for split in given]
    free = [index for index, split in enumerate(splits) if split == "train"]
    per_class = Counter(labels[index] for index in free)
    rng = np.random.default_rng(seed)
    fractions: dict[SplitName, float] = {"test": _TEST_FRACTION, "val": val_fraction}
    for split, fraction in fractions.items():
        if split in given:
            continue
        left = [index for index in free if splits[index] == "train"]
        for index in _draw(left, labels, hashes, per_class, fraction, rng):
            splits[index] = split
    return splits


def _draw(
    indices: Sequence[int],
    labels: Sequence[int],
    hashes: Sequence[str],
    per_class: Counter[int],
    fraction: float,
    rng: np.random.Generator,
) -> list[int]:
    twins: dict[str, list[int]] = defaultdict(list)
    for index in indices:
        twins[hashes[index]].append(index)
    groups: dict[int, list[list[int]]] = defaultdict(list)
    for group in twins.values():
        # One image under two labels would unbalance the classes, and no answer to it could be right.
        if len({labels[index] for index in group}) == 1:
            groups[labels[group[0]]].append(group)
    drawn: list[int] = []
    for label in sorted(groups):
        room = max(1, round(fraction * per_class[label]))
        # A class always keeps a group to train on, even if all its images are few or the same.
        for place in rng.permutation(len(groups[label]))[1:]:
            group = groups[label][place]
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
            raise DataError(f"{source.name} has too few different images to set any aside for {split}; add some")


def _note_twins(entries: Sequence[ShardEntry]) -> list[str]:
    twins: dict[str, list[ShardEntry]] = defaultdict(list)
    for entry in entries:
        twins[entry.sha256].append(entry)
    several = [group for group in twins.values() if len(group) > 1]
    notes = []
    if extra := sum(len(group) - 1 for group in several):
        notes.append(f"byte-identical copies of other images: {extra}")
    if crossing := sum(len({entry.split for entry in group}) > 1 for group in several):
        notes.append(f"images that occur in more than one split, as the source has them: {crossing}")
    if torn := sum(len({entry.label for entry in group}) > 1 for group in several):
        notes.append(f"images that occur under more than one label: {torn}")
    return notes
