"""Groups of images that must stay in one split: subjects, scenes or days."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from bakeoff.data.shards.columns import ImageColumns
from bakeoff.data.shards.manifest import GroupFacts
from bakeoff.data.shards.splits import SPLITS
from bakeoff.data.sources import SplitName
from bakeoff.errors import DataError
from bakeoff.text import counted, name_some

__all__ = ["Grouping", "join_groups"]

# With fewer groups in a split, the intervals of its scores are told to be too narrow.
_FEW_GROUPS = 20


class Grouping:
    """The groups of a source's images. Those that share a byte-identical image are one."""

    def __init__(self, by: str, images: ImageColumns) -> None:
        """Group images; those without a group are groups of their own.

        Args:
            by: What the groups are, as in `the folder below the class`.
            images: The images, with the groups that the source gives.
        """
        self._by, self._labels = by, images.labels.tolist()
        self._given = images.groups or [None] * len(images)
        contents = images.contents
        first = np.unique(contents, return_index=True)[1][contents]
        copies = np.flatnonzero(first != np.arange(len(images)))
        own = [group or key for group, key in zip(self._given, images.keys(), strict=True)]
        self.groups = join_groups(own, zip(first[copies].tolist(), copies.tolist(), strict=True))
        """The group of each image."""
        self._alone = sorted(key for group, key in zip(self._given, images.keys(), strict=True) if not group)

    def check_classes(self, name: str, class_names: Sequence[str]) -> None:
        """Raise DataError for a class of one group, which cannot be both in train and in test."""
        inside: dict[int, set[str]] = defaultdict(set)
        for label, group in zip(self._labels, self.groups, strict=True):
            inside[label].add(group)
        single = {class_names[label]: min(groups) for label, groups in sorted(inside.items()) if len(groups) == 1}
        if single:
            has = "class {} has" if len(single) == 1 else "classes {} have"
            raise DataError(
                f"{name}, grouped by {self._by}: {has.format(name_some(list(single)))} one group only"
                f" ({next(iter(single.values()))}), which cannot be in train and in test; add images of another group,"
                " remove the class, or group by something else"
            )

    def count(self, splits: Sequence[SplitName]) -> GroupFacts:
        """Count the groups, given the split of each image."""
        inside = self._list_splits(splits).values()
        return GroupFacts(
            by=self._by, count=len(inside), splits={split: sum(split in found for found in inside) for split in SPLITS}
        )

    def warn(self, splits: Sequence[SplitName]) -> Iterator[str]:
        """A warning if groups are in several splits, as only splits that the source gives can make them."""
        found = self._list_splits(splits)
        crossing = [f"{group} ({', '.join(inside)})" for group, inside in sorted(found.items()) if len(inside) > 1]
        if crossing:
            yield (
                f"{len(crossing):,} of {counted(len(found), 'group')} are in more than one split, as the data give"
                " them:"
                f" {name_some(crossing)}. The scores will not hold for new groups"
            )

    def note(self, splits: Sequence[SplitName]) -> Iterator[str]:
        """Say what the groups are, and what was decided about them."""
        facts = self.count(splits)
        yield (
            f"grouped by {facts.by}: {counted(facts.count, 'group')},"
            f" {', '.join(f'{count:,} in {split}' for split, count in facts.splits.items())}"
        )
        few = [f"{split} ({facts.splits[split]})" for split in SPLITS[1:] if facts.splits[split] < _FEW_GROUPS]
        if few:
            yield (
                f"few groups in {' and '.join(few)}: the intervals of scores take the images of a group as independent,"
                " so they are too narrow"
            )
        labels: dict[str, set[int]] = defaultdict(set)
        names: dict[str, set[str]] = defaultdict(set)
        for label, given, group in zip(self._labels, self._given, self.groups, strict=True):
            labels[group].add(label)
            if given:
                names[group].add(given)
        if several := sorted(group for group in names if len(labels[group]) > 1):
            yield f"groups with images of several classes: {len(several):,}, such as {name_some(several)}"
        if joined := [" and ".join(sorted(inside)) for inside in names.values() if len(inside) > 1]:
            yield f"groups that are one because they share a byte-identical image: {name_some(sorted(joined))}"
        if self._alone:
            yield f"images without a group, each on its own: {len(self._alone):,}, such as {self._alone[0]}"

    def _list_splits(self, splits: Sequence[SplitName]) -> dict[str, list[SplitName]]:
        """The splits that each group is in, in the order of SPLITS."""
        found: dict[str, set[SplitName]] = defaultdict(set)
        for group, split in zip(self.groups, splits, strict=True):
            found[group].add(split)
        return {group: [split for split in SPLITS if split in inside] for group, inside in found.items()}


def join_groups(groups: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """Join groups that pairs of images connect.

    Args:
        groups: The group of each image.
        pairs: Positions of images that must be in one group.

    Returns:
        The joined group of each image, called like the first of its groups.
    """
    parents: dict[str, str] = {}

    def find(group: str) -> str:
        while (parent := parents.setdefault(group, group)) != group:
            parents[group] = group = parents[parent]
        return group

    for one, other in pairs:
        first, second = sorted((find(groups[one]), find(groups[other])))
        parents[second] = first
    return [find(group) for group in groups]
