"""The names of a run's classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from bakeoff.data.shards import find_dataset
from bakeoff.deploy.bundle import Labels, read_facts, read_labels
from bakeoff.errors import BundleError, OutputError
from bakeoff.report.bundled import list_bundles
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import RunRecord, read_record
from bakeoff.text import isolated, printable

__all__ = ["Classes", "read_classes"]


@dataclass(frozen=True)
class Classes:
    """The names of classes, by label."""

    names: tuple[str, ...]
    superclasses: tuple[str, ...] = ()
    """The superclass of each class; empty if the data has none."""


def read_classes(out: Path, record: RunRecord, count: int) -> Classes:
    """Read the names of a run's classes from a bundle of the same data, or the shards; without both they are numbers.

    Args:
        out: The study's folder.
        record: The run, which names its data.
        count: The number of classes that the run predicts.
    """
    for classes in chain(_read_bundles(out, record), _read_shards(record)):
        if len(classes.names) == count:
            return classes
    return Classes(tuple(map(str, range(count))))


def _read_bundles(out: Path, record: RunRecord) -> Iterator[Classes]:
    """The names in each bundle whose run has learned the same images with the same classes."""
    for folder in list_bundles(out):
        try:
            run = read_facts(folder).run
            of_run = record if run == record.id else read_record(run_dir(out, run))
            if of_run.data.fingerprint == record.data.fingerprint:
                yield _format(read_labels(folder))
        except (BundleError, OutputError, IndexError):
            continue  # The bundle is damaged, or its run was deleted: other commands report that.


def _read_shards(record: RunRecord) -> Iterator[Classes]:
    """The names in the shards, if they are in the cache."""
    view = record.view
    dataset = find_dataset(record.data.fingerprint, view.classes, view.seed, view.fit)
    if dataset is not None:
        names, of = dataset.superclass_names, dataset.superclass_of
        yield _format(Labels(classes=dataset.class_names, superclasses=names, superclass_of=of))


def _format(labels: Labels) -> Classes:
    groups = [labels.superclass(label) for label in range(len(labels.classes))]
    return Classes(_format_names(labels.classes), _format_names([group for group in groups if group is not None]))


def _format_names(names: Sequence[str]) -> tuple[str, ...]:
    """As they are shown: on one line, with spaces for the underscores of folder names."""
    return tuple(isolated(printable(name.replace("_", " "))) for name in names)
