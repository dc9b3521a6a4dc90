"""The run that stands for a study: the one whose model it ships."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bakeoff.errors import OutputError
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.record import RunRecord, Stage, State, list_records
from bakeoff.runs.study_file import StudyFile, read_study

__all__ = ["find_confirmed", "find_run", "find_shipped"]


def find_run(text: str) -> Path:
    """Find the folder of a run.

    Args:
        text: `OUT/runs/ID`, or `OUT` of a study that is done, for its winner.

    Returns:
        Its absolute path, so that its parents are `OUT/runs` and `OUT`, also where `.` is given.

    Raises:
        OutputError: It is neither.
    """
    folder = Path(text)
    if RunFolder(folder).record.is_file():
        return folder.resolve()
    shipped = find_shipped(read_study(folder), list_records(folder))
    if shipped is None:
        raise OutputError(f"{folder} is neither a run nor a study with one confirmed run; give OUT/runs/ID")
    return run_dir(folder, shipped.id).resolve()


def find_shipped(study: StudyFile[Any], records: Sequence[RunRecord]) -> RunRecord | None:
    """The run whose model a study ships; None if it has confirmed none, or several and has not chosen."""
    if study.winner is not None:
        return next((record for record in records if record.id == study.winner.shipped), None)
    confirmed = [record for record in records if record.stage is Stage.CONFIRM and record.state is State.COMPLETE]
    return confirmed[0] if len(confirmed) == 1 else None


def find_confirmed(record: RunRecord, records: Sequence[RunRecord]) -> RunRecord:
    """The run that has the validation scores of a run's recipe: the run itself, unless it is a refit."""
    return next((each for each in records if record.refit_of and each.id == record.refit_of), record)
