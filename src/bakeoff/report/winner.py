"""Which run a study ended with."""

from collections.abc import Sequence

from bakeoff.report.board import is_scored, rank
from bakeoff.runs.record import RunRecord, Stage
from bakeoff.runs.study_file import AnyStudy

__all__ = ["choose_run", "find_winner"]


def find_winner(study: AnyStudy, records: Sequence[RunRecord]) -> RunRecord | None:
    """The first of the board, or the recipe that a search ended with; None if nothing completed."""
    best = next((row.id for row in rank(records) if is_scored(row)), "")
    return {record.id: record for record in records}.get(choose_run(study, records) or best)


def choose_run(study: AnyStudy, records: Sequence[RunRecord]) -> str:
    """The run that a study of one recipe ended with: the one taken, or the one it began with.

    Empty for a study of several networks.
    """
    if any(record.stage is not Stage.TUNE for record in records):
        return ""
    if study.effects is not None:
        return study.effects.base.ids[0]
    if study.found is None:
        return ""
    arm = study.found.after if study.found.kept else study.found.before
    return arm.ids[0] if arm else study.found.base
