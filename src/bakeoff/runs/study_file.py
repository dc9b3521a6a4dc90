"""`study.json`: what a study is, what its stages spent, and why they dropped what they dropped.

The one description of the file. `StudyFile` reads it for views; `study.state.StudyState` adds the type of the plan, and
writes it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bakeoff.errors import OutputError
from bakeoff.files import read_json
from bakeoff.runs.config import Run
from bakeoff.runs.facts import Facts, name_first
from bakeoff.runs.findings import Effects, SearchResult
from bakeoff.runs.record import RunRecord, Stage

__all__ = [
    "STUDY_FILE",
    "AnyStudy",
    "Download",
    "Dropped",
    "LeftOut",
    "PlanRevision",
    "StageFacts",
    "StudyData",
    "StudyFile",
    "Winner",
    "read_study",
]

STUDY_FILE = "study.json"
SCHEMA = 1

PlanT = TypeVar("PlanT")


class LeftOut(Facts):
    """An image that could not be used, and why."""

    key: str
    """Its path, or its name in the archive."""
    reason: str
    """Why it could not be used."""


class StudyData(Facts):
    """The data of a study."""

    name: str
    """Name of the data."""
    counts: dict[str, int] = {}
    """Images by split."""
    classes: int = 0
    """Number of classes."""
    imbalance: float = 1.0
    """Training images of the largest class over those of the smallest; 1 in a file of a version that did not say."""
    fingerprint: str = ""
    """Hash of the images and labels, as in the records."""
    warnings: tuple[str, ...] = ()
    """Why scores on the data will mislead, one line each."""
    notes: tuple[str, ...] = ()
    """What was unusual about the data, one sentence each."""
    quarantined: tuple[LeftOut, ...] = ()
    """Images that were left out."""


class Dropped(Facts):
    """A run whose candidate does not continue, and why."""

    id: str
    """Id of the run."""
    why: str
    """The reason, in a sentence."""


class PlanRevision(Facts):
    """A change of the plan after something was measured."""

    at_seconds: float
    """Wall-clock seconds that the study had used."""
    step: str
    """What was changed: `candidates`, `size`, `race`, `downloads` or `tune`."""
    why: str
    """One sentence."""


class Winner(Facts):
    """What a study ended with."""

    confirmed: str
    """Id of the confirmed run that is best on validation."""
    shipped: str
    """Id of the run whose model is scored on test and exported: the same run, or its refit."""
    why: str = ""
    """Why this one, in a sentence or two, if there was a choice."""


class Download(Facts):
    """Weights that were downloaded during a study, or could not be."""

    network: str
    """Name of the network."""
    bytes: int
    """How many arrived."""
    seconds: float
    """How long it took."""
    why: str = ""
    """Why the file could not be had; empty if it arrived."""


class StageFacts(BaseModel):
    """One stage: wall-clock seconds spent on it, the ids of its runs, and the runs that it dropped."""

    model_config = ConfigDict(extra="forbid")

    stage: Stage
    seconds: float = 0.0
    """Wall-clock seconds."""
    runs: list[str] = []
    """Ids of its runs."""
    dropped: list[Dropped] = []


class StudyFile(BaseModel, Generic[PlanT]):
    """Everything about a study that is not in the records of its runs. Seconds are wall-clock seconds."""

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"), populate_by_name=True)

    schema_: int = SCHEMA
    """Version of this format."""
    command: str = ""
    """The command that started it."""
    started: str = ""
    """When it was started, in ISO 8601."""
    data: StudyData | None = None
    budget_seconds: float | None = None
    """None for a comparison at equal images, which has no time limit."""
    plan: PlanT
    """What the study was planned to do, by its kind: of a whole study, a comparison, a search, or factor by factor."""
    slots: int = 1
    """Runs side by side that it was planned for; it may be resumed with another number."""
    seconds: dict[str, float] = {}
    """Seconds by stage, with `prepare`, `test` and `report`; summed over interruptions."""
    stages: list[StageFacts] = []
    """The stages in their order."""
    downloads: list[Download] = []
    """Weights that were fetched while it ran."""
    revisions: list[PlanRevision] = []
    """How the plan came to be what it is, the oldest first."""
    confirm: list[Run] = []
    """Confirming runs and the refit as decided: they depended on the clock, so they cannot be computed again."""
    follows: float = 0.0
    """Seconds that were kept for what follows the confirming run, before the test split."""
    winner: Winner | None = None
    """None until it is chosen, and in studies of older versions."""
    found: SearchResult | None = None
    """What the search for a recipe found, once it has ended."""
    effects: Effects | None = None
    """What a factor-by-factor study has measured so far."""

    def own(self, records: Sequence[RunRecord]) -> list[RunRecord]:
        """The runs of the study's own data; `bakeoff train` takes any data into a folder.

        All runs, if the file does not say which data these are, or if none is of them.
        """
        data = self.data.fingerprint if self.data else ""
        return [record for record in records if record.data.fingerprint == data] or list(records)


class AnyStudy(StudyFile[dict[str, Any]]):
    """A study of any kind: its plan is plain JSON."""

    plan: dict[str, Any] = {}


def read_study(out: Path) -> AnyStudy:
    """Read a study's `study.json`, its plan as plain JSON; an empty one if there is no file.

    Fields that a later version added are ignored. Raises OutputError if the file is damaged.
    """
    path = out / STUDY_FILE
    if not path.is_file():
        return AnyStudy()
    try:
        return AnyStudy.model_validate(read_json(path))
    except ValidationError as error:
        raise OutputError(
            f"cannot read {path}: {name_first(error)}. If another version of bakeoff wrote it, open it with that one;"
            " else remove it or run the study again"
        ) from error
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot read {path}: {error}; remove it or run the study again") from error
