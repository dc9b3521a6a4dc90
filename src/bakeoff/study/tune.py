"""One network's recipe improved, as a context of its own or as a stage of a larger one."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from bakeoff.errors import NothingTrainedError
from bakeoff.launch import Executor, Local
from bakeoff.report.board import rank, write_board
from bakeoff.runs.config import Run, revise
from bakeoff.runs.findings import Effects, SearchResult
from bakeoff.runs.record import RunRecord, Stage
from bakeoff.study.ablate import Ablation, measure
from bakeoff.study.context import StudyContext, Watcher
from bakeoff.study.recipe import write_recipe
from bakeoff.study.run_pool import RunRequest
from bakeoff.study.search import Search, make_search, run_search
from bakeoff.study.space import default_space
from bakeoff.study.state import StudyState

__all__ = ["run_ablation", "run_tuning", "search_for"]


def run_tuning(
    study: StudyState, out: Path, data: Path, watcher: Watcher, executor: Executor | None = None
) -> SearchResult:
    """Run or resume a search to its end, and write the recipe that it chose to `out/recipe.toml`.

    Raises NothingTrainedError if the base recipe cannot be trained.
    """
    assert isinstance(study.plan, Search)
    context = StudyContext(study, out, data, watcher, executor or Local())
    found = study.found or _search(context, study.plan)
    write_recipe(out / "recipe.toml", revise(study.plan.base, found.chosen, "the search"), study.plan.base)
    context.report()
    return found


def search_for(context: StudyContext, base: Run, budget: float) -> SearchResult:
    """The stage of a larger study: search around a recipe for some seconds. What is found goes into the study."""
    # The screen's probe may be longer than a trial, and is in the cache at one input size alone.
    plan = make_search(base, default_space(base), budget=budget, counts=context.study.data.counts, head_start=True)
    return _search(context, plan)


def run_ablation(
    study: StudyState, out: Path, data: Path, watcher: Watcher, executor: Executor | None = None
) -> Effects:
    """Run or resume a factor-by-factor study to its end, or until its time is up.

    Raises NothingTrainedError if the base recipe failed.
    """
    assert isinstance(study.plan, Ablation)
    context = StudyContext(study, out, data, watcher, executor or Local())
    if pending := study.plan.pending(context.records):
        watcher.stage_began(Stage.TUNE, len(pending), study.seconds_left)
        abreast = context.executor.among(len(pending))
        context.train_each(_while_there_is_time(context, pending, abreast), Stage.TUNE, abreast)
    study.effects = measure(study.plan, out, context.records)
    if study.effects is None:
        reasons = [record.reason for record in context.records if record.config in study.plan.base]
        raise NothingTrainedError(f"the base recipe could not be trained: {'; '.join(reasons)}")
    context.report()
    return study.effects


def _while_there_is_time(context: StudyContext, runs: Iterable[Run], executor: Executor) -> Iterator[RunRequest]:
    """The runs of a factor-by-factor study, until more than half of another would be beyond the budget.

    The first is always done.
    """
    study, out = context.study, context.out
    assert isinstance(study.plan, Ablation)
    plan, facts = study.plan, study.stage(Stage.TUNE)

    def tell(_: RunRecord) -> None:
        study.effects = measure(plan, out, context.records)
        study.write(out)

    for run in runs:
        rounds = math.ceil(len(facts.runs) / executor.slots) if executor.slots else 0
        if rounds and (study.seconds_left or 0.0) < facts.seconds / rounds / 2:
            return
        yield RunRequest(run, changes=plan.changes(run), then=tell)


def _search(context: StudyContext, plan: Search) -> SearchResult:
    def seconds_left() -> float:
        own = plan.budget_seconds - context.study.stage(Stage.TUNE).seconds
        whole = context.study.seconds_left
        return own if whole is None else min(own, whole)

    def train_each(requests: Iterable[RunRequest], runs: int | None = None) -> None:
        context.train_each(requests, Stage.TUNE, context.executor if runs is None else context.executor.among(runs))

    context.watcher.stage_began(Stage.TUNE, None, context.study.seconds_left)
    slots = context.executor.slots
    found = run_search(plan, context.out, seconds_left=seconds_left, train_each=train_each, slots=slots)
    context.study.found = found
    context.study.write(context.out)
    write_board(context.out, rank(context.records))
    return found
