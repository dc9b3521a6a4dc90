"""The run that a study ended with."""

from collections.abc import Sequence

from bakeoff.report.board import is_scored, rank
from bakeoff.runs.record import RunRecord, Stage
from bakeoff.runs.study_file import AnyStudy

__all__ = ["choose_run", "find_winner"]


def find_winner(study: AnyStudy, records: Sequence[RunRecord]) -> RunRecord | None:
    """Find the run to report as the winner.

    Args:
        study: The study's file.
        records: All runs of the study.

    Returns:
        The run with the chosen recipe for a study of one recipe, otherwise the first row of the board; None if no run
        completed.
    """
    best = next((row.id for row in rank(records) if is_scored(row)), "")
    return {record.id: record for record in records}.get(choose_run(study, records) or best)


def choose_run(study: AnyStudy, records: Sequence[RunRecord]) -> str:
    """The id of the run that a search or an ablation ended with: the best recipe found, or the one it started from.

    Empty for a study that compares several networks.
    """
    if any(record.stage is not Stage.TUNE for record in records):
        return ""
    if study.effects is not None:
        return study.effects.base.ids[0]
    if study.found is None:
        return ""
    arm = study.found.after if study.found.kept else study.found.before
    return arm.ids[0] if arm else study.found.base
