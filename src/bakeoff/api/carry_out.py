"""What all studies have in common: prepare, plan, work, results."""

import contextlib
from collections.abc import Callable

from bakeoff.api.arguments import read_optional_text, read_optional_whole
from bakeoff.api.progress import ProgressOption, watch_progress
from bakeoff.api.results import Results
from bakeoff.download import working_offline
from bakeoff.launch import Executor
from bakeoff.study import AnyPlan, StudyState, planned_slots
from bakeoff.study.begin import PreparedStudy, StudyRequest, open_executor, open_study, prepare_study
from bakeoff.study.state import find_begun
from bakeoff.study.watcher import StudyWatcher

__all__ = ["carry_out"]


def carry_out(
    request: StudyRequest,
    plan: Callable[[PreparedStudy, int], AnyPlan],
    work: Callable[[StudyState, PreparedStudy, StudyWatcher, Executor], object],
    workers: int | None,
    cluster: str | None,
    progress: ProgressOption,
    dry_run: bool = False,
) -> Results:
    """Prepare a study, plan it and do it.

    Args:
        request: What is asked for.
        plan: Makes the plan from the prepared study, for a number of runs side by side.
        work: Does the study that was prepared: (study, what is prepared, watcher, executor).
        workers: Runs side by side on this machine.
        cluster: A Ray cluster instead.
        progress: What is shown.
        dry_run: Whether to stop after the plan has been shown: no weights are downloaded, no run is trained, no folder
            is made, none changed.

    Raises:
        BakeoffError: As the functions that call it.
    """
    workers, cluster = read_optional_whole("workers", workers, 1), read_optional_text("cluster", cluster)
    with (
        working_offline(request.offline),
        watch_progress(progress) as watcher,
        open_executor(workers, cluster) as executor,
        contextlib.ExitStack() as at_end,
    ):
        ahead = None if dry_run or executor.slots > 1 else executor.spare
        prepared = prepare_study(request, watcher, executor.threads, ahead, executor.slots, fetch=not dry_run)
        at_end.callback(prepared.downloads.stop)
        out = prepared.out
        slots = planned_slots(out, executor.slots)
        planned = plan(prepared, slots)
        if dry_run:
            # A study that was begun goes on by its own plan, and another one is refused, as without a dry run.
            if begun := find_begun(out, planned, data=prepared.facts):
                planned = begun.plan
            watcher.study_began(prepared.dataset, planned)
            return Results(out, planned=planned.model_dump(mode="json", by_alias=True))
        with open_study(prepared, planned, slots, watcher) as study:
            work(study, prepared, watcher, executor)
    return Results(out)
