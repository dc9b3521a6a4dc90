"""Tuning one network's recipe: a search or a factor-by-factor study as a whole study, or a search as a stage of one."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from bakeoff.errors import NothingTrainedError
from bakeoff.launch import Executor, Local
from bakeoff.report.answer import find_data_dir
from bakeoff.runs.config import Run, revise
from bakeoff.runs.findings import Effects, SearchResult
from bakeoff.runs.record import RunRecord, Stage
from bakeoff.study.ablate import Ablation, measure_effects
from bakeoff.study.context import StudyContext
from bakeoff.study.default_spaces import default_space
from bakeoff.study.recipe import write_recipe
from bakeoff.study.run_pool import RunRequest
from bakeoff.study.search import Search, make_search, run_search
from bakeoff.study.state import StudyState
from bakeoff.study.watcher import Watcher

__all__ = ["run_ablation", "run_tuning", "search_for"]


def run_tuning(
    study: StudyState, out: Path, data: Path, watcher: Watcher, executor: Executor | None = None
) -> SearchResult:
    """Run or resume a search to its end, and write the chosen recipe to `out/recipe.toml`.

    Args:
        study: The study, whose plan is a Search.
        out: The study's folder.
        data: The folder of the shards.
        watcher: The callbacks that report progress.
        executor: Where runs are made; this machine by default.

    Raises:
        NothingTrainedError: The base recipe cannot be trained.
    """
    assert isinstance(study.plan, Search)
    context = StudyContext(study, out, data, watcher, executor or Local())
    found = study.found or _search(context, study.plan)
    if found.failed:
        context.report()
        raise NothingTrainedError(f"the base recipe could not be trained: {found.failed}")
    recipe = revise(study.plan.base, found.chosen, "the search")
    write_recipe(out / "recipe.toml", recipe, study.plan.base, find_data_dir(study.command))
    context.report()
    return found


def search_for(context: StudyContext, base: Run, budget: float) -> SearchResult:
    """Search around a recipe for `budget` wall-clock seconds, as a stage of a study, whose state keeps the result.

    If the recipe cannot be trained, the study goes on without a search, and says so.
    """
    # The plan is made again when the study is resumed, so nothing in it depends on the pace of the machine.
    # Trials get a shorter probe: the screen's may take longer than a trial, and its features are cached for one input
    # size only.
    data = context.study.data
    space = default_space(base, data.imbalance)
    plan = make_search(base, space, budget=budget, counts=data.counts, head_start=True)
    found = _search(context, plan)
    if found.failed:
        context.study.found = found
        why = f"the recipe of {base.candidate} is not searched, because a trial of it failed: {found.failed}"
        context.revise("tune", why)
    return found


def run_ablation(
    study: StudyState, out: Path, data: Path, watcher: Watcher, executor: Executor | None = None
) -> Effects:
    """Run or resume a factor-by-factor study to its end, or until its time is up.

    Args:
        study: The study, whose plan is an Ablation.
        out: The study's folder.
        data: The folder of the shards.
        watcher: The callbacks that report progress.
        executor: Where runs are made; this machine by default.

    Raises:
        NothingTrainedError: The base recipe cannot be trained.
    """
    assert isinstance(study.plan, Ablation)
    context = StudyContext(study, out, data, watcher, executor or Local())
    if pending := study.plan.pending(context.records):
        watcher.stage_began(Stage.TUNE, len(pending), study.seconds_left)
        stage_executor = context.executor.for_stage(len(study.plan.runs))
        context.train_each(_limit_by_time(context, pending, stage_executor), Stage.TUNE, stage_executor)
    study.effects = measure_effects(study.plan, out, context.records)
    study.write(out)
    context.report()
    if study.effects is None:
        reasons = [record.reason for record in context.records if record.config in study.plan.base]
        raise NothingTrainedError(f"the base recipe could not be trained: {'; '.join(reasons)}")
    return study.effects


def _limit_by_time(context: StudyContext, runs: Iterable[Run], executor: Executor) -> Iterator[RunRequest]:
    """Request the runs of a factor-by-factor study as long as at least half of the next one fits into the budget.

    The first one is always requested.
    """
    study, out = context.study, context.out
    assert isinstance(study.plan, Ablation)
    plan = study.plan

    def update_effects(_: RunRecord) -> None:
        study.effects = measure_effects(plan, out, context.records)
        study.write(out)

    for run in runs:
        if not study.has_time_for_next(executor.slots):
            return
        yield RunRequest(run, changes=plan.changes(run), then=update_effects)


def _search(context: StudyContext, plan: Search) -> SearchResult:
    """Run a search, and keep its result in the study's state unless the base recipe could not be trained."""

    def seconds_left() -> float:
        search_seconds_left = plan.budget_seconds - context.study.stage(Stage.TUNE).seconds
        study_seconds_left = context.study.seconds_left
        return search_seconds_left if study_seconds_left is None else min(search_seconds_left, study_seconds_left)

    def predict(run: Run) -> float:
        return context.forecast.whole(run, context.study.data.counts)

    def train_each(requests: Iterable[RunRequest], runs: int | None = None) -> None:
        executor = context.executor
        if runs is not None:
            executor = executor.for_stage(runs, more=context.ends_with_test)
        context.train_each(requests, Stage.TUNE, executor)

    context.watcher.stage_began(Stage.TUNE, None, context.study.seconds_left)
    slots = context.executor.slots
    found = run_search(
        plan, context.out, seconds_left=seconds_left, train_each=train_each, slots=slots, predict=predict
    )
    if not found.failed:
        context.study.found = found
        context.study.write(context.out)
    context.write_board()
    return found
