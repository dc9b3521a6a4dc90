"""The search for a network's recipe: TPE (Bergstra et al. 2011) with successive halving, by Optuna.

Each trial is a run. The first trial is the base recipe. The best of many trials was partly lucky: so the base recipe
and the best one are trained once more, with another seed, and this pair decides which of the two is chosen.
"""

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bakeoff.errors import ConfigError
from bakeoff.runs.config import Run, pick_settings, revise
from bakeoff.runs.facts import Facts
from bakeoff.runs.findings import SearchResult
from bakeoff.runs.paired import compare, summarise
from bakeoff.runs.record import RunRecord, State, list_records
from bakeoff.study.defaults import set_length
from bakeoff.study.forecast import Forecast
from bakeoff.study.importance import estimate_importances
from bakeoff.study.run_pool import RunRequest
from bakeoff.study.space import Space
from bakeoff.study.trials import (
    EVALUATIONS_PER_TRIAL,
    count_trials,
    find_base_trial,
    is_base_waiting,
    list_run_ids,
    make_stop_rule,
    open_trials,
    report_result,
    suggest_value,
)

if TYPE_CHECKING:
    import optuna

__all__ = ["MIN_SEARCH_SECONDS", "Search", "make_search", "run_search"]

# Training seconds of a trial: a twentieth of the search's budget, within these limits.
MIN_TRIAL_SECONDS, MAX_TRIAL_SECONDS = 15.0, 600.0
# Wall-clock seconds of a trial that are not training, before any is measured.
TRIAL_OVERHEAD_SECONDS = 25.0
# A search has time for at least this many trials.
MIN_TRIALS = 4
# A search has time for its trials, and for the pair that decides.
MIN_SEARCH_SECONDS = (MIN_TRIALS + 2) * (MIN_TRIAL_SECONDS + TRIAL_OVERHEAD_SECONDS)
# After this many trials in a row whose run had been done before, the space is exhausted.
MAX_REPEATED_TRIALS = 20
# Validation images that a trial is scored on: as many as there is time for; the pair that decides is scored on all.
VAL_IMAGES = (2000, 1000, 500, 250)


class Search(Facts):
    """The plan of a search: its budget, its base recipe and its space."""

    budget_seconds: float
    """Wall-clock seconds for the whole search."""
    base: Run
    """The base recipe, with the length of a trial."""
    space: Space
    decides: str = ""
    """A sentence on the metric that decides."""
    sets_val: bool = False
    """Whether a setting says on how many validation images trials are scored; else the pace of the machine does."""

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for."""
        asked = self.model_dump(mode="json", exclude={"decides"})
        if not self.sets_val:
            asked["base"] = self.base.revised(train={"val_images": None}).model_dump(mode="json")
        return {"metric": self.base.train.metric.value, **asked}


def make_search(
    base: Run,
    space: Space,
    *,
    budget: float,
    counts: Mapping[str, int],
    forecast: Forecast | None = None,
    head_start: bool = False,
    settings: Sequence[str] = (),
    decides: str = "",
) -> Search:
    """Plan a search around a base recipe, with trials that train for a twentieth of the budget each.

    Args:
        base: The base recipe; its length is replaced.
        space: What may change.
        budget: Wall-clock seconds for the whole search.
        counts: Images by split.
        forecast: The time that runs take on this machine: where it is slow, trials are scored on fewer images. None for
            the most images.
        head_start: Whether each trial starts its head from a probe (LP-FT, Kumar et al. 2022).
        settings: KEY=VALUE, applied last.
        decides: A sentence on the metric that decides, which is the base recipe's.

    Raises:
        ConfigError: The budget is too short, or the space has a parameter twice.
    """
    names = Counter(parameter.name for parameter in space.parameters)
    if twice := next((name for name, count in names.items() if count > 1), ""):
        raise ConfigError(f"the space has {twice} twice; give its values in one table")
    seconds = round(min(MAX_TRIAL_SECONDS, max(MIN_TRIAL_SECONDS, budget / 20)), 1)
    if budget < MIN_SEARCH_SECONDS:
        raise ConfigError(
            f"a budget of {budget:.0f} s is too short for a search; give at least {MIN_SEARCH_SECONDS:.0f}s"
        )

    def set_trial_length(val_images: int) -> Run:
        length = {
            "seconds": seconds,
            "evaluations": EVALUATIONS_PER_TRIAL,
            "flip_test": False,
            "val_images": min(counts["val"], val_images),
            "count_probe": True,
        }
        return set_length(base, length, train_images=counts["train"], head_start=head_start, settings=settings)

    trials = [set_trial_length(images) for images in VAL_IMAGES]
    share = budget / (MIN_TRIALS + 2)
    base = next((run for run in trials if not forecast or forecast.whole(run, counts) <= share), trials[-1])
    space = space.widened_to(base)
    return Search(
        budget_seconds=budget,
        base=base,
        space=space,
        decides=decides,
        sets_val=bool(pick_settings(settings, "train.val_images")),
    )


class TrainEach(Protocol):
    """Trains the requested runs; takes the next request when a slot is free. If the number of runs is given, each
    may get more cores."""

    def __call__(self, requests: Iterable[RunRequest], runs: int | None = None) -> None: ...


def _predict_roughly(run: Run) -> float:
    """Wall-clock seconds of a trial on a machine of which nothing is known."""
    return TRIAL_OVERHEAD_SECONDS + (run.train.seconds or 0.0)


def run_search(
    plan: Search,
    out: Path,
    *,
    seconds_left: Callable[[], float],
    train_each: TrainEach,
    slots: int = 1,
    predict: Callable[[Run], float] = _predict_roughly,
) -> SearchResult:
    """Search until the time is up, then confirm the best trial. A search that was interrupted is continued.

    With several slots, a new trial is drawn as if the trials under way had bad scores, so that they differ (constant
    liar, Ginsbourger et al. 2010).

    Args:
        plan: The plan of the search.
        out: The study's folder; the trials are kept in its `tune.db`.
        seconds_left: Returns the wall-clock seconds that are left for the search.
        train_each: Trains the runs.
        slots: Runs in parallel.
        predict: Returns the wall-clock seconds that a run is expected to take. Those of trials are measured as soon as
            one has ended.

    Returns:
        What was found. If the base recipe cannot be trained, there is nothing to compare with, and `failed` says why.
    """
    study = open_trials(out, base=plan.base, space=plan.space, parallel=slots > 1)
    known = _find_base_record(plan, out)
    if known is None or known.state is not State.FAILED:
        train_each(_draw_trials(study, plan, seconds_left, slots, predict))
    if find_base_trial(study) is not None:
        return _confirm_best(study, plan, out, train_each)
    base = _find_base_record(plan, out)
    assert base is not None
    failed = base.reason if base.state is State.FAILED else f"its {plan.base.train.metric.label} is not defined"
    return SearchResult(base=base.id, best=base.id, trials=count_trials(study), failed=failed)


def _find_base_record(plan: Search, out: Path) -> RunRecord | None:
    """The record of the base recipe's trial; None as long as it has not ended."""
    records = (record for record in list_records(out) if record.state is not State.RUNNING)
    return next((record for record in records if record.config == plan.base), None)


