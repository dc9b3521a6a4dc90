"""Compare what a bundle says of itself with its run: `bundle.json` and `labels.json`.

It is recomputed from the record and the stored predictions of the run. What was measured while the bundle was written
(parity, latency, memory) is not.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bakeoff.data.shards import Dataset
from bakeoff.deploy.bundle import BundleFacts, Calibration, Coverage
from bakeoff.deploy.temperature import calibrate
from bakeoff.errors import OutputError
from bakeoff.report.verify.check import Check, format_value, make_note
from bakeoff.report.verify.records import check_labels
from bakeoff.runs.folder import SPLITS_SCORED, SplitScored, run_dir
from bakeoff.runs.predictions import Predictions, read_predictions
from bakeoff.runs.record import RunRecord
from bakeoff.runs.selective import CoverageCurve, trace_predictions

__all__ = ["MadeBundle", "check_coverage", "check_facts", "check_view", "read_made"]

# The temperature and the calibration errors are computed in float32: other processors give other last digits.
_CLOSE = 1e-4
# A threshold is an image's confidence, rounded down to a millionth: an image that is nearer to it may count or not.
_NEAR_THRESHOLD = 2e-6


class MadeBundle(NamedTuple):
    """A bundle, and what it was made from."""

    folder: Path
    facts: BundleFacts
    record: RunRecord
    stored: dict[SplitScored, Predictions]
    """The predictions of its run; of a refit, those on validation are of the run whose recipe it repeats."""

    @property
    def where(self) -> str:
        """The file with the facts."""
        return f"{self.folder.name}/bundle.json"

    @property
    def temperature(self) -> float:
        """What the model divides its logits by."""
        return self.facts.calibration.temperature if self.facts.calibration else 1.0


def read_made(folder: Path, facts: BundleFacts, record: RunRecord) -> MadeBundle:
    """Read what a bundle in a study's folder was made from; predictions that are damaged count as absent."""
    stored: dict[SplitScored, Predictions] = {}
    for split in SPLITS_SCORED:
        source = record.refit_of if split == "val" and record.refit_of else record.id
        try:
            stored[split] = read_predictions(run_dir(folder.parent, source), split)
        except OutputError:
            continue  # there are none, or `verify_records` names what is wrong with them
    return MadeBundle(folder, facts, record, stored)


def check_facts(made: MadeBundle) -> Iterator[Check]:
    """Compare what follows from the record and the stored predictions of the run."""
    facts, record, where = made.facts, made.record, made.where
    expected = {"candidate": record.candidate, "fit": record.data.fit, "learned_val": record.config.train.with_val}
    for name, value in expected.items():
        yield Check(f"{where}: {name}", format_value(getattr(facts, name)), format_value(value))
    stored, opened_again = dict(made.stored), record.test is not None and record.test.openings > 1
    if opened_again and "test" in stored:
        del stored["test"]
        text = "figures on test were not compared: they may be of an earlier opening than the stored predictions"
        yield make_note(where, text)
    if facts.calibration is not None:
        yield from _check_calibration(f"{where}: calibration", facts.calibration, calibrate(stored, record.refit_of))
    if facts.threshold is not None:
        if (asked := facts.threshold.precision) is not None:
            least, reached = f"at least {asked:g}", facts.threshold.val.precision
            yield Check(
                f"{where}: threshold.val.precision", least, least if reached >= asked else format_value(reached)
            )
        # A refit has learned validation: its figures there are of the run that it repeats. Others are asked for theirs.
        coverages: dict[SplitScored, Coverage | None] = {
            "val": facts.threshold.val if facts.learned_val else None,
            "test": facts.threshold.test,
        }
        for split, coverage in coverages.items():
            if coverage is not None and split in stored:
                curve = trace_predictions(stored[split], made.temperature)
                limit = facts.threshold.min_confidence
                yield check_coverage(f"{where}: threshold.{split}", coverage, curve, limit, _NEAR_THRESHOLD)


def _check_calibration(where: str, written: Calibration, computed: Calibration | None) -> Iterator[Check]:
    """Compare the temperature and the errors; those on test only if they are known on both sides."""
    if computed is None:
        yield Check(where, "fitted", "cannot be computed: the predictions on validation are missing")
        return
    for name, value in written:
        again = getattr(computed, name)
        if name.startswith("test_") and None in (value, again):
            continue
        if isinstance(value, float) and math.isclose(value, again, rel_tol=_CLOSE, abs_tol=_CLOSE):
            again = value
        yield Check(f"{where}.{name}", format_value(value), format_value(again))


def check_view(made: MadeBundle, dataset: Dataset) -> Iterator[Check]:
    """Compare the images that the model takes, and its classes, with the data of the run."""
    yield Check(f"{made.where}: side", str(made.facts.side), str(dataset.side))
    yield from check_labels(made.folder, f"{made.folder.name}/labels.json", dataset)


def check_coverage(where: str, written: Coverage, curve: CoverageCurve, limit: float, near: float) -> Check:
    """Compare what a threshold lets through, where images whose confidence is this near to it may count or not."""
    least, now, most = (curve.at(limit + distance) for distance in (near, 0.0, -near))
    right = round(written.precision * written.answered)
    holds = (
        written.images == curve.images
        and least.answered <= written.answered <= most.answered
        and least.correct <= right <= most.correct
    )
    text = f"{written.answered:,} of {written.images:,} answered, {right:,} right"
    computed = f"{now.answered:,} of {now.images:,} answered, {now.correct:,} right"
    return Check(where, text, text if holds else computed)
