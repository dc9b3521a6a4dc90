"""The names of a run's classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bakeoff.data.shards import find_dataset
from bakeoff.deploy.bundle import read_labels
from bakeoff.errors import BundleError
from bakeoff.runs.record import RunRecord
from bakeoff.text import isolated, printable

__all__ = ["Classes", "read_classes"]


@dataclass(frozen=True)
class Classes:
    """The names of classes, by label."""

    names: tuple[str, ...]
    superclasses: tuple[str, ...] = ()
    """The superclass of each class; empty if the data has none."""


def read_classes(out: Path, record: RunRecord, count: int) -> Classes:
    """Read the names of a run's classes from the study's bundle, or from the shards; without both they are numbers.

    Args:
        out: The study's folder.
        record: The run, which names its data.
        count: The number of classes that the run predicts.
    """
    try:
        labels = read_labels(out / "bundle")
        names, groups = labels.classes, [labels.superclass(label) for label in range(len(labels.classes))]
    except (BundleError, IndexError):
        # The bundle is absent or damaged (other commands report that); the shards have the names, too.
        dataset = find_dataset(record.data.fingerprint, record.view.classes, record.view.seed, record.view.fit)
        if dataset is None:
            return Classes(tuple(map(str, range(count))))
        supers, of = dataset.superclass_names, dataset.superclass_of
        names, groups = dataset.class_names, [supers[group] for group in of] if supers and of else []
    if len(names) != count:
        return Classes(tuple(map(str, range(count))))
    return Classes(_format_names(names), _format_names([group for group in groups if group is not None]))


def _format_names(names: Sequence[str]) -> tuple[str, ...]:
    """As they are shown: on one line, with spaces for the underscores of folder names."""
    return tuple(isolated(printable(name.replace("_", " "))) for name in names)
