"""One network's recipe improved, as a job of its own or as a stage of a larger one."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from bakeoff.board import rank, write_board
from bakeoff.config import Run, revise
from bakeoff.effects import Effects, Found
from bakeoff.errors import NothingTrainedError
from bakeoff.launch import Executor, Local
from bakeoff.runs import RunRecord, Stage
from bakeoff.study.ablate import Ablation, measure
from bakeoff.study.crew import Assignment
from bakeoff.study.job import Job, Watcher
from bakeoff.study.ledger import Ledger
from bakeoff.study.recipe import write_recipe
from bakeoff.study.search import Search, make_search, run_search
from bakeoff.study.space import default_space

__all__ = ["run_ablation", "run_tuning", "search_for"]


def run_tuning(ledger: Ledger, out: Path, data: Path, watcher: Watcher, executor: Executor | None = None) -> Found:
    """Run or resume a search to its end, and write the recipe that it chose to `out/recipe.toml`.

    Raises NothingTrainedError if the base recipe cannot be trained.
    """
    assert isinstance(ledger.plan, Search)
    job = Job(ledger, out, data, watcher, executor or Local())
    found = ledger.found or _search(job, ledger.plan)
    write_recipe(out / "recipe.toml", revise(ledger.plan.base, found.chosen, "the search"), ledger.plan.base)
    job.report()
    return found


def search_for(job: Job, base: Run, budget: float) -> Found:
    """The stage of a larger study: search around a recipe for some seconds. What is found goes into the ledger."""
    # The screen's probe may be longer than a trial, and is in the cache at one input size alone.
    plan = make_search(base, default_space(base), budget=budget, counts=job.ledger.data["counts"], head_start=True)
    return _search(job, plan)


def run_ablation(ledger: Ledger, out: Path, data: Path, watcher: Watcher, executor: Executor | None = None) -> Effects:
    """Run or resume a factor-by-factor study to its end, or until its time is up.

    Raises NothingTrainedError if the base recipe failed.
    """
    assert isinstance(ledger.plan, Ablation)
    job = Job(ledger, out, data, watcher, executor or Local())
    if pending := ledger.plan.pending(job.records):
        watcher.stage_began(Stage.TUNE, len(pending), ledger.seconds_left)
        abreast = job.executor.among(len(pending))
        job.train_each(_while_there_is_time(job, pending, abreast), Stage.TUNE, abreast)
    ledger.effects = measure(ledger.plan, out, job.records)
    if ledger.effects is None:
        reasons = [record.reason for record in job.records if record.config in ledger.plan.base]
        raise NothingTrainedError(f"the base recipe could not be trained: {'; '.join(reasons)}")
    job.report()
    return ledger.effects


def _while_there_is_time(job: Job, runs: Iterable[Run], executor: Executor) -> Iterator[Assignment]:
    """The runs of a factor-by-factor study, until more than half of another would be beyond the budget.

    The first is always done.
    """
    ledger, out = job.ledger, job.out
    assert isinstance(ledger.plan, Ablation)
    plan, facts = ledger.plan, ledger.stage(Stage.TUNE)

    def tell(_: RunRecord) -> None:
        ledger.effects = measure(plan, out, job.records)
        ledger.write(out)

    for run in runs:
        rounds = math.ceil(len(facts.runs) / executor.slots) if executor.slots else 0
        if rounds and (ledger.seconds_left or 0.0) < facts.seconds / rounds / 2:
            return
        yield Assignment(run, changes=plan.changes(run), then=tell)


def _search(job: Job, plan: Search) -> Found:
    def seconds_left() -> float:
        own = plan.budget_seconds - job.ledger.stage(Stage.TUNE).seconds
        whole = job.ledger.seconds_left
        return own if whole is None else min(own, whole)

    def train_each(assignments: Iterable[Assignment], runs: int | None = None) -> None:
        job.train_each(assignments, Stage.TUNE, job.executor if runs is None else job.executor.among(runs))

    job.watcher.stage_began(Stage.TUNE, None, job.ledger.seconds_left)
    slots = job.executor.slots
    found = run_search(plan, job.out, seconds_left=seconds_left, train_each=train_each, slots=slots)
    job.ledger.found = found
    job.ledger.write(job.out)
    write_board(job.out, rank(job.records))
    return found
