"""One network's recipe improved, as a job of its own or as a stage of a larger one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bakeoff.board import rank, write_board
from bakeoff.config import Run, revise
from bakeoff.effects import Effects, Found
from bakeoff.errors import NothingTrainedError
from bakeoff.runs import RunRecord, Stage
from bakeoff.study.ablate import Ablation, measure
from bakeoff.study.job import Job, Watcher
from bakeoff.study.ledger import Ledger
from bakeoff.study.recipe import write_recipe
from bakeoff.study.search import Judge, Search, make_search, run_search
from bakeoff.study.space import default_space

__all__ = ["run_ablation", "run_tuning", "search_for"]


def run_tuning(ledger: Ledger, out: Path, data: Path, watcher: Watcher) -> Found:
    """Run or resume a search to its end, and write the recipe that it chose to `out/recipe.toml`.

    Raises NothingTrainedError if the base recipe cannot be trained.
    """
    assert isinstance(ledger.plan, Search)
    job = Job(ledger, out, data, watcher)
    found = ledger.found or _search(job, ledger.plan)
    write_recipe(out / "recipe.toml", revise(ledger.plan.base, found.chosen, "the search"), ledger.plan.base)
    job.report()
    return found


def search_for(job: Job, base: Run, budget: float) -> Found:
    """The stage of a larger study: search around a recipe for some seconds. What is found goes into the ledger."""
    # The screen's probe may be longer than a trial, and is in the cache at one input size alone.
    plan = make_search(base, default_space(base), budget=budget, counts=job.ledger.data["counts"], head_start=True)
    return _search(job, plan)


def run_ablation(ledger: Ledger, out: Path, data: Path, watcher: Watcher) -> Effects:
    """Run or resume a factor-by-factor study to its end, or until its time is up.

    Raises NothingTrainedError if the base recipe failed.
    """
    assert isinstance(ledger.plan, Ablation)
    job = Job(ledger, out, data, watcher)
    if pending := ledger.plan.pending(job.records):
        watcher.stage_began(Stage.TUNE, len(pending), ledger.seconds_left)
        for run in pending:
            if _is_too_late(ledger):
                break
            job.train(run, Stage.TUNE, changes=ledger.plan.changes(run))
            ledger.effects = measure(ledger.plan, out, job.records)
            ledger.write(out)
    ledger.effects = measure(ledger.plan, out, job.records)
    if ledger.effects is None:
        reasons = [record.reason for record in job.records if record.config in ledger.plan.base]
        raise NothingTrainedError(f"the base recipe could not be trained: {'; '.join(reasons)}")
    job.report()
    return ledger.effects


def _is_too_late(ledger: Ledger) -> bool:
    """Whether more than half of another run would be beyond the budget. The first is always done."""
    facts = ledger.stage(Stage.TUNE)
    each = facts.seconds / len(facts.runs) if facts.runs else 0.0
    return bool(facts.runs) and (ledger.seconds_left or 0.0) < each / 2


def _search(job: Job, plan: Search) -> Found:
    def seconds_left() -> float:
        own = plan.budget_seconds - job.ledger.stage(Stage.TUNE).seconds
        whole = job.ledger.seconds_left
        return own if whole is None else min(own, whole)

    def train(run: Run, judge: Judge | None, changes: Mapping[str, Any]) -> RunRecord:
        return job.train(run, Stage.TUNE, judge=judge, changes=changes)

    job.watcher.stage_began(Stage.TUNE, None, job.ledger.seconds_left)
    found = run_search(plan, job.out, seconds_left=seconds_left, train=train)
    job.ledger.found = found
    job.ledger.write(job.out)
    write_board(job.out, rank(job.records))
    return found
