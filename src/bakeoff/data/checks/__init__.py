"""The data doctor: what is wrong with images and labels before anything is trained on them. It deletes nothing.

twins.py     images that are nearly the same: by their thumbnails, then pixel by pixel
findings.py  what was found, as a table that `--exclude` reads back
examine.py   all checks over all splits

findings = examine(dataset)
write_findings(Path("findings.csv"), findings)
"""

from bakeoff.data.checks.examine import examine, find_leaks, load_all
from bakeoff.data.checks.findings import Finding, Kind, read_excluded, write_findings
from bakeoff.data.checks.near_duplicates import LEAST_SIDE, NearDuplicate, find_near_duplicates, have_near_duplicates

__all__ = [
    "LEAST_SIDE",
    "Finding",
    "Kind",
    "NearDuplicate",
    "examine",
    "find_leaks",
    "find_near_duplicates",
    "have_near_duplicates",
    "load_all",
    "read_excluded",
    "write_findings",
]
