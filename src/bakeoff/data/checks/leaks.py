"""Validation and test images that have a near-duplicate in training: found before training, where that is cheap.

No model is asked, so the test split stays as locked as `bakeoff data check` leaves it.
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bakeoff.data.batches import Split, is_large, load_split
from bakeoff.data.checks.deadline import Deadline, SearchStoppedError, is_worth_repeating, watch
from bakeoff.data.checks.near_duplicates import MIN_SIDE_PIXELS, find_near_duplicates
from bakeoff.data.shards import Dataset
from bakeoff.data.sources import OnCount, SplitName
from bakeoff.files import read_json, write_json
from bakeoff.runs.config import Fit
from bakeoff.runs.facts import Facts
from bakeoff.text import counted, plural

__all__ = [
    "Leaks",
    "can_compare",
    "find_leaks",
    "find_like_validation",
    "read_leaks",
    "warn_of_leaks",
    "without_bars",
    "write_leaks",
]

# Above this many pairs with a training image nothing is searched: this many take about fifteen seconds.
MAX_LEAK_PAIRS = 75_000_000
# Nor is it where the files of the images have more bytes than this, of which an image counts as at least so many: two
# cores take about fifteen seconds to decode them.
MAX_LEAK_BYTES, _LEAST_BYTES = 400_000_000, 20_000
# A split is warned of if more than this share of its images, and at least so many, have a near-duplicate in training.
_SHARE, _IMAGES = 0.05, 5
_TITLES = {"test": "test", "val": "validation"}


class Leaks(Facts):
    """Ids of the images that are nearly the same as an image of the training split."""

    val: tuple[str, ...]
    test: tuple[str, ...]
    test_like_val: tuple[str, ...] | None = None
    """Ids of the test images that are nearly the same as a validation image; None: not searched for."""
    stopped_after: float | None = None
    """Seconds after which the search was stopped, so that nothing is known; None: it was not."""


def find_leaks(dataset: Dataset, on_count: OnCount | None = None, *, deadline: Deadline | None = None) -> Leaks | None:
    """Find near-duplicates of training images in validation and test, or read what was found before.

    Args:
        dataset: The prepared data.
        on_count: Called with (what is being done, images done, images in all).
        deadline: When the search has to end. A search that was stopped is only made again with a later one: who follows
            in the same study does not make up for it.

    Returns:
        What was found, which is kept beside the shards; None if the images are too small to be compared, or too many to
        compare them in about ten seconds, or if the search was stopped.
    """
    kept = _read(dataset)
    if kept and kept.stopped_after is None:
        return kept
    if kept and kept.stopped_after is not None and not is_worth_repeating(kept.stopped_after, deadline):
        return None
    compared = without_bars(dataset)
    pairs = dataset.counts["train"] * (dataset.counts["val"] + dataset.counts["test"])
    if pairs > MAX_LEAK_PAIRS or not can_compare(compared, "train", "val", "test"):
        return None
    on_block = watch("comparing validation and test with training images", on_count, deadline)

    def load(name: SplitName) -> Split:
        split = load_split(compared, name, unlock=True)
        on_block(0, 0)
        return split

    try:
        train, val, test = (load(name) for name in ("train", "val", "test"))
        images = np.concatenate([val.images[:], test.images[:]])
        found = {pair.first for pair in find_near_duplicates(images, train.images[:], on_block=on_block)}
    except SearchStoppedError as stopped:
        _write(dataset, Leaks(val=(), test=(), stopped_after=stopped.seconds))
        return None
    ids = [*val.ids, *test.ids]
    return write_leaks(
        dataset,
        [ids[place] for place in found if place < len(val)],
        [ids[place] for place in found if place >= len(val)],
    )


def find_like_validation(dataset: Dataset) -> set[str] | None:
    """Ids of the test images that have a near-duplicate in validation, as `examine` has found them, or searched now.

    None if they were not found before and are too many to compare them in about ten seconds.
    """
    if (kept := read_leaks(dataset)) and kept.test_like_val is not None:
        return set(kept.test_like_val)
    compared = without_bars(dataset)
    if dataset.counts["test"] * dataset.counts["val"] > MAX_LEAK_PAIRS or not can_compare(compared, "val", "test"):
        return None
    test, val = (load_split(compared, name, unlock=True) for name in ("test", "val"))
    return {test.ids[pair.first] for pair in find_near_duplicates(test.images[:], val.images[:])}


def read_leaks(dataset: Dataset) -> Leaks | None:
    """What was found before; None if nothing was searched, if the search was stopped, or if the file is damaged."""
    leaks = _read(dataset)
    return leaks if leaks and leaks.stopped_after is None else None


def write_leaks(
    dataset: Dataset, val: Collection[str], test: Collection[str], test_like_val: Collection[str] | None = None
) -> Leaks:
    """Keep ids of images with a near-duplicate in training beside the shards, where `find_leaks` reads them; and those
    of test images with one in validation, if they were searched for."""
    like_val = None if test_like_val is None else tuple(sorted(test_like_val))
    return _write(dataset, Leaks(val=tuple(sorted(val)), test=tuple(sorted(test)), test_like_val=like_val))


def warn_of_leaks(dataset: Dataset, leaks: Leaks | None) -> str:
    """Why scores will mislead, in a line for people.

    Args:
        dataset: The prepared data.
        leaks: What was found; None if that was not possible: then byte-identical images count, which are known anyway.

    Returns:
        The line; empty if few images are concerned.
    """
    if leaks is None:
        counts, alike = dataset.manifest.copies if dataset.is_whole else {}, "byte-identical to"
    else:
        counts, alike = {"test": len(leaks.test), "val": len(leaks.val)}, "nearly the same as"
    shares = {split: count / dataset.counts[split] for split, count in counts.items() if count}
    loud = [
        split
        for split in _TITLES
        if (share := shares.get(split, 0)) == 1 or (share > _SHARE and counts[split] >= _IMAGES)
    ]
    if not loud:
        return ""
    found = [f"{counts[split]:,} of {counted(dataset.counts[split], f'{_TITLES[split]} image')}" for split in loud]
    most = max(shares[split] for split in loud) > 0.5
    effect = "will not hold" if most else "are higher than they would be"
    return (
        f"{' and '.join(found)} are {alike} training images: scores {effect} for new pictures."
        f" {_advise(dataset, loud, most)}"
    )


def without_bars(dataset: Dataset) -> Dataset:
    """The same images as the checks compare them: those that are padded are squashed.

    The bars are the same in every image. They would make different images look alike: of 240 flowers, cut to 4:1, 47
    seemed to have a near-duplicate when padded, and 25 when squashed; of the uncut pictures, 27.
    """
    return replace(dataset, asked_fit=Fit.SQUASH) if dataset.fit is Fit.PAD else dataset


def can_compare(dataset: Dataset, *splits: SplitName) -> bool:
    """Whether the images of some splits are large enough to be compared, and can be decoded in a few seconds."""
    files = [file for split in splits for file in dataset.manifest.splits[split].files]
    size = sum(max(file.bytes, _LEAST_BYTES * file.records) for file in files)
    return (
        dataset.side >= MIN_SIDE_PIXELS
        and (dataset.manifest.uniform or size <= MAX_LEAK_BYTES)
        and not any(is_large(dataset, split) for split in splits)
    )


def _advise(dataset: Dataset, loud: Sequence[str], most: bool) -> str:
    manifest = dataset.manifest
    if given := [_TITLES[split] for split in loud if split not in manifest.drawn]:
        splits = f"{' and '.join(given)} {plural(len(given), 'split')}"
        if most:
            return (
                f"The data give the {splits}; without splits, --group draws some that keep a subject or scene together"
            )
        return f"The data give the {splits}; `bakeoff data check` lists the pairs, and --exclude leaves images out"
    if manifest.groups:
        return f"They are grouped by {manifest.groups.by}; larger groups, such as scenes or days, may be needed"
    return (
        "If several pictures show one subject, scene or day, keep them in one split: --group folder, or --group 'REGEX'"
    )


def _read(dataset: Dataset) -> Leaks | None:
    try:
        return Leaks.model_validate(read_json(_file(without_bars(dataset))))
    except (OSError, ValueError):  # missing or damaged
        return None


def _write(dataset: Dataset, leaks: Leaks) -> Leaks:
    if os.access(dataset.folder, os.W_OK):
        write_json(_file(without_bars(dataset)), leaks.model_dump(mode="json"))
    return leaks


def _file(compared: Dataset) -> Path:
    return compared.folder / f"near-duplicates-{compared.fingerprint[:12]}.json"
