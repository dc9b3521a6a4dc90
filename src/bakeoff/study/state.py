"""`study.json`: the plan of a study, what its stages spent, and why they dropped what they dropped."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ConfigDict, ValidationError

from bakeoff.errors import OutputError
from bakeoff.files import make_dir, read_json, write_json
from bakeoff.runs.record import Stage
from bakeoff.runs.study_file import STUDY_FILE, StageFacts, StudyData, StudyFile
from bakeoff.study.ablate import Ablation
from bakeoff.study.compare import Comparison
from bakeoff.study.plan import StudyPlan
from bakeoff.study.search import Search

__all__ = ["AnyPlan", "StudyState", "open_state", "planned_slots"]

AnyPlan = StudyPlan | Comparison | Search | Ablation


class StudyState(StudyFile[AnyPlan]):
    """A study that is planned, started or resumed: `study.json`, and what is charged to its budget."""

    model_config = ConfigDict(extra="forbid")

    data: StudyData

    def stage(self, stage: Stage) -> StageFacts:
        """The facts of a stage, begun if it has not been."""
        for facts in self.stages:
            if facts.stage is stage:
                return facts
        self.stages.append(StageFacts(stage=stage))
        return self.stages[-1]

    def spend(self, account: str, seconds: float) -> None:
        """Charge wall-clock seconds to a stage, or to `prepare` or `report`."""
        self.seconds[account] = self.seconds.get(account, 0.0) + seconds

    @contextmanager
    def charged(self, out: Path, account: str) -> Iterator[Callable[[], None]]:
        """Charge the wall clock of the block, however it ends, and write that down.

        Yields a function that does so in between, for a process that is killed charges nothing.
        """
        started = time.monotonic()

        def settle() -> None:
            nonlocal started
            now = time.monotonic()
            self.spend(account, now - started)
            if account in set(Stage):
                self.stage(Stage(account)).seconds += now - started
            started = now
            self.write(out)

        try:
            yield settle
        finally:
            settle()

    @property
    def spent(self) -> float:
        """Seconds spent so far."""
        return sum(self.seconds.values())

    @property
    def seconds_left(self) -> float | None:
        """Seconds of the budget left, if there is one."""
        return None if self.budget_seconds is None else self.budget_seconds - self.spent

    def write(self, out: Path) -> None:
        """Write `study.json` whole or not at all."""
        write_json(out / STUDY_FILE, self.model_dump(mode="json", by_alias=True))


def planned_slots(out: Path, slots: int) -> int:
    """The slots that a study's plan is for: those that it was begun with, or these if it has not been begun."""
    return _read(out / STUDY_FILE).slots if (out / STUDY_FILE).is_file() else slots


def open_state(out: Path, plan: AnyPlan, *, data: StudyData, command: str, slots: int = 1) -> StudyState:
    """The study of a new study, or of the same study begun before.

    Raises OutputError if the folder holds another study, or files that are no study at all.
    """
    path = out / STUDY_FILE
    if path.is_file():
        study = _read(path)
        if study.plan != plan or study.data.fingerprint != data.fingerprint:
            raise OutputError(
                f"{out} holds another study ({_difference(study, plan, data)}); choose another --out, or delete it"
            )
        return study
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} is not empty and holds no study; choose another --out")
    make_dir(out)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    study = StudyState(
        command=command, started=started, data=data, budget_seconds=plan.budget_seconds, plan=plan, slots=slots
    )
    study.write(out)
    return study


def _read(path: Path) -> StudyState:
    try:
        return StudyState.model_validate(read_json(path))
    except (OSError, ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise OutputError(f"cannot read {path}: {reason}; choose another --out, or delete {path.parent}") from error


def _difference(study: StudyState, plan: AnyPlan, data: StudyData) -> str:
    if study.data.fingerprint != data.fingerprint:
        return f"its data is {study.data.name}, with other images or classes"
    if type(study.plan) is not type(plan):
        return f"it was begun by `{study.command}`"
    old, new = study.plan.model_dump(), plan.model_dump()
    field = next(name for name in new if old[name] != new[name])
    if field in ("runs", "base", "levels", "space"):
        return "its candidates or their settings are others"
    return f"its {field} is {old[field]!r}, not {new[field]!r}"
