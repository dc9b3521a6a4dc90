"""The names of a run's classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from bakeoff.data.shards import find_dataset
from bakeoff.deploy.bundle import Labels, read_facts, read_labels
from bakeoff.errors import BundleError, OutputError
from bakeoff.files import write_json
from bakeoff.report.bundled import list_bundles
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.record import RunRecord, read_record
from bakeoff.text import isolated, printable

__all__ = ["Classes", "keep_classes", "read_classes"]


@dataclass(frozen=True)
class Classes:
    """The names of classes, by label."""

    names: tuple[str, ...]
    superclasses: tuple[str, ...] = ()
    """The superclass of each class; empty if the data has none."""
    are_known: bool = True
    """False: numbers stand for the names."""


def read_classes(out: Path, record: RunRecord, count: int) -> Classes:
    """Read the names of a run's classes; numbers stand for them if no file has them.

    They are in a bundle of the same data, in the run's folder if `keep_classes` wrote them, or in the shards.

    Args:
        out: The study's folder.
        record: The run, which names its data.
        count: The number of classes that the run predicts.
    """
    for classes in chain(_read_bundles(out, record), _read_folder(run_dir(out, record.id)), _read_shards(record)):
        if len(classes.names) == count:
            return classes
    return Classes(tuple(map(str, range(count))), are_known=False)


def keep_classes(out: Path, record: RunRecord) -> None:
    """Save the names of a run's classes in its folder, unless they are there: shards may be deleted, or stay behind.

    Raises OutputError if the file cannot be written.
    """
    path = RunFolder(run_dir(out, record.id)).labels
    labels = None if path.is_file() else _find_labels(record)
    if labels is not None:
        write_json(path, labels.model_dump(mode="json"))


def _read_bundles(out: Path, record: RunRecord) -> Iterator[Classes]:
    """The names in each bundle whose run has learned the same images with the same classes."""
    for folder in list_bundles(out):
        try:
            run = read_facts(folder).run
            of_run = record if run == record.id else read_record(run_dir(out, run))
        except (BundleError, OutputError):
            continue  # The bundle is damaged, or its run was deleted: other commands report that.
        if of_run.data.fingerprint == record.data.fingerprint:
            yield from _read_folder(folder)


def _read_folder(folder: Path) -> Iterator[Classes]:
    """The names in the `labels.json` of a folder; none if it is absent or damaged, which `bakeoff verify` reports."""
    try:
        classes = _format(read_labels(folder))
    except (BundleError, IndexError):
        return
    yield classes


def _read_shards(record: RunRecord) -> Iterator[Classes]:
    """The names in the shards, if they are in the cache."""
    labels = _find_labels(record)
    if labels is not None:
        yield _format(labels)


def _find_labels(record: RunRecord) -> Labels | None:
    """What `labels.json` holds, from the shards; None if these are not in the cache."""
    view = record.view
    dataset = find_dataset(record.data.fingerprint, view.classes, view.seed, view.fit)
    if dataset is None:
        return None
    names, of = dataset.superclass_names, dataset.superclass_of
    return Labels(classes=dataset.class_names, superclasses=names, superclass_of=of)


def _format(labels: Labels) -> Classes:
    groups = [labels.superclass(label) for label in range(len(labels.classes))]
    return Classes(_format_names(labels.classes), _format_names([group for group in groups if group is not None]))


def _format_names(names: Sequence[str]) -> tuple[str, ...]:
    """As they are shown: on one line, with spaces for the underscores of folder names."""
    return tuple(isolated(printable(name.replace("_", " "))) for name in names)
