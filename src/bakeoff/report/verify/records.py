"""Compare records with the stored predictions that their scores are of, and both with the shards."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bakeoff.data.batches import load_split
from bakeoff.data.shards import Dataset
from bakeoff.data.sources import SplitName
from bakeoff.deploy.bundle import read_labels
from bakeoff.errors import BundleError, OutputError
from bakeoff.report.verify.check import Check, Datasets, find_hash, format_value
from bakeoff.runs.config import Metric, read_run, run_id
from bakeoff.runs.folder import RunFolder, SplitScored, run_dir
from bakeoff.runs.metrics import Metrics, score
from bakeoff.runs.predictions import Predictions, read_predictions
from bakeoff.runs.record import RunRecord, State

__all__ = ["check_labels", "verify_data", "verify_records"]


def verify_records(out: Path, records: Sequence[RunRecord], datasets: Datasets | None = None) -> Iterator[Check]:
    """Compare every record with its config, its id, and the images and scores of its saved logits.

    Args:
        out: The study's folder.
        records: Its runs.
        datasets: The data of each run; with them, the images and labels saved with the logits, and the names of classes
            in the folders of runs, are compared with the shards.

    Raises:
        OutputError: A config cannot be read.
        DataError: A shard is damaged.
    """
    truth = _Truth()
    for record in records:
        folder, where = run_dir(out, record.id), f"runs/{record.id}/record.json"
        yield Check(f"{where}: id", record.id, run_id(record.config, record.data.fingerprint, record.weights.hash))
        same = read_run(RunFolder(folder).config) == record.config
        written = "as in config.json" if same else "different from config.json"
        yield Check(f"{where}: config", written, "as in config.json")
        if datasets and RunFolder(folder).labels.is_file():
            yield from check_labels(folder, f"runs/{record.id}/labels.json", datasets[record.id])
        scored: dict[SplitScored, Metrics | None] = {"val": record.val, "test": record.test}
        for name, metrics in scored.items():
            if metrics is None or record.state is not State.COMPLETE:
                continue
            try:
                predictions = read_predictions(folder, name)
            except OutputError as error:
                yield Check(f"{where}: {name}", "scored", f"cannot be computed: {error}")
                continue
            dataset = datasets[record.id] if datasets else None
            yield from _check_images(record, predictions, dataset, truth)
            yield from _check_scores(f"{where}: {name}", predictions, metrics, dataset)
        if record.test is not None:
            openings = _count_openings(RunFolder(folder).test_openings)
            yield Check(f"{where}: test.openings", str(record.test.openings), openings)


def verify_data(records: Sequence[RunRecord], datasets: Datasets) -> Iterator[Check]:
    """Compare the shards with their manifests, and with the fingerprints and numbers of images in the records.

    Args:
        records: The runs of the study.
        datasets: Their data.
    """
    for record in records:
        dataset, where = datasets[record.id], f"runs/{record.id}/record.json: data"
        yield Check(f"{where}.fingerprint", record.data.fingerprint, dataset.fingerprint)
        yield Check(f"{where}.counts", _format_counts(record.data.counts), _format_counts(dataset.counts))
    for folder, manifest in {dataset.folder: dataset.manifest for dataset in datasets.values()}.items():
        for split in manifest.splits.values():
            for file in split.files:
                yield Check(f"shard {folder.name}/{file.name}: sha256", file.sha256, find_hash(folder / file.name))


def check_labels(folder: Path, where: str, dataset: Dataset) -> Iterator[Check]:
    """Compare the names of classes in a folder's `labels.json`, called `where`, with those of the data."""
    try:
        labels = read_labels(folder)
    except BundleError as error:
        yield Check(where, "names of classes", f"not readable: {error}")
        return
    expected = {
        "classes": dataset.class_names,
        "superclasses": dataset.superclass_names,
        "superclass_of": dataset.superclass_of,
    }
    for name, value in expected.items():
        yield Check(f"{where}: {name}", format_value(getattr(labels, name)), format_value(value))


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in sorted(counts.items()))


def _count_openings(path: Path) -> str:
    """How often the test split was opened for a run, or why that is not known."""
    try:
        return str(len(path.read_bytes().splitlines()))
    except FileNotFoundError:
        return f"not known: {path.name} is absent"
    except OSError as error:
        return f"not known: {path.name} cannot be read ({error.strerror})"


class _Truth:
    """The images of splits with their labels, each split read once for all runs with the same data."""

    def __init__(self) -> None:
        self._read: dict[tuple[Path, str, SplitName, int | None], list[tuple[str, int]]] = {}

    def read(self, dataset: Dataset, split: SplitName, subset: int | None) -> list[tuple[str, int]]:
        """The id and the label of each image of a split, or of a stratified sample of so many."""
        key = dataset.folder, dataset.fingerprint, split, subset
        if key not in self._read:
            images = load_split(dataset, split, subset=subset, unlock=True)
            self._read[key] = list(zip(images.ids, images.labels.tolist(), strict=True))
        return self._read[key]


def _check_images(
    record: RunRecord, predictions: Predictions, dataset: Dataset | None, truth: _Truth
) -> Iterator[Check]:
    """Compare the images of saved logits with those that the config asks for, and their labels with the shards'."""
    config = record.config.train
    parts: dict[SplitName, int | None] = {"test": None} if predictions.split == "test" else {"val": config.val_images}
    if predictions.folds is not None:
        parts["train"] = config.subset
    file = f"{predictions.split}-logits.npz of {record.id}"
    counts = [(record.data.counts.get(split, 0), subset) for split, subset in parts.items()]
    expected = sum(count if subset is None else min(count, subset) for count, subset in counts)
    yield Check(f"{file}: images", f"{expected:,}", f"{len(predictions.labels):,}")
    if dataset is not None:
        true = [pair for split, subset in parts.items() for pair in truth.read(dataset, split, subset)]
        yield Check(
            f"{file}: labels",
            "0 differ from the shards'",
            f"{_count_differing(predictions, true):,} differ from the shards'",
        )


def _count_differing(predictions: Predictions, true: Sequence[tuple[str, int]]) -> int:
    """Count the images that are missing, that there are too many, or that have another label."""
    labels = predictions.labels.tolist()
    stored: Counter[Any]
    known: Counter[Any]
    if predictions.ids:
        stored, known = Counter(zip(predictions.ids, labels, strict=True)), Counter(true)
    else:  # early versions stored no ids; the order was the same
        stored, known = Counter(enumerate(labels)), Counter(enumerate(label for _, label in true))
    return max((stored - known).total(), (known - stored).total())


def _check_scores(where: str, predictions: Predictions, metrics: Metrics, dataset: Dataset | None) -> Iterator[Check]:
    computed = score(predictions.logits, predictions.labels, dataset.superclass_of if dataset else None)
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
            yield Check(f"{where}.{key}", format_value(getattr(metrics, key)), format_value(value))
