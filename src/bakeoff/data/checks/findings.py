"""The findings of the checks: one row per image or class, in a CSV that people edit and `edits` reads."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from bakeoff.data.checks.lists import format_list

__all__ = ["NOT_EXCLUDED", "Finding", "FindingKind", "format_findings"]


class FindingKind(StrEnum):
    """What is wrong, the worst first. The values are written into the CSV."""

    UNREADABLE = "unreadable"
    CONFLICT = "same image, two labels"
    LEAK = "same image in two splits"
    NEAR_LEAK = "near-duplicate in two splits"
    DUPLICATE = "same image twice"
    CONSTANT = "one colour"
    GREY = "grey"
    TINY_CLASS = "tiny class"
    IMBALANCE = "imbalance"


# Findings of these kinds do not exclude an image: grey photographs are valid, and the others concern whole classes.
NOT_EXCLUDED = (FindingKind.GREY, FindingKind.TINY_CLASS, FindingKind.IMBALANCE)


class Finding(NamedTuple):
    """What is wrong with an image, with a pair of images, or with a class (then without an id).

    `id` is the image to leave out. Of a pair, `other_id` is the one to keep, and `similarity` is the correlation of
    both: 1 for equal pixels. `likelier` is the likelier one of two labels, where that was searched.
    """

    kind: FindingKind
    """What is wrong."""
    split: str = ""
    """Split of the image."""
    id: str = ""
    """Image that is concerned, and that `--exclude` leaves out; empty for a class."""
    label: str = ""
    """Its class."""
    other_split: str = ""
    """Split of the other image of a pair."""
    other_id: str = ""
    """The other image, which is kept."""
    other_label: str = ""
    """Its class."""
    similarity: float = 0.0
    """Correlation of both: 1 for equal pixels."""
    note: str = ""
    """What else is known, in words."""
    likelier: str = ""
    """The likelier one of two labels, where that was searched."""

    @property
    def swapped(self) -> "Finding":
        """The same pair, of which the other image is the one to leave out."""
        return self._replace(
            split=self.other_split,
            id=self.other_id,
            label=self.other_label,
            other_split=self.split,
            other_id=self.id,
            other_label=self.label,
        )


def format_findings(findings: Sequence[Finding]) -> str:
    """The findings as CSV."""
    rows = (
        finding._asdict() | {"similarity": f"{finding.similarity:.3f}" if finding.similarity else ""}
        for finding in findings
    )
    return format_list(Finding._fields, (row.values() for row in rows))
