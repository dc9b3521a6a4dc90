"""The state of a study in `study.json`: its plan, the time that its stages used, and what they dropped and why."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, PrivateAttr, ValidationError

from bakeoff.data.shards.manifest import EXCLUDED
from bakeoff.errors import OutputError
from bakeoff.files import explained_errors, is_left, make_dir, read_json, write_json
from bakeoff.locks import LOCK
from bakeoff.runs.config import AugmentStep, Candidate, Metric
from bakeoff.runs.default_field import DefaultField
from bakeoff.runs.facts import name_field
from bakeoff.runs.record import Stage, list_records
from bakeoff.runs.study_file import STUDY_FILE, StageFacts, StudyData, StudyFile
from bakeoff.study.ablate import Ablation
from bakeoff.study.compare import Comparison
from bakeoff.study.plan import StudyPlan
from bakeoff.study.search import Search

__all__ = [
    "AnyPlan",
    "StudyState",
    "check_place",
    "find_begun",
    "networks_left",
    "open_state",
    "planned_field",
    "planned_metric",
    "planned_mirroring",
    "planned_networks",
    "planned_slots",
]

AnyPlan = StudyPlan | Comparison | Search | Ablation


class StudyState(StudyFile[AnyPlan]):
    """A study that is planned, started or resumed: `study.json`, and the time that it has used of its budget."""

    model_config = ConfigDict(extra="forbid")

    data: StudyData

    _preparing: float | None = PrivateAttr(None)
    """Wall-clock seconds of preparation that are not charged yet; None if there are none."""

    def stage(self, stage: Stage) -> StageFacts:
        """The facts of a stage; they are added if the stage is new."""
        for facts in self.stages:
            if facts.stage is stage:
                return facts
        self.stages.append(StageFacts(stage=stage))
        return self.stages[-1]

    def spend(self, account: str, seconds: float) -> None:
        """Add to the wall-clock seconds used by a stage, or by `prepare`, `test` or `report`."""
        self.seconds[account] = self.seconds.get(account, 0.0) + seconds

    def note_preparation(self, seconds: float) -> None:
        """Note what preparing took. It is charged with the first work: a study that is finished spends nothing more."""
        self._preparing = seconds

    @property
    def has_worked(self) -> bool:
        """Whether anything was done since the preparation."""
        return self._preparing is None

    @contextmanager
    def timed(self, out: Path, account: str) -> Iterator[Callable[[], None]]:
        """Add the wall-clock time of the block to a stage, or to `test` or `report`, and write `study.json`.

        That happens at the end, also after an exception. Yields a function that does it at once: call it now and then,
        because the time since the last call is lost if the process is killed.
        """
        if self._preparing is not None:
            self.spend("prepare", self._preparing)
            self._preparing = None
            self.write(out)
        started = time.monotonic()

        def save_time() -> None:
            nonlocal started
            now = time.monotonic()
            self.spend(account, now - started)
            if account in set(Stage):
                self.stage(Stage(account)).seconds += now - started
            started = now
            self.write(out)

        try:
            yield save_time
        finally:
            save_time()

    @property
    def spent(self) -> float:
        """Wall-clock seconds used so far."""
        return sum(self.seconds.values()) + (self._preparing or 0.0)

    @property
    def seconds_left(self) -> float | None:
        """Wall-clock seconds that are left of the budget; None without a budget."""
        return None if self.budget_seconds is None else self.budget_seconds - self.spent

    def has_time_for_next(self, slots: int) -> bool:
        """Whether at least half of a factor-by-factor study's next run fits into its budget, with so many side by side.

        The first one is done in any case.
        """
        facts = self.stage(Stage.TUNE)
        rounds_done = math.ceil(len(facts.runs) / slots) if slots else 0
        return not rounds_done or (self.seconds_left or 0.0) >= facts.seconds / rounds_done / 2

    def write(self, out: Path) -> None:
        """Write `study.json` whole or not at all."""
        write_json(out / STUDY_FILE, self.model_dump(mode="json", by_alias=True))


def planned_slots(out: Path, slots: int) -> int:
    """The slots that the study in a folder was planned for; `slots` if there is no study yet."""
    return _read(out / STUDY_FILE).slots if (out / STUDY_FILE).is_file() else slots


def planned_metric(out: Path) -> Metric | None:
    """The metric that decides in the study in a folder; None if there is no study yet."""
    plan = _read_plan(out)
    return Metric(plan.asked["metric"]) if plan else None


def planned_mirroring(out: Path) -> bool | None:
    """Whether the study in a folder mirrors images; None if there is no study yet."""
    plan = _read_plan(out)
    match plan:
        case None:
            return None
        case StudyPlan():
            return plan.may_mirror
        case Search():
            run = plan.base
        case Ablation() | Comparison():
            run = plan.runs[0]
    return AugmentStep.FLIP in run.augment.steps


def planned_field(out: Path) -> tuple[DefaultField | None, list[Candidate]]:
    """The default field of the study in a folder, with all candidates of its plan; None and none if it has no such."""
    plan = _read_plan(out)
    match plan:
        case StudyPlan(field=DefaultField()):
            return plan.field, [Candidate.read(name) for name in (*plan.candidates, *plan.cut, *plan.unavailable)]
        case Comparison(field=DefaultField()):
            return plan.field, [Candidate.of(run) for run in plan.runs]
        case _:
            return None, []


def planned_networks(out: Path) -> set[str] | None:
    """The networks that the comparison in a folder has; None if there is none."""
    plan = _read_plan(out)
    return {run.model.name for run in plan.runs} if isinstance(plan, Comparison) else None


def networks_left(out: Path, slots: int) -> set[str] | None:
    """The networks whose weights the study in a folder still needs: those of runs that are not done.

    None if all of them may be needed: there is no study yet, or it is a screen, or a whole job without a score on test.

    Args:
        out: The folder.
        slots: Runs side by side, if the study goes on.
    """
    if not (out / STUDY_FILE).is_file():
        return None
    study = _read(out / STUDY_FILE)
    plan, records = study.plan, study.own(list_records(out))
    match plan:
        case StudyPlan():
            # `bakeoff train` and `evaluate` may have written a run with a score on test into the folder.
            is_over = any(record.test and record.stage is not Stage.TRAIN for record in records)
            return set() if is_over else None
        case Comparison():
            runs = plan.pending(records)
        case Ablation():
            runs = plan.pending(records) if study.has_time_for_next(slots) else ()
        case Search():
            runs = () if study.found else (plan.base,)
    return {run.model.name for run in runs}


def check_place(out: Path) -> None:
    """Raise OutputError if a folder can hold no study: it holds other files, is a file, or may not be looked into."""
    with explained_errors(out):
        is_taken = out.exists() and (not out.is_dir() or any(_is_content(path.name) for path in out.iterdir()))
        is_study = (out / STUDY_FILE).is_file()
    if is_taken and not is_study:
        raise OutputError(f"{out} is not empty and holds no study; choose another --out")


def _is_content(name: str) -> bool:
    """Whether a file in a folder is something of somebody's. A lock is left of a command that was refused."""
    return name != LOCK and not is_left(name)


