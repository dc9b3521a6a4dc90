"""Checks of a data set before anything is trained on it. Nothing is deleted.

lists.py            the lists of a check as CSV files, which people edit
findings.py         the findings
edits.py            reads what people give back: `--exclude`, `--relabel`
deadline.py         when a search has to end
near_duplicates.py  images that are nearly the same: candidates by thumbnail, then a comparison of gradients
leaks.py            validation and test images with a near-duplicate in training
confident.py        confident learning: which labels are probably wrong
labels.py           suspicious labels; of a pair with two labels, the likelier one
alike.py            images of training and validation that belong in one fold of a cross-validation
examine.py          all checks over all splits

    findings = examine(dataset)
    write_lists({"findings.csv": format_findings(findings)}, Path("checked"), Path())
"""

from bakeoff.data.checks.alike import find_alike, keep_together
from bakeoff.data.checks.deadline import Deadline
from bakeoff.data.checks.edits import note_edits, read_edits, read_excluded, read_relabelled
from bakeoff.data.checks.examine import examine, load_all
from bakeoff.data.checks.findings import Finding, FindingKind, format_findings
from bakeoff.data.checks.labels import HeldOut, SuspiciousLabel, find_suspicious, format_suspicious, judge_conflicts
from bakeoff.data.checks.leaks import Leaks, find_leaks, find_like_validation, read_leaks, warn_of_leaks
from bakeoff.data.checks.lists import write_lists
from bakeoff.data.checks.near_duplicates import (
    MIN_SIDE_PIXELS,
    NearDuplicate,
    find_near_duplicates,
)

__all__ = [
    "MIN_SIDE_PIXELS",
    "Deadline",
    "Finding",
    "FindingKind",
    "HeldOut",
    "Leaks",
    "NearDuplicate",
    "SuspiciousLabel",
    "examine",
    "find_alike",
    "find_leaks",
    "find_like_validation",
    "find_near_duplicates",
    "find_suspicious",
    "format_findings",
    "format_suspicious",
    "judge_conflicts",
    "keep_together",
    "load_all",
    "note_edits",
    "read_edits",
    "read_excluded",
    "read_leaks",
    "read_relabelled",
    "warn_of_leaks",
    "write_lists",
]
