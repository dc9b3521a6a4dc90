"""Recompute every number of a study from its files, and compare; nothing is written.

Scores are recomputed from the saved logits, the board and the report from the records, and differences from the logits.
Bundles are checked by the hashes of their files and by their predictions: on the test split, or on validation if the
bundle is quantised.

checks = [*verify_records(out), *verify_views(out), *verify_bundles(out, dataset)]
broken = [check for check in checks if not check.matches]
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import Split, load_split
from bakeoff.data.shards import Dataset, open_dataset
from bakeoff.deploy.bundle import MODEL_NAMES, Bundle, missing_modules, open_bundle, read_facts
from bakeoff.errors import BakeoffError, OutputError
from bakeoff.files import hash_file
from bakeoff.report.board import Row, format_csv, rank
from bakeoff.report.page import render_report
from bakeoff.report.page_text import read_page_text
from bakeoff.report.winner import choose_winner
from bakeoff.runs.agreement import choose_tolerance, count_differing
from bakeoff.runs.calibration import softmax
from bakeoff.runs.config import Metric, read_run, run_id
from bakeoff.runs.folder import RunFolder, SplitScored, run_dir
from bakeoff.runs.metrics import Metrics, score
from bakeoff.runs.paired import compare, pair_by_seed
from bakeoff.runs.predictions import has_predictions, read_predictions
from bakeoff.runs.record import RunRecord, State, list_records, read_record
from bakeoff.runs.study_file import read_study
from bakeoff.text import counted

__all__ = ["Check", "OnCount", "find_hash", "verify_bundles", "verify_data", "verify_records", "verify_views"]

_BATCH = 256
OnCount = Callable[[str, int, int], None]


class Check(NamedTuple):
    """A value in a file, and the same value recomputed from the files that it was made from."""

    where: str
    """The file and the field."""
    written: str
    computed: str
    note: str = ""
    """What could not be checked, and why; the other fields then say nothing. Else empty."""

    @property
    def matches(self) -> bool:
        """Whether the written and the recomputed value are equal."""
        return self.written == self.computed


def find_hash(path: Path) -> str:
    """The SHA-256 of a file, or why it has none: it is absent, or cannot be read."""
    try:
        return hash_file(path)
    except FileNotFoundError:
        return "absent"
    except OSError as error:
        return f"not readable ({error.strerror})"


def verify_records(out: Path, dataset: Dataset | None = None) -> Iterator[Check]:
    """Compare every record with its config, its id and the scores of its saved logits.

    Args:
        out: The study's folder.
        dataset: The data of the study; with it, the labels saved with the logits are compared with the shards.

    Raises:
        OutputError: A record cannot be read.
    """
    superclass_of = dataset.superclass_of if dataset else None
    for record in list_records(out):
        folder, where = run_dir(out, record.id), f"runs/{record.id}/record.json"
        yield Check(f"{where}: id", record.id, run_id(record.config, record.data.fingerprint, record.weights.hash))
        same = read_run(RunFolder(folder).config) == record.config
        written = "as in config.json" if same else "different from config.json"
        yield Check(f"{where}: config", written, "as in config.json")
        scored: dict[SplitScored, Metrics | None] = {"val": record.val, "test": record.test}
        for name, metrics in scored.items():
            if metrics is not None and record.state is State.COMPLETE:
                yield from _check_scores(folder, f"{where}: {name}", name, metrics, dataset, superclass_of)
        if record.test is not None:
            openings = _count_openings(RunFolder(folder).test_openings)
            yield Check(f"{where}: test.openings", str(record.test.openings), openings)


def verify_views(out: Path) -> Iterator[Check]:
    """Compare `board.csv`, `report.html` and the differences in `study.json` with the records."""
    records = list_records(out)
    if (out / "board.csv").is_file():
        yield from _compare_boards(_read(out / "board.csv"), format_csv(rank(records, out=out)))
    if (out / "report.html").is_file():
        yield from _compare_pages(read_page_text(_read(out / "report.html")), read_page_text(render_report(out)))
    yield from _check_differences(out)


def verify_data(shards: Path, records: list[RunRecord]) -> Iterator[Check]:
    """Compare the shards with their manifest, and with the data fingerprints of the runs.

    Args:
        shards: The folder of prepared data.
        records: The runs of the study.
    """
    for record in records:
        dataset = open_dataset(shards, record.view.classes, record.view.seed, record.view.fit)
        where = f"runs/{record.id}/record.json: data.fingerprint"
        yield Check(where, record.data.fingerprint, dataset.fingerprint)
    for split in open_dataset(shards).manifest.splits.values():
        for file in split.files:
            yield Check(f"shard {file.name}: sha256", file.sha256, find_hash(shards / file.name))


def verify_bundles(out: Path, dataset: Dataset, on_progress: OnCount | None = None) -> Iterator[Check]:
    """Verify every bundle of a study: the hashes of its files, and its predictions if its runtime is installed.

    A bundle with the run's precision must predict the classes that the run predicted on the test split, image by
    image; where two classes were almost equally probable, either. A quantised bundle must have the validation accuracy
    that it states.

    Args:
        out: The study's folder.
        dataset: The data of the study.
        on_progress: Called with a description, the images done, and all images.
    """
    for path in sorted(out.glob("bundle*/bundle.json")):
        folder, facts = path.parent, read_facts(path.parent)
        for name, digest in facts.files.items():
            yield Check(f"{folder.name}/{name}: sha256", digest, find_hash(folder / name))
        if not missing_modules(facts.format):
            yield from _verify_predictions(folder, run_dir(out, facts.run), dataset, on_progress)


def _verify_predictions(folder: Path, run: Path, dataset: Dataset, on_progress: OnCount | None) -> Iterator[Check]:
    try:
        bundle = open_bundle(folder)
    except BakeoffError as error:
        yield Check(folder.name, "can be opened", str(error))
        return
    stated, tolerance = bundle.facts.val, choose_tolerance(read_record(run))
    if stated is not None:
        name, split = "val", load_split(dataset, "val")
        hits = int((_predict(bundle, split, name, on_progress) == split.labels).sum())
        differing, source = abs(hits - round(stated.top1 * stated.images)), "bundle.json"
    elif has_predictions(run, "test"):
        name, split = "test", load_split(dataset, "test", unlock=True)
        recorded = softmax(read_predictions(run, "test").logits.astype(np.float32))
        predicted = _predict(bundle, split, name, on_progress)
        same = len(recorded) == len(split)
        differing = count_differing(recorded, predicted, tolerance.near_tie) if same else len(split)
        source = RunFolder(run).predictions("test").name
    else:
        return
    agree = f"as in {source}"
    where = f"{folder.name}/{MODEL_NAMES[bundle.facts.format]}: predictions on {counted(len(split), f'{name} image')}"
    yield Check(where, agree, agree if differing <= tolerance.differing * len(split) else f"{differing:,} differ")


def _predict(bundle: Bundle, split: Split, name: str, on_progress: OnCount | None) -> NDArray[np.intp]:
    """The most probable class of each image of a split."""
    predicted = []
    for start in range(0, len(split), _BATCH):
        predicted.append(bundle.probabilities(split.images[start : start + _BATCH]).argmax(axis=1))
        if on_progress:
            on_progress(f"{bundle.folder.name} on the {name} split", min(start + _BATCH, len(split)), len(split))
    return np.concatenate(predicted)


def _count_openings(path: Path) -> str:
    """How often the test split was opened for a run, or why that is not known."""
    try:
        return str(len(path.read_bytes().splitlines()))
    except FileNotFoundError:
        return f"not known: {path.name} is absent"
    except OSError as error:
        return f"not known: {path.name} cannot be read ({error.strerror})"


def _check_scores(
    folder: Path, where: str, name: SplitScored, metrics: Metrics, dataset: Dataset | None, superclass_of: Any
) -> Iterator[Check]:
    path = RunFolder(folder).predictions(name)
    try:
        predictions = read_predictions(folder, name)
    except OutputError as error:
        yield Check(where, "scored", f"cannot be computed: {error}")
        return
    computed = score(predictions.logits, predictions.labels, superclass_of)
    if metrics.log_loss_ci95 is None:
        # Written by a version that had neither AUROC nor intervals of other metrics than top-1.
        added = [f"{metric.field}_ci95" for metric in Metric if metric is not Metric.TOP1]
        computed = computed.model_copy(update=dict.fromkeys(["auroc", *added]))
    if metrics.balanced_accuracy is None:
        # Written by a version that counted an absent class as an F1 of 0, and had no balanced accuracy.
        share = 1 - len(computed.absent) / predictions.classes
        older = {"macro_f1": computed.macro_f1 * share, "balanced_accuracy": None, "absent": ()}
        computed = computed.model_copy(update=older)
    for key, value in computed.model_dump().items():
        if key != "superclass_top1" or dataset is not None:
            yield Check(f"{where}.{key}", _format(getattr(metrics, key)), _format(value))
    if dataset is not None:
        true: dict[str, int] = {}
        for each in (name,) if predictions.folds is None else (name, "train"):
            split = load_split(dataset, each, unlock=True)
            true |= zip(split.ids, split.labels.tolist(), strict=True)
        labels = zip(predictions.ids, predictions.labels.tolist(), strict=True)
        wrong = sum(true.get(key) != label for key, label in labels)
        yield Check(
            f"{path.name} of {folder.name}: labels", "0 differ from the shards'", f"{wrong:,} differ from the shards'"
        )


def _compare_boards(written: str, computed: str) -> Iterator[Check]:
    rows_written = csv.DictReader(io.StringIO(written))
    columns = set(rows_written.fieldnames or ())
    old = {row["id"]: row for row in rows_written}
    new = {row["id"]: row for row in csv.DictReader(io.StringIO(computed))}
    # What was added since version 0.1.0: an older board lacks it.
    added = tuple(name for name, field in Row.model_fields.items() if not field.is_required())
    for name in dict.fromkeys([*old, *new]):
        for column in dict.fromkeys([*new.get(name, {}), *old.get(name, {})]):
            if column.startswith(added) and column not in columns:
                continue
            cells = (str(rows.get(name, {}).get(column, "(no such row)")) for rows in (old, new))
            yield Check(f"board.csv: {column} of {name}", *cells)


def _compare_pages(written: Sequence[str], computed: Sequence[str]) -> Iterator[Check]:
    """Compare text by text, aligned so that an inserted text does not shift all texts after it."""
    for kind, first, last, start, end in SequenceMatcher(None, written, computed, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from (Check("report.html", text, text) for text in written[first:last])
        else:
            texts = (" ".join(part) or "(nothing)" for part in (written[first:last], computed[start:end]))
            yield Check(f"report.html, after {' '.join(written[:first])[-40:]!r}", *texts)


def _check_differences(out: Path) -> Iterator[Check]:
    study, records = read_study(out), list_records(out)
    by_id = {record.id: record for record in records}
    if study.winner is not None:
        chosen = choose_winner(out, records)
        for name, value in study.winner:
            yield Check(f"study.json: winner.{name}", value, str(getattr(chosen, name, "")))
    differences = []
    if study.found is not None and study.found.difference and study.found.before and study.found.after:
        differences.append(("found.difference", study.found.difference, study.found.before, study.found.after))
    if study.effects is not None:
        for effect in study.effects.effects:
            before = study.effects.base
            differences.append((f"effects: {effect.key} {effect.value}", effect.difference, before, effect.arm))
    for where, difference, before, after in differences:
        known = [[by_id[run] for run in arm.ids if run in by_id] for arm in (before, after)]
        first, second = ([record.id for record in arm] for arm in pair_by_seed(*known))
        written, computed = _format(difference.points), "cannot be computed: the records of its runs are missing"
        if len(second) == len(after.ids):
            computed = _format(compare(out, first, second, difference.metric).points)
        yield Check(f"study.json: {where}", written, computed)


def _format(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_format, value))
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"cannot read {path}: {error}; run the study again") from error
