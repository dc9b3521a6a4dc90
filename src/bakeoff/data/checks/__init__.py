"""Checks of a data set before anything is trained on it. Nothing is deleted.

findings.py         the findings as a CSV, which people edit and `--exclude` reads
near_duplicates.py  images that are nearly the same: candidates by thumbnail, then a comparison of gradients
leaks.py            validation and test images with a near-duplicate in training
examine.py          all checks over all splits

    findings = examine(dataset)
    write_findings(Path("findings.csv"), findings)
"""

from bakeoff.data.checks.examine import examine, load_all
from bakeoff.data.checks.findings import Finding, FindingKind, note_excluded, read_excluded, write_findings
from bakeoff.data.checks.leaks import Leaks, find_leaks, read_leaks, warn_of_leaks
from bakeoff.data.checks.near_duplicates import (
    MIN_SIDE_PIXELS,
    NearDuplicate,
    find_near_duplicates,
)

__all__ = [
    "MIN_SIDE_PIXELS",
    "Finding",
    "FindingKind",
    "Leaks",
    "NearDuplicate",
    "examine",
    "find_leaks",
    "find_near_duplicates",
    "load_all",
    "note_excluded",
    "read_excluded",
    "read_leaks",
    "warn_of_leaks",
    "write_findings",
]
