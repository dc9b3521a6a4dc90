"""The names of a run's classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bakeoff.data.shards import find_dataset
from bakeoff.files import read_json
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
    path = out / "bundle" / "labels.json"
    try:
        facts = read_json(path)
        names, supers, of = facts["classes"], facts["superclasses"], facts["superclass_of"]
    except (OSError, ValueError, KeyError, TypeError):
        # The bundle is absent or damaged (other commands report that); the shards have the names, too.
        dataset = find_dataset(record.data.fingerprint, record.view.classes, record.view.seed, record.view.fit)
        if dataset is None:
            return Classes(tuple(map(str, range(count))))
        names, supers, of = dataset.class_names, dataset.superclass_names, dataset.superclass_of
    if len(names) != count:
        return Classes(tuple(map(str, range(count))))
    return Classes(_format_names(names), _format_names([supers[group] for group in of]) if supers and of else ())


def _format_names(names: Sequence[str]) -> tuple[str, ...]:
    """As they are shown: on one line, with spaces for the underscores of folder names."""
    return tuple(isolated(printable(name.replace("_", " "))) for name in names)
