"""Recompute every number of a study from its files, and compare; nothing is written.

check.py         a value in a file, beside the same value recomputed
records.py       records and scores by the stored predictions, and these by the shards
views.py         board, report and study.json by the records
models.py        every model by its hash, and what it predicts by what is stored
bundle_facts.py  what bundle.json and labels.json say, by the run and its data
bundles.py       every bundle by its hashes, and what it predicts by what is stored

    checks = [*verify_records(out, records, datasets), *verify_views(out), *verify_data(records, datasets)]
    broken = [check for check in checks if not check.matches]
"""

from bakeoff.report.verify.bundles import verify_bundles
from bakeoff.report.verify.check import Check, Datasets
from bakeoff.report.verify.models import verify_models
from bakeoff.report.verify.records import verify_data, verify_records
from bakeoff.report.verify.views import verify_views

__all__ = ["Check", "Datasets", "verify_bundles", "verify_data", "verify_models", "verify_records", "verify_views"]
