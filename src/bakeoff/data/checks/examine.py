"""All checks over all splits of prepared data."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import Split, load_split
from bakeoff.data.checks.findings import Finding, Kind
from bakeoff.data.checks.near_duplicates import LEAST_SIDE, find_near_duplicates, have_near_duplicates
from bakeoff.data.shards import Dataset
from bakeoff.data.sources import SplitName
from bakeoff.files import read_json, write_json

__all__ = ["examine", "find_leaks", "load_all"]

# Images of a class in training below which little can be learned, and ratio of the largest to the smallest class.
TINY, UNEVEN = 20, 10.0
# Standard deviation of pixels, in steps of 255, below which an image shows nothing.
FLAT = 2.0
# Pairs of a test and a training image that are compared unasked: some ten seconds.
MOST_PAIRS = 50_000_000
# The ids of test images that have a near-duplicate in training.
LEAKS = "near-duplicates.json"
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
OnCount = Callable[[str, int, int], None]


class _Image(NamedTuple):
    split: str
    id: str
    label: str


def examine(dataset: Dataset, *, near: bool = True, tell: OnCount | None = None) -> list[Finding]:
    """Everything that is wrong with a data set, the worst kinds first. Reads the test split, but trains nothing.

    `tell` is told (doing, done, of). Without `near`, and for images smaller than LEAST_SIDE, the search for
    near-duplicates, which compares all pairs, is left out; what it finds is kept beside the shards for `find_leaks`.
    Raises DataError for a damaged shard.
    """
    splits = load_all(dataset)
    findings = [Finding(Kind.UNREADABLE, id=bad.key, note=bad.reason) for bad in dataset.manifest.quarantined]
    findings += _find_same(splits, dataset.class_names)
    findings += _find_flat(splits, dataset.class_names)
    findings += _find_uneven(splits, dataset.class_names)
    if near and dataset.side >= LEAST_SIDE:
        exact = {frozenset((finding.id, finding.other_id)) for finding in findings}
        near_ones = list(_find_near(splits, dataset.class_names, tell))
        findings += [each for each in near_ones if frozenset((each.id, each.other_id)) not in exact]
        if dataset.is_whole:
            leaked = {each.other_id for each in near_ones if (each.split, each.other_split) == ("train", "test")}
            write_json(dataset.folder / LEAKS, sorted(leaked))
    order = list(Kind)
    return sorted(findings, key=lambda finding: (order.index(finding.kind), -finding.similarity))


def find_leaks(dataset: Dataset, train: Split, test: Split) -> NDArray[np.bool_] | None:
    """Which test images have a near-duplicate in training: (n,). None if that would take long and is not known yet."""
    if dataset.side < LEAST_SIDE:
        return None
    if dataset.is_whole and (known := _read_leaks(dataset.folder / LEAKS)) is not None:
        return np.array([each in known for each in test.ids], np.bool_)
    if len(train) * len(test) > MOST_PAIRS or train.is_on_disk:
        return None
    return have_near_duplicates(test.images[:], train.images[:])


def _read_leaks(path: Path) -> set[str] | None:
    try:
        return set(read_json(path))
    except (OSError, ValueError, TypeError):
        return None  # never looked for, or damaged: they are looked for anew


def load_all(dataset: Dataset) -> dict[str, Split]:
    """Every split that has images, test included."""
    return {name: load_split(dataset, name, unlock=True) for name in SPLITS if dataset.counts.get(name)}


def _walk(splits: dict[str, Split], names: Sequence[str]) -> Iterator[tuple[_Image, np.ndarray]]:
    for name, split in splits.items():
        for place in range(len(split)):
            yield _Image(name, split.ids[place], names[split.labels[place]]), split.images[place : place + 1][0]


def _find_same(splits: dict[str, Split], names: Sequence[str]) -> Iterator[Finding]:
    groups: dict[bytes, list[_Image]] = defaultdict(list)
    for image, pixels in _walk(splits, names):
        groups[hashlib.sha256(pixels.tobytes()).digest()].append(image)
    for group in groups.values():
        # The last split's image stays: what is left out is left out of training, before validation, before test.
        for one, other in pairwise(group):
            kind = (
                Kind.CONFLICT if one.label != other.label else Kind.LEAK if one.split != other.split else Kind.DUPLICATE
            )
            yield Finding(kind, *one, *other, similarity=1.0)


def _find_flat(splits: dict[str, Split], names: Sequence[str]) -> Iterator[Finding]:
    for image, pixels in _walk(splits, names):
        if pixels.std() < FLAT:
            yield Finding(Kind.CONSTANT, *image)
        elif (np.ptp(pixels, axis=2) <= 1).all():
            yield Finding(Kind.GREY, *image)


def _find_uneven(splits: dict[str, Split], names: Sequence[str]) -> Iterator[Finding]:
    counts = np.bincount(splits["train"].labels, minlength=len(names))
    for name, count in zip(names, counts, strict=True):
        if count < TINY:
            yield Finding(Kind.TINY_CLASS, "train", label=name, note=f"{count} images to train on")
    if counts.max() > UNEVEN * max(counts.min(), 1):
        largest, smallest = names[int(counts.argmax())], names[int(counts.argmin())]
        note = f"{counts.max()} images of {largest}, {counts.min()} of {smallest}"
        yield Finding(Kind.IMBALANCE, "train", note=note)


def _find_near(splits: dict[str, Split], names: Sequence[str], tell: OnCount | None) -> Iterator[Finding]:
    for (first, one), (second, other) in combinations(splits.items(), 2):

        def told(done: int, of: int, pair: str = f"{first} against {second}") -> None:
            if tell:
                tell(f"comparing {pair}", done, of)

        # The smaller split's images look for theirs: the later one is the one that has to be kept clean.
        for twin in find_near_duplicates(other.images[:], one.images[:], on_block=told):
            own = _Image(first, one.ids[twin.second], names[one.labels[twin.second]])
            its = _Image(second, other.ids[twin.first], names[other.labels[twin.first]])
            yield Finding(Kind.NEAR_LEAK, *own, *its, similarity=twin.similarity)
