"""Images of training and validation that belong together in a cross-validation: groups, and near-duplicates.

A head that has seen nearly the same image is not asked about a new one.
"""

import hashlib
import os
from collections.abc import Sequence

import numpy as np

from bakeoff.data.batches import Split, eval_batches, load_split
from bakeoff.data.checks.deadline import Deadline, SearchStoppedError, is_worth_repeating, watch
from bakeoff.data.checks.leaks import can_compare, without_bars
from bakeoff.data.checks.near_duplicates import MIN_SIDE_PIXELS, find_near_duplicates
from bakeoff.data.shards import Dataset, join_groups
from bakeoff.data.sources import OnCount, SplitName
from bakeoff.files import read_json, write_json
from bakeoff.runs.facts import Facts

__all__ = ["Alike", "find_alike", "keep_together"]

# Of each split so many images are compared with each other and with those of the other: as many as a study probes.
MAX_IMAGES = 5000
# Images that are read at once.
BATCH = 256


class Alike(Facts):
    """Pairs of ids: images of training and validation that are nearly the same."""

    pairs: tuple[tuple[str, str], ...]
    stopped_after: float | None = None
    """Seconds after which the search was stopped, so that nothing is known; None: it was not."""


def keep_together(dataset: Dataset, *splits: Split) -> tuple[list[str] | None, str]:
    """Group images of training and validation so that a fold has all images of a group or none.

    Images that the data group are in one group, and so are near-duplicates, or where those were not searched for, equal
    images.

    Args:
        dataset: The prepared data.
        splits: Images of training and of validation, in any order.

    Returns:
        The group of each image, split after split, or None if each is on its own; and what is to be said, or nothing.
    """
    ids = [key for split in splits for key in split.ids]
    places = {key: place for place, key in enumerate(ids)}
    given = [group for split in splits for group in split.groups or split.ids]
    alike, note = find_alike(dataset), ""
    if alike is not None:
        pairs = [(places[one], places[other]) for one, other in alike.pairs if one in places and other in places]
    else:
        pairs = _find_copies(splits)
    if dataset.at_input(0).side >= MIN_SIDE_PIXELS and (alike is None or max(map(len, splits)) > MAX_IMAGES):
        note = (
            "too many images, or too little time, to search them all for near-duplicates: some may be in different"
            " folds"
        )
    groups = join_groups(given, pairs)
    return (groups if len(set(groups)) < len(groups) else None), note


def find_alike(dataset: Dataset, on_count: OnCount | None = None, *, deadline: Deadline | None = None) -> Alike | None:
    """Find near-duplicates among the images of training and validation, or read what was found before.

    Args:
        dataset: The prepared data.
        on_count: Called with (what is being done, images done, images in all).
        deadline: When the search has to end. A search that was stopped is only made again with a later one: the runs of
            the same study do not make up for it.

    Returns:
        What was found, which is kept beside the shards; None if the images are too small to be compared, or too many to
        compare them in about ten seconds, or if the search was stopped.
    """
    # As large as they are for small inputs, so that every network's run finds the same pairs.
    compared = without_bars(dataset).at_input(0)
    path = dataset.folder / f"alike-{compared.fingerprint[:12]}.json"
    try:
        kept = Alike.model_validate(read_json(path))
    except (OSError, ValueError):  # missing or damaged
        kept = None
    if kept and kept.stopped_after is None:
        return kept
    if kept and kept.stopped_after is not None and not is_worth_repeating(kept.stopped_after, deadline):
        return None
    if not can_compare(compared, "train", "val"):
        return None
    on_block = watch("comparing training and validation images with each other", on_count, deadline)

    def load(name: SplitName) -> Split:
        split = load_split(compared, name, subset=MAX_IMAGES)
        on_block(0, 0)
        return split

    try:
        splits = [load(name) for name in ("train", "val")]
        images = np.concatenate([split.images[:] for split in splits])
        near = find_near_duplicates(images, None, on_block=on_block)
    except SearchStoppedError as stopped:
        alike = Alike(pairs=(), stopped_after=stopped.seconds)
    else:
        ids = [key for split in splits for key in split.ids]
        found = {(min(pair.first, pair.second), max(pair.first, pair.second)) for pair in near}
        alike = Alike(pairs=tuple((ids[one], ids[other]) for one, other in sorted(found)))
    if os.access(dataset.folder, os.W_OK):
        write_json(path, alike.model_dump(mode="json"))
    return alike if alike.stopped_after is None else None


def _find_copies(splits: Sequence[Split]) -> list[tuple[int, int]]:
    """Positions of images with the same pixels, each with the first of them."""
    first: dict[bytes, int] = {}
    images = (image for split in splits for batch, _ in eval_batches(split, BATCH) for image in batch)
    digests = (hashlib.blake2b(image.tobytes()).digest() for image in images)
    return [(first.setdefault(digest, place), place) for place, digest in enumerate(digests)]
