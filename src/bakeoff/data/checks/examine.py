"""All checks over all splits of prepared data."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, pairwise, product
from typing import NamedTuple

import numpy as np

from bakeoff.data.batches import Split, load_split
from bakeoff.data.checks.findings import Finding, FindingKind
from bakeoff.data.checks.leaks import without_bars, write_leaks
from bakeoff.data.checks.near_duplicates import MIN_SIDE_PIXELS, find_near_duplicates
from bakeoff.data.shards import Dataset
from bakeoff.data.sources import OnCount, SplitName
from bakeoff.text import counted

__all__ = ["examine", "load_all"]

# A class with fewer training images than this is reported as tiny.
TINY_CLASS_IMAGES = 20
# Classes are reported as imbalanced if the largest has more than this many times the images of the smallest.
IMBALANCE_RATIO = 10.0
# An image is reported as one colour if the pixels (0..255) of each channel have a smaller standard deviation than this.
CONSTANT_STD = 2.0
# Images that are read at once.
_READ_IMAGES = 256
# Images that are on disk because they do not fit into memory are compared in parts of so many bytes.
_COMPARED_BYTES = 2**28
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


class _Image(NamedTuple):
    split: str
    id: str
    label: str


def examine(dataset: Dataset, *, near: bool = True, on_count: OnCount | None = None) -> list[Finding]:
    """Run all checks on a data set. Reads the test split, but trains nothing.

    The near-duplicates of training images are kept beside the shards, where `find_leaks` reads them.

    Args:
        dataset: The prepared data.
        near: Whether to search for near-duplicates, which compares all pairs of images across splits. Images smaller
            than MIN_SIDE_PIXELS are never searched.
        on_count: Called with (what is being done, images done, images in all).

    Returns:
        The findings, the worst kind first, and the most similar pairs first within a kind.

    Raises:
        DataError: A shard is damaged.
    """
    splits = load_all(without_bars(dataset))
    unreadable = [bad for bad in dataset.manifest.quarantined if not bad.is_excluded]
    findings = [Finding(FindingKind.UNREADABLE, id=bad.key, note=bad.reason) for bad in unreadable]
    findings += _find_identical(splits, dataset.class_names)
    findings += _find_colourless(splits, dataset.class_names)
    findings += _check_class_sizes(splits, dataset.class_names)
    if near and dataset.side >= MIN_SIDE_PIXELS:
        identical = {frozenset((finding.id, finding.other_id)) for finding in findings}
        near_leaks = list(_find_near(splits, dataset.class_names, on_count))
        listed = _list_once(near_leaks)
        findings += [leak for leak in listed if frozenset((leak.id, leak.other_id)) not in identical]

        def leaked(earlier: SplitName, later: SplitName) -> set[str]:
            return {leak.other_id for leak in near_leaks if (leak.split, leak.other_split) == (earlier, later)}

        write_leaks(dataset, leaked("train", "val"), leaked("train", "test"), leaked("val", "test"))
    order = list(FindingKind)
    return sorted(findings, key=lambda finding: (order.index(finding.kind), -finding.similarity))


def load_all(dataset: Dataset) -> dict[str, Split]:
    """Every split that has images, the locked test split included."""
    return {name: load_split(dataset, name, unlock=True) for name in SPLITS if dataset.counts.get(name)}


def _walk(splits: dict[str, Split], names: Sequence[str]) -> Iterator[tuple[_Image, np.ndarray]]:
    """Each image with its pixels (side, side, 3), in the order train, val, test."""
    for name, split in splits.items():
        for start in range(0, len(split), _READ_IMAGES):
            for place, pixels in enumerate(split.images[start : start + _READ_IMAGES], start):
                yield _Image(name, split.ids[place], names[split.labels[place]]), pixels


def _find_identical(splits: dict[str, Split], names: Sequence[str]) -> Iterator[Finding]:
    groups: dict[bytes, list[_Image]] = defaultdict(list)
    for image, pixels in _walk(splits, names):
        groups[hashlib.sha256(pixels.tobytes()).digest()].append(image)
    for group in groups.values():
        # Of a pair, keep the image in the later split (test > val > train).
        for image, other in pairwise(group):
            if image.label != other.label:
                kind = FindingKind.CONFLICT
            else:
                kind = FindingKind.LEAK if image.split != other.split else FindingKind.DUPLICATE
            yield Finding(kind, *image, *other, similarity=1.0)


def _find_colourless(splits: dict[str, Split], names: Sequence[str]) -> Iterator[Finding]:
    """Images of one colour, and grey images."""
    for image, pixels in _walk(splits, names):
        if (pixels.std(axis=(0, 1)) < CONSTANT_STD).all():
            yield Finding(FindingKind.CONSTANT, *image)
        elif (np.ptp(pixels, axis=2) <= 1).all():
            yield Finding(FindingKind.GREY, *image)


def _check_class_sizes(splits: dict[str, Split], names: Sequence[str]) -> Iterator[Finding]:
    counts = np.bincount(splits["train"].labels, minlength=len(names))
    for name, count in zip(names, counts, strict=True):
        if count < TINY_CLASS_IMAGES:
            yield Finding(FindingKind.TINY_CLASS, "train", label=name, note=f"{counted(count, 'image')} to train on")
    if counts.max() > IMBALANCE_RATIO * max(counts.min(), 1):
        largest, smallest = names[int(counts.argmax())], names[int(counts.argmin())]
        note = f"{counted(counts.max(), 'image')} of {largest}, {counts.min()} of {smallest}"
        yield Finding(FindingKind.IMBALANCE, "train", note=note)


def _find_near(splits: dict[str, Split], names: Sequence[str], on_count: OnCount | None) -> Iterator[Finding]:
    """Near-duplicates between every two splits: all images of the earlier one that have one, to be left out."""
    for (earlier_name, earlier), (later_name, later) in combinations(splits.items(), 2):
        # The search starts from the later split: it is the smaller one, and the one that has to stay clean.
        parts = list(product(_cut(later), _cut(earlier)))
        total = sum(mine.stop - mine.start for mine, _ in parts)
        before = 0
        for mine, others in parts:

            def on_block(
                done: int,
                _: int,
                before: int = before,
                total: int = total,
                pair: str = f"{earlier_name} against {later_name}",
            ) -> None:
                if on_count:
                    on_count(f"comparing {pair}", before + done, total)

            for found in find_near_duplicates(
                later.images[mine], earlier.images[others], every=True, on_block=on_block
            ):
                first, second = mine.start + found.first, others.start + found.second
                left_out = _Image(earlier_name, earlier.ids[second], names[earlier.labels[second]])
                kept = _Image(later_name, later.ids[first], names[later.labels[first]])
                yield Finding(FindingKind.NEAR_LEAK, *left_out, *kept, similarity=found.similarity)
            before += mine.stop - mine.start


def _list_once(leaks: Iterable[Finding]) -> Iterable[Finding]:
    """Of the pairs of two splits, each image to leave out once: beside the image that it is most like."""
    ordered = sorted(leaks, key=lambda leak: leak.similarity)
    return {(leak.split, leak.other_split, leak.id): leak for leak in ordered}.values()


def _cut(split: Split) -> list[slice]:
    """Parts of a split that are compared at once: all of it if its images are in memory."""
    size = len(split)
    if split.is_on_disk:
        size = max(1, _COMPARED_BYTES // math.prod(split.images.shape[1:]))
    return [slice(start, min(start + size, len(split))) for start in range(0, len(split), size)]