def open_state(out: Path, plan: AnyPlan, *, data: StudyData, command: str, slots: int = 1) -> StudyState:
    """Start a study, or open the same study to continue it.

    Args:
        out: The study's folder; it is created if there is none.
        plan: The plan of the study.
        data: The data of the study.
        command: The command that starts it.
        slots: Runs in parallel that it is planned for.

    Raises:
        OutputError: The folder holds another study or other files, or cannot be written.
    """
    if study := find_begun(out, plan, data=data):
        return study
    check_place(out)
    make_dir(out)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    study = StudyState(
        command=command, started=started, data=data, budget_seconds=plan.budget_seconds, plan=plan, slots=slots
    )
    study.write(out)
    return study


def find_begun(out: Path, plan: AnyPlan, *, data: StudyData) -> StudyState | None:
    """The study in a folder, if there is one; it goes on by its own plan.

    Raises OutputError if it is another study than this plan and these data are of, or cannot be read.
    """
    path = out / STUDY_FILE
    if not path.is_file():
        return None
    study = _read(path)
    if not _asks_the_same(study.plan, plan) or study.data.fingerprint != data.fingerprint:
        difference = _describe_difference(study, plan, data)
        raise OutputError(f"{out} holds another study ({difference}); choose another --out, or delete it")
    return study


def _read_plan(out: Path) -> AnyPlan | None:
    """The plan of the study in a folder; None if there is no study yet."""
    return _read(out / STUDY_FILE).plan if (out / STUDY_FILE).is_file() else None