def _draw_trials(
    study: "optuna.Study",
    plan: Search,
    seconds_left: Callable[[], float],
    slots: int,
    predict: Callable[[Run], float],
) -> Iterator[RunRequest]:
    measured, deciding = list[float](), _make_deciding(plan)
    repeated, base_failed = 0, False

    def has_next() -> bool:
        """Whether there is time for another trial, and something new to try: a small space is exhausted before."""
        expected = predict(plan.base)
        # Trials that were stopped on the way do not say how long a whole one takes.
        trial_seconds = statistics.median(measured) if measured else expected
        # The next trial, and the pair that decides, which scores more images.
        needed = trial_seconds + math.ceil(2 / max(slots, 1)) * (trial_seconds + predict(deciding) - expected)
        return seconds_left() > needed and repeated < MAX_REPEATED_TRIALS

    # The base recipe is tried in any case. Without its score nothing can be found.
    while not base_failed and (is_base_waiting(study, plan.base, plan.space) or has_next()):
        trial = study.ask()
        run, changes = plan.space.draw(plan.base, partial(suggest_value, trial))
        trial.set_user_attr("changes", changes)
        is_base = not changes

        def on_end(
            record: RunRecord, trial: "optuna.Trial" = trial, started: float = time.monotonic(), is_base: bool = is_base
        ) -> None:
            nonlocal repeated, base_failed
            known = record.id in list_run_ids(study)
            repeated = repeated + 1 if known else 0
            if record.state is State.COMPLETE and not known:
                measured.append(time.monotonic() - started)
            report_result(study, trial, record)
            base_failed = base_failed or (is_base and find_base_trial(study) is None)

        stop_rule = make_stop_rule(trial, run.train.metric, may_stop=not is_base)
        yield RunRequest(run, stop_rule, changes, on_end)


def _make_deciding(plan: Search) -> Run:
    """The base recipe as one of the pair that decides: with another seed, scored on all validation images."""
    return plan.base.revised(train={"val_images": None}).model_copy(update={"seed": plan.base.seed + 1})


def _confirm_best(study: "optuna.Study", plan: Search, out: Path, train_each: TrainEach) -> SearchResult:
    """Train the base recipe and the best one once more, with another seed; the better of this pair is chosen."""
    base, best = find_base_trial(study), study.best_trial
    assert base is not None
    found = SearchResult(
        base=base.user_attrs["run"],
        best=best.user_attrs["run"],
        changes=best.user_attrs["changes"],
        trials=count_trials(study),
        importances=estimate_importances(study, plan.base, plan.space),
    )
    if not found.changes:
        return found
    base_run = _make_deciding(plan)
    best_run = revise(base_run, found.changes, "the space")
    pair: dict[str, RunRecord] = {}
    requests = [
        RunRequest(base_run, then=partial(pair.__setitem__, "before")),
        RunRequest(best_run, changes=found.changes, then=partial(pair.__setitem__, "after")),
    ]
    train_each(requests, runs=2)
    before, after = pair["before"], pair["after"]
    if State.FAILED in (before.state, after.state):
        return found
    metric = plan.base.train.metric
    difference = compare(out, [before.id], [after.id], metric)
    arms = {"before": summarise(out, [before], metric), "after": summarise(out, [after], metric)}
    return found.model_copy(update=arms | {"difference": difference, "kept": difference.points > 0})
