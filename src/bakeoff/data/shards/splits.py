"""Assigns images to splits: stratified by class, with a seed, and with what belongs together on one side.

Byte-identical images always belong together; so do the images of a group, where there are groups.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.sources import SplitName

__all__ = ["SPLITS", "Numbers", "assign_splits"]

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

Numbers = NDArray[np.integer[Any]]

_TEST_FRACTION = 0.1


def assign_splits(
    given: Sequence[SplitName | None],
    labels: Sequence[int] | Numbers,
    contents: Sequence[Any] | Numbers,
    groups: Sequence[str] | None = None,
    *,
    val_fraction: float,
    seed: int,
) -> list[SplitName]:
    """Assign each image to a split. Test is drawn only if no image has it, and so is validation.

    Args:
        given: The split that the source gives for each image. `train` and None may be moved to another split.
        labels: The label of each image.
        contents: A number or a hash of each image: byte-identical images have the same, and go to the same split.
        groups: The group of each image, from a Grouping: the images of a group go to the same split.
        val_fraction: Share of the movable images that becomes validation. Test gets a tenth.
        seed: The seed of the draw.

    Returns:
        The split of each image.
    """
    splits = np.array([SPLITS.index(split or "train") for split in given], np.int8)
    labels, contents = np.asarray(labels), np.asarray(contents)
    movable = np.flatnonzero(splits == 0)
    per_class = dict(enumerate(np.bincount(labels[movable]).tolist()))
    rng = np.random.default_rng(seed)
    fractions: dict[SplitName, float] = {"test": _TEST_FRACTION, "val": val_fraction}
    drawn = {split: fraction for split, fraction in fractions.items() if split not in given}
    for later, (split, fraction) in zip(reversed(range(len(drawn))), drawn.items(), strict=True):
        remaining = movable[splits[movable] == 0]
        if groups is None:
            chosen = _draw_images(remaining, labels[remaining], contents[remaining], per_class, fraction, rng)
        else:
            wanted = {label: max(1, round(fraction * count)) for label, count in per_class.items()}
            chosen = np.array(_draw_groups(remaining.tolist(), labels, groups, wanted, later, rng), np.intp)
        splits[chosen] = SPLITS.index(split)
    return [SPLITS[split] for split in splits]


def _draw_images(
    indices: NDArray[np.intp],
    labels: Numbers,
    contents: Numbers,
    per_class: Mapping[int, int],
    fraction: float,
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Draw about `fraction` of each class, in whole groups of identical images."""
    _, first, group_of, sizes = np.unique(contents, return_index=True, return_inverse=True, return_counts=True)
    label_of = labels[first]
    # An image with two labels stays in train: no prediction for it could be correct.
    has_one_label = np.ones(len(first), bool)
    has_one_label[group_of[labels != label_of[group_of]]] = False
    # By class, and within a class by the first image.
    order = np.lexsort((first, label_of))
    order = order[has_one_label[order]]
    present, starts = np.unique(label_of[order], return_index=True)
    is_drawn = np.zeros(len(first), bool)
    for label, groups in zip(present.tolist(), np.split(order, starts)[1:], strict=True):
        room = max(1, round(fraction * per_class[label]))
        # The first group stays in train, so that a class with few different images keeps one to train on.
        for group in groups[rng.permutation(len(groups))[1:]]:
            if sizes[group] <= room:
                is_drawn[group] = True
                room -= int(sizes[group])
            if room == 0:
                break
    return indices[is_drawn[group_of]]


def _draw_groups(
    indices: Sequence[int],
    labels: Numbers,
    groups: Sequence[str],
    wanted: Mapping[int, float],
    later: int,
    rng: np.random.Generator,
) -> list[int]:
    """Draw whole groups until each class is near the number of images that is wanted of it.

    Unlike a fold of StratifiedGroupKFold, the draw has every class that has the groups for it, also where few groups
    hold a rare class, and no more than a tenth of the others.
    """
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for index in indices:
        counts[groups[index]][int(labels[index])] += 1
    names = list(counts)
    shuffled = [names[place] for place in rng.permutation(len(names))]
    of_label: dict[int, list[str]] = defaultdict(list)
    for group in shuffled:
        for label in counts[group]:
            of_label[label].append(group)
    left = Counter({label: len(inside) for label, inside in of_label.items()})
    # A class keeps a group to train on, and one for each split that is drawn later if it has enough.
    kept = {label: max(1, min(1 + later, number - 1)) for label, number in left.items()}
    have: Counter[int] = Counter()
    drawn: set[str] = set()

    def is_free(group: str) -> bool:
        return group not in drawn and all(left[label] > kept[label] for label in counts[group])

    def change(group: str) -> float:
        """How much further all classes are from what is wanted with this group: the sum of squared shares."""
        return sum(
            ((have[label] + count - wanted[label]) ** 2 - (have[label] - wanted[label]) ** 2) / wanted[label] ** 2
            for label, count in counts[group].items()
        )

    def draw(group: str) -> None:
        drawn.add(group)
        have.update(counts[group])
        left.subtract(counts[group].keys())

    for group in shuffled:
        if is_free(group) and all(have[label] + count <= wanted[label] for label, count in counts[group].items()):
            draw(group)
    for label in sorted(of_label, key=lambda label: (wanted[label], label)):
        free = [group for group in of_label[label] if is_free(group)]
        if free and (change(best := min(free, key=change)) < 0 or not have[label]):
            draw(best)
    return [index for index in indices if groups[index] in drawn]