def _read(path: Path) -> StudyState:
    try:
        return StudyState.model_validate(read_json(path))
    except ValidationError as error:
        raise OutputError(
            f"cannot read {path}: {_name_wrong(error)}. If another version of bakeoff wrote it, continue with that one;"
            f" or choose another --out, or delete {path.parent}"
        ) from error
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot read {path}: {error}; choose another --out, or delete {path.parent}") from error


def _name_wrong(error: ValidationError) -> str:
    """The first field that was wrong and what was wrong with it, by the kind of plan that fits best."""
    errors = error.errors()
    # Each kind of plan has its own errors, and the kind that was meant has the fewest.
    number = Counter(each["loc"][:2] for each in errors)
    first = min(errors, key=lambda each: number[each["loc"][:2]])
    return name_field(first)


def _asks_the_same(old: AnyPlan, new: AnyPlan) -> bool:
    """Whether two plans are of one study. What a machine's pace has decided may differ: it was measured again since."""
    # What an older version did not ask for says nothing.
    before, now = _list_asked(old), _list_asked(new)
    return type(old) is type(new) and all(now.get(name) == value for name, value in before.items())


def _list_asked(plan: AnyPlan) -> dict[str, Any]:
    """What a plan asks for, without what folders are: the fingerprint of the data has what came of it.

    So a study goes on whose folders were read as classes before they were refused, once `--layout` says what they are.
    """
    return {name: _without_layout(value) for name, value in plan.asked.items()}


def _without_layout(asked: Any) -> Any:
    if isinstance(asked, dict):
        return {name: _without_layout(value) for name, value in asked.items() if name != "layout"}
    return [_without_layout(value) for value in asked] if isinstance(asked, list | tuple) else asked


def _describe_difference(study: StudyState, plan: AnyPlan, data: StudyData) -> str:
    """In what the study in the folder differs from the one that was asked for."""
    if study.data.fingerprint != data.fingerprint:
        excludes = any(image.reason.startswith(EXCLUDED) for image in study.data.quarantined)
        is_same_list = excludes and study.data.quarantined == data.quarantined
        why = "; if they are the same, an older bakeoff drew the splits without those that --exclude leaves out"
        return f"its data is {study.data.name}, with other images, splits, classes or fit{why if is_same_list else ''}"
    if type(study.plan) is not type(plan):
        return f"it was started by `{study.command}`"
    old, new = _list_asked(study.plan), _list_asked(plan)
    before, now = dict(_list_sources(old)), dict(_list_sources(new))
    for name in [name for name, source in before.items() if now.get(name, source) != source]:
        return (
            f"its network {name} has been edited since: the SHA-256 of its source was {before[name][:12]}…, and is"
            f" {now[name][:12]}…; with the source of then it goes on"
        )
    field = next(name for name in old if old[name] != new.get(name))
    if field == "mirror":
        return "it mirrors images" if old[field] else "it does not mirror images"
    if field == "space" and (key := _find_fractions(old["space"], new["space"])):
        return f"it draws fractions of {key}, which takes whole numbers only, so it cannot go on"
    if field in ("runs", "base", "levels", "space", "candidates", "settings"):
        return "its candidates or their settings are different"
    if field == "data":
        old, new = old["data"], new["data"]
        field = next(name for name in new if old[name] != new[name])
        return f"its data.{field} is {old[field]!r}, not {new[field]!r}"
    return f"its {field} is {old[field]!r}, not {new[field]!r}"


def _find_fractions(old: dict[str, Any], new: dict[str, Any]) -> str:
    """The first key that the search of an older version drew fractions of, of which this one draws whole numbers."""
    pairs = zip(old["parameters"], new["parameters"], strict=False)
    return next((after["key"] for before, after in pairs if before != after == before | {"whole": True}), "")


def _list_sources(asked: Any) -> Iterator[tuple[str, str]]:
    """The networks outside the table that a plan names, with the SHA-256 of what each is built from."""
    if isinstance(asked, dict):
        if asked.get("source") and "name" in asked:  # `model` of a run
            yield asked["name"], asked["source"]
        yield from asked.get("sources", {}).items()
        for each in asked.values():
            yield from _list_sources(each)
    elif isinstance(asked, list | tuple):
        for each in asked:
            yield from _list_sources(each)
