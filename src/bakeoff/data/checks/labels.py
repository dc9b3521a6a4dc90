"""Suspicious labels: a list to be looked at, and which label of two is the likelier. Nothing is changed by itself.

The probabilities are cross-validated: each comes from a model that has not seen the image. Those of the test split come
from a model that is fitted on train and validation, and nothing is chosen by them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.checks.confident import (
    class_thresholds,
    confident_classes,
    confident_joint,
    count_wrong,
    rank_suspicious,
    suggest_classes,
)
from bakeoff.data.checks.findings import Finding
from bakeoff.data.checks.lists import format_list
from bakeoff.files import read_arrays, replacing

__all__ = ["HeldOut", "SuspiciousLabel", "find_suspicious", "format_suspicious", "judge_conflicts"]


class SuspiciousLabel(NamedTuple):
    """An image whose label is probably wrong: a row of `suspicious_labels.csv`."""

    id: str
    """The image."""
    label: str
    """The class that it is labelled as."""
    suggested: str
    """The most probable other class."""
    confidence: float
    """The probability of the suggested class, in [0, 1]."""
    split: str
    """Its split."""


@dataclass(frozen=True)
class HeldOut:
    """The images of all splits, each with the probabilities by a model that has not seen it."""

    ids: NDArray[np.str_]
    """(n,)."""
    splits: NDArray[np.str_]
    """(n,): `train`, `val` or `test`."""
    labels: NDArray[np.int32]
    """(n,)."""
    probabilities: NDArray[np.float32]
    """(n, classes)."""

    def write(self, path: Path) -> None:
        """Write all to a file, whole or not at all."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **vars(self))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        return cls(**read_arrays(path))


def find_suspicious(scored: HeldOut, names: Sequence[str]) -> list[SuspiciousLabel]:
    """Find the labels that are probably wrong, the most suspicious first.

    The thresholds of the classes come from train and validation alone. Wrong labels are counted for these and for test
    separately: one of the two may be clean.

    Args:
        scored: The images of all splits.
        names: The names of the classes.
    """
    is_test, labels = scored.splits == "test", scored.labels
    thresholds = class_thresholds(scored.probabilities[~is_test], labels[~is_test])
    # A class without images is no suggestion.
    probabilities = np.where(np.isfinite(thresholds), scored.probabilities, np.float32(0))
    confident, suggested = confident_classes(probabilities, thresholds), suggest_classes(probabilities, labels)
    found: list[tuple[float, int]] = []
    # A label of a class that has no other images cannot be judged.
    judged = np.isfinite(thresholds)[labels]
    for rows in map(np.flatnonzero, (judged & ~is_test, judged & is_test)):
        joint = confident_joint(labels[rows], confident[rows], len(names))
        wrong = count_wrong(joint, np.bincount(labels[rows], minlength=len(names)))
        ranked, shares = rank_suspicious(probabilities[rows], labels[rows], thresholds, wrong)
        found += zip(shares.tolist(), rows[ranked].tolist(), strict=True)
    return [
        SuspiciousLabel(
            str(scored.ids[row]),
            names[labels[row]],
            names[suggested[row]],
            float(probabilities[row, suggested[row]]),
            str(scored.splits[row]),
        )
        for _, row in sorted(found)
    ]


def format_suspicious(found: Sequence[SuspiciousLabel]) -> str:
    """Suspicious labels as CSV."""
    rows = (one._asdict() | {"confidence": f"{one.confidence:.4f}"} for one in found)
    return format_list(SuspiciousLabel._fields, (row.values() for row in rows))


def judge_conflicts(findings: Sequence[Finding], scored: HeldOut, names: Sequence[str]) -> list[Finding]:
    """Say which label is the likelier one where a pair of equal or nearly equal images has two.

    Where both images are in one split, the finding leaves out the one with the less likely label.

    Args:
        findings: All findings, in any order.
        scored: The images of all splits.
        names: The names of the classes.

    Returns:
        The findings in the same order.
    """
    rows = {key: row for row, key in enumerate(scored.ids.tolist())}
    labels = {name: label for label, name in enumerate(names)}

    def judge(finding: Finding) -> Finding:
        pair = [rows[key] for key in (finding.id, finding.other_id) if key in rows]
        if len(pair) < 2 or finding.label == finding.other_label:
            return finding
        # The model that scores test has seen the other image with its label.
        unseen = [row for row in pair if scored.splits[row] != "test"] or pair
        means = scored.probabilities[unseen].mean(axis=0)
        first, second = (float(means[labels[name]]) for name in (finding.label, finding.other_label))
        if first > second and finding.split == finding.other_split:
            finding, first, second = finding.swapped, second, first
        (high, likelier), (low, other) = sorted(
            [(first, finding.label), (second, finding.other_label)], key=lambda one: -one[0]
        )
        return finding._replace(likelier=likelier, note=f"probabilities: {likelier} {high:.2f}, {other} {low:.2f}")

    return list(map(judge, findings))
