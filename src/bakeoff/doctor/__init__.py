"""The data doctor: what is wrong with images and labels before anything is trained on them. It deletes nothing.

twins.py     images that are nearly the same: by their thumbnails, then pixel by pixel
findings.py  what was found, as a table that `--exclude` reads back
examine.py   all checks over all splits

findings = examine(dataset)
write_findings(Path("findings.csv"), findings)
"""

from bakeoff.doctor.examine import examine, find_leaks, load_all
from bakeoff.doctor.findings import Finding, Kind, read_excluded, write_findings
from bakeoff.doctor.twins import LEAST_SIDE, Twin, find_twins, have_twins

__all__ = [
    "LEAST_SIDE",
    "Finding",
    "Kind",
    "Twin",
    "examine",
    "find_leaks",
    "find_twins",
    "have_twins",
    "load_all",
    "read_excluded",
    "write_findings",
]
