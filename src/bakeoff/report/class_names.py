"""What a run's classes are called."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bakeoff.data.shards import find_dataset
from bakeoff.files import read_json
from bakeoff.runs.record import RunRecord

__all__ = ["Classes", "read_classes"]


@dataclass(frozen=True)
class Classes:
    """Names by label; superclasses where there are any."""

    names: tuple[str, ...]
    groups: tuple[str, ...] = ()
    """The superclass of each class."""


def read_classes(out: Path, record: RunRecord, count: int) -> Classes:
    """The names of a run's `count` classes: from the study's bundle, else from the shards, else they are numbers."""
    path = out / "bundle" / "labels.json"
    try:
        facts = read_json(path)
        names, supers, of = facts["classes"], facts["superclasses"], facts["superclass_of"]
    except (OSError, ValueError, KeyError, TypeError):
        # No bundle, or none that can be read: whoever opens it is told so, and names are to be had elsewhere.
        dataset = find_dataset(record.data.fingerprint, record.config.data.classes, record.config.data.seed)
        if dataset is None:
            return Classes(tuple(map(str, range(count))))
        names, supers, of = dataset.class_names, dataset.superclass_names, dataset.superclass_of
    if len(names) != count:
        return Classes(tuple(map(str, range(count))))
    return Classes(_show(names), _show([supers[group] for group in of]) if supers and of else ())


def _show(names: Sequence[str]) -> tuple[str, ...]:
    """As people write them."""
    return tuple(name.replace("_", " ") for name in names)
