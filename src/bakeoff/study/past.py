"""What searches have found on this machine, kept in the cache: the next search on similar data tries it first.

A recipe of the past is a first trial, which has to win on the new data as any other; nothing is concluded from it.
Nothing of it leaves the machine, and no name of data or classes is in it.
"""

import logging
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from bakeoff.data.look import measure_look
from bakeoff.data.shards import Dataset
from bakeoff.errors import OutputError
from bakeoff.files import cache_dir, make_dir, read_json, write_json
from bakeoff.locks import waiting_for
from bakeoff.runs.config import Run
from bakeoff.runs.facts import Facts
from bakeoff.runs.findings import Difference, SearchResult
from bakeoff.study.space import Space

__all__ = ["DataTraits", "FirstTrial", "Memory", "PastRecipe", "choose_first", "recall", "remember"]

# Searches that are kept, the newest; each takes about 0.6 kB.
KEPT = 200
# So many past searches are looked at: the nearest ones of the network.
NEAREST = 2
# Data that are further apart tell nothing about each other.
MAX_DISTANCE = 8.0
# A share from 0 to 1 counts like so many doublings.
DOUBLINGS_PER_SHARE = 4.0
FORMAT = 1

_log = logging.getLogger("bakeoff")


class DataTraits(Facts):
    """What is known about a data set that may matter for a recipe."""

    images: int
    """Training images."""
    classes: int
    """Number of classes."""
    side: int
    """Side of the stored images in pixels."""
    imbalance: float
    """Training images of the largest class over those of the smallest."""
    flat: float
    """Of pixels and their right neighbours in training images, the share that are equal: most in drawings."""
    grey: float
    """Of training images, the share without colour."""

    def distance(self, other: "DataTraits") -> float:
        """How far two data sets are apart, in doublings: of images, classes, side and imbalance; all are added up.

        Each of the two shares of what images look like counts up to DOUBLINGS_PER_SHARE.
        """
        numbers = ((each.images, each.classes, each.side, each.imbalance) for each in (self, other))
        doublings = sum(abs(math.log2(max(mine, 1) / max(its, 1))) for mine, its in zip(*numbers, strict=True))
        shares = abs(self.flat - other.flat) + abs(self.grey - other.grey)
        return doublings + DOUBLINGS_PER_SHARE * shares


class PastRecipe(Facts):
    """What won in a search."""

    network: str
    """Its network, without the input size."""
    about: DataTraits
    """Its data."""
    changes: dict[str, bool | int | float | str] = {}
    """The values by key that differ from the recipe that it began with; none if that one won."""
    gain: Difference | None = None
    """By how much it was better, with another seed; None if nothing else was as good in the search."""
    trial_seconds: float
    """Training seconds of a trial."""
    date: str
    """The day on which it ended, in ISO 8601."""


class Memory(Facts):
    """What a study knows of earlier ones, as it was when the study was planned."""

    about: DataTraits
    """The data of the study."""
    past: tuple[PastRecipe, ...] = ()
    """For each network that may be searched the nearest past searches, the nearest first."""
    keeps: bool = True
    """Whether what the study finds is kept: not if it began with a recipe of the user."""


class FirstTrial(Facts):
    """A trial with which a search begins."""

    values: dict[str, bool | int | float | str]
    """By the names of the space's parameters."""
    changes: dict[str, bool | int | float | str]
    """By key, where they differ from the base recipe."""
    past: PastRecipe
    """The search in which they won."""


class _Kept(PastRecipe):
    """A search in the store."""

    data: str
    """The fingerprint of its data. A new search of the same network on them replaces it."""


class _Store(Facts):
    format: int = FORMAT
    searches: tuple[_Kept, ...] = ()
    """The oldest first."""


def recall(dataset: Dataset, networks: Iterable[str], *, keeps: bool = True) -> Memory:
    """What won in the searches of these networks whose data are nearest to some data.

    Args:
        dataset: The data of the study that is planned.
        networks: The names of networks that it may search.
        keeps: Whether what the study finds is to be kept.

    Raises:
        DataError: A shard is damaged.
    """
    look = measure_look(dataset)
    about = DataTraits(
        images=dataset.counts["train"],
        classes=len(dataset.class_names),
        side=dataset.side,
        imbalance=round(dataset.imbalance, 2),
        flat=look.flat,
        grey=look.grey,
    )
    searches = _read().searches
    past: list[PastRecipe] = []
    for network in dict.fromkeys(networks):
        # Of those that are equally near, the newest.
        of_network = [each for each in reversed(searches) if each.network == network]
        near = [each for each in of_network if about.distance(each.about) <= MAX_DISTANCE]
        near.sort(key=lambda each: about.distance(each.about))
        past += [PastRecipe(**each.model_dump(exclude={"data"})) for each in near[:NEAREST]]
    return Memory(about=about, past=tuple(past), keeps=keeps)


def choose_first(memory: Memory | None, base: Run, space: Space) -> tuple[FirstTrial, ...]:
    """The trials with which a search begins: what won in the nearest searches of the network.

    Values that the space does not have are left out.
    """
    found: list[FirstTrial] = []
    for recipe in memory.past if memory else ():
        if recipe.network != base.model.name or not recipe.changes:
            continue
        values, changes = space.adopt(base, recipe.changes)
        if changes and all(values != other.values for other in found):
            found.append(FirstTrial(values=values, changes=changes, past=recipe))
    return tuple(found)


def remember(memory: Memory | None, data: str, base: Run, found: SearchResult) -> None:
    """Keep what a search found, unless it is not to be kept. If the cache cannot be written, that is logged.

    Args:
        memory: What the search knew; None: nothing is kept.
        data: The fingerprint of its data.
        base: The recipe that its trials began with.
        found: Its result.
    """
    if memory is None or not memory.keeps:
        return
    new = _Kept(
        network=base.model.name,
        about=memory.about,
        changes=found.chosen,
        gain=found.difference if found.kept else None,
        trial_seconds=base.train.seconds or 0.0,
        date=datetime.now(UTC).date().isoformat(),
        data=data,
    )
    try:
        folder = make_dir(_path().parent)
        with waiting_for(folder):  # studies may run side by side
            others = [each for each in _read().searches if (each.data, each.network) != (data, new.network)]
            store = _Store(searches=(*others, new)[-KEPT:])
            write_json(_path(), store.model_dump(mode="json"))
    except OutputError as error:
        _log.warning("what the search found is not kept for later searches: %s", error)


def _read() -> _Store:
    path = _path()
    if not path.is_file():
        return _Store()
    try:
        raw = read_json(path)
        if raw.get("format") != FORMAT:
            _log.warning("%s is of another version of bakeoff, so earlier searches are not used", path)
            return _Store()
        return _Store.model_validate(raw)
    except (OSError, ValueError, AttributeError, ValidationError):
        _log.warning("%s is damaged, so earlier searches are not used", path)
        return _Store()


def _path() -> Path:
    return cache_dir() / "searches" / "searches.json"
