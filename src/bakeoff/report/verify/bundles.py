"""Check the bundles of a study: the hashes of their files, what they say of themselves, and what they predict."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import load_split
from bakeoff.data.shards import Dataset
from bakeoff.deploy.bundle import MODEL_NAMES, Bundle, Floats, Scores, missing_modules, open_bundle, read_facts
from bakeoff.errors import BundleError, ConfigError
from bakeoff.report.bundled import explain_other, list_bundles
from bakeoff.report.verify.bundle_facts import MadeBundle, check_coverage, check_facts, check_view, read_made
from bakeoff.report.verify.check import Check, Datasets, OnCount, find_hash, make_note
from bakeoff.runs.agreement import choose_tolerance, describe_difference
from bakeoff.runs.folder import SplitScored
from bakeoff.runs.predictions import Predictions
from bakeoff.runs.record import RunRecord
from bakeoff.runs.selective import trace_probabilities
from bakeoff.runs.shipped import find_shipped
from bakeoff.runs.study_file import read_study
from bakeoff.text import counted

__all__ = ["verify_bundles"]

_BATCH = 256


class _Answers(NamedTuple):
    """What a bundle predicts for some images."""

    ids: list[str]
    labels: NDArray[np.int32]
    probabilities: Floats
    """(n, classes)."""


_Predict = Callable[[SplitScored, int | None], _Answers]
"""Let a bundle predict a split, or a stratified sample of so many of its images."""


def verify_bundles(
    out: Path,
    records: Sequence[RunRecord],
    datasets: Datasets | None = None,
    on_progress: OnCount = lambda _doing, _done, _total: None,
) -> Iterator[Check]:
    """Check every bundle of a study.

    A bundle that is not quantised must predict what its run stored, image by image: for the test split if that was
    opened, else for validation. A quantised bundle must have the validation accuracy that it states.

    Args:
        out: The study's folder.
        records: Its runs.
        datasets: The data of each run; without them no bundle predicts.
        on_progress: Called with a description, the images done, and all images.

    Yields:
        A check for each hash, each fact and each split that was predicted, and notes on what could not be checked.

    Raises:
        BundleError: A `bundle.json` is damaged.
        DataError: A shard is damaged.
    """
    by_id = {record.id: record for record in records}
    shipped = find_shipped(read_study(out), records)
    for folder in list_bundles(out):
        facts = read_facts(folder)
        for name, digest in facts.files.items():
            yield Check(f"{folder.name}/{name}: sha256", digest, find_hash(folder / name))
        if other := explain_other(folder, shipped.id) if shipped else "":
            yield make_note(folder.name, other)
        record = by_id.get(facts.run)
        if record is None:
            yield make_note(folder.name, f"its run {facts.run} is not in runs/, so only the hashes were compared")
            continue
        made = read_made(folder, facts, record)
        yield from check_facts(made)
        if datasets is None:
            continue
        dataset = datasets[record.id].at_input(facts.side)
        try:
            yield from check_view(made, dataset)
            if missing := missing_modules(facts.format):
                needed = " and ".join(missing)
                yield make_note(folder.name, f"{needed} is not installed, so its predictions were not compared")
            else:
                yield from _check_model(made, dataset, on_progress)
        except (BundleError, ConfigError) as error:
            yield Check(folder.name, "can be opened and predicts", str(error))


def _check_model(made: MadeBundle, dataset: Dataset, on_progress: OnCount) -> Iterator[Check]:
    """Let the bundle predict."""
    bundle, facts, tolerance = open_bundle(made.folder), made.facts, choose_tolerance(made.record)
    predict: _Predict = cache(lambda split, subset: _predict(bundle, dataset, split, subset, on_progress))
    if facts.val is not None:
        yield _check_accuracy(made, facts.val, predict("val", None), tolerance.differing)
    else:
        yield _compare_with_run(made, predict)
    if facts.threshold is not None and not facts.learned_val:
        found = predict("val", None)
        curve = trace_probabilities(found.probabilities, found.labels)
        near = tolerance.near_tie if facts.quantize else tolerance.mean_gap
        limit = facts.threshold.min_confidence
        yield check_coverage(f"{made.where}: threshold.val", facts.threshold.val, curve, limit, near)


def _predict(
    bundle: Bundle, dataset: Dataset, split: SplitScored, subset: int | None, on_progress: OnCount
) -> _Answers:
    images = load_split(dataset, split, subset=subset, unlock=True)
    probabilities = []
    for start in range(0, len(images), _BATCH):
        try:
            probabilities.append(bundle.probabilities(images.images[start : start + _BATCH]))
        except MemoryError:
            raise
        except Exception as error:  # each runtime has exceptions of its own
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise BundleError(
                f"{bundle.folder} cannot predict images of {dataset.side} pixels ({reason}); export it again"
            ) from error
        on_progress(f"{bundle.folder.name} on the {split} split", min(start + _BATCH, len(images)), len(images))
    return _Answers(images.ids, images.labels, np.concatenate(probabilities))


def _check_accuracy(made: MadeBundle, stated: Scores, found: _Answers, differing: float) -> Check:
    """Compare the accuracy of a quantised bundle on validation, up to a share of images that may differ."""
    images, right = len(found.labels), int((found.probabilities.argmax(axis=1) == found.labels).sum())
    stated_right = round(stated.top1 * stated.images)
    written = f"{stated_right:,} of {stated.images:,} right"
    holds = stated.images == images and abs(right - stated_right) <= differing * images
    where = f"{_name_model(made)}: predictions on {counted(images, 'validation image')}"
    return Check(where, written, written if holds else f"{right:,} of {images:,} right")


def _compare_with_run(made: MadeBundle, predict: _Predict) -> Check:
    """Compare the predictions of a bundle with those that its run stored, image by image."""
    stored = made.stored.get("test")
    if stored is None and not made.record.refit_of:
        stored = made.stored.get("val")
    if stored is None or stored.folds is not None:
        return make_note(made.folder.name, "its run stored no predictions of this model, so they were not compared")
    found = predict(stored.split, made.record.config.train.val_images if stored.split == "val" else None)
    logits: Floats = np.float32(made.temperature) * np.log(np.maximum(found.probabilities, np.finfo(np.float32).tiny))
    # Above a temperature of 1 the run's own softmax is the sharper one, which magnifies what rounding changes.
    flat = np.float32(max(1.0, made.temperature))
    computed = Predictions(logits / flat, found.labels, found.ids, stored.split)
    difference = describe_difference(made.record, replace(stored, logits=stored.logits / flat), computed)
    agree = f"as in {stored.split}-logits.npz"
    where = f"{_name_model(made)}: predictions on {counted(len(found.ids), f'{stored.split_name} image')}"
    return Check(where, agree, difference or agree)


def _name_model(made: MadeBundle) -> str:
    return f"{made.folder.name}/{MODEL_NAMES[made.facts.format]}"
