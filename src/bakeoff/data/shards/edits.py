"""What a person has decided about the images of a source, after looking at them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bakeoff.data.shards.classes import find_class
from bakeoff.data.sources import Source
from bakeoff.errors import DataError, suggest
from bakeoff.text import comparable, counted, printable

__all__ = ["NO_EDITS", "Edits", "check_excluded", "check_relabelled", "find_labels", "find_reasons"]


@dataclass(frozen=True)
class Edits:
    """Images to leave out, and images that get another label. Ids may have any form of `text.comparable`."""

    excluded: Mapping[str, str] = field(default_factory=dict)
    """The reason by image id."""
    relabelled: Mapping[str, str] = field(default_factory=dict)
    """The name of the new class by image id."""


NO_EDITS = Edits()


def find_reasons(edits: Edits) -> dict[str, str]:
    """Why each image is left out that is, by the comparable form of its id."""
    return {comparable(key): reason for key, reason in edits.excluded.items()}


def check_excluded(source: Source, edits: Edits, keys: Iterable[str]) -> None:
    """Raise DataError if there are images to leave out, and none of them is among those that are left out."""
    if edits.excluded and find_reasons(edits).keys().isdisjoint(map(comparable, keys)):
        raise DataError(
            f"{source.name} has no image for any of {counted(len(edits.excluded), 'id')} to exclude, such as"
            f" {next(iter(edits.excluded))!r}; give the list that `bakeoff data check` wrote about these images"
        )


def find_labels(source: Source, edits: Edits) -> dict[str, int]:
    """The new label of each image that gets one, by the comparable form of its id.

    Raises DataError for a class that the source does not have.
    """
    labels: dict[str, int] = {}
    for name in dict.fromkeys(edits.relabelled.values()):
        label = find_class(name, source.class_names)
        if label is None:
            raise DataError(_describe_unknown(source, name, edits))
        labels[name] = label
    return {comparable(key): labels[name] for key, name in edits.relabelled.items()}


def check_relabelled(source: Source, edits: Edits, keys: Iterable[str]) -> None:
    """Raise DataError if an image that is to get another label is not among those of the source."""
    if not edits.relabelled:
        return
    known = set(map(comparable, keys))
    if unknown := [key for key in edits.relabelled if comparable(key) not in known]:
        raise DataError(
            f"--relabel: {source.name} has no image for {len(unknown):,} of its {counted(len(edits.relabelled), 'id')},"
            f" such as {unknown[0]!r}; delete these rows, or give the list that `bakeoff data check` wrote about these"
            " images"
        )


def _describe_unknown(source: Source, name: str, edits: Edits) -> str:
    key = next(key for key, suggested in edits.relabelled.items() if suggested == name)
    if find_class(name, source.coarse_names or ()) is not None:
        hint = "it is a superclass: run `bakeoff data check` without --classes coarse"
    else:
        names = [printable(one) for one in source.class_names]
        hint = suggest(name, names, f"the first are {', '.join(names[:5])}")
    return f"--relabel: {source.name} has no class {printable(name)!r}, which is to be the label of {key}; {hint}"
