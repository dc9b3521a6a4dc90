"""The search for a network's recipe: Optuna's TPE with successive halving, each trial a run in a process of its own.

The trials are kept in OUT/tune.db, the runs as always. The base recipe is the first trial. The best of the others is
trained once more beside it with another seed, for the best of many trials was also lucky; that second pair decides.
"""

import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

from bakeoff.errors import ConfigError, NothingTrainedError, OutputError
from bakeoff.report.board import format_percent
from bakeoff.runs.config import Run, revise
from bakeoff.runs.events import RunProgress
from bakeoff.runs.findings import SearchResult
from bakeoff.runs.paired import compare, gather
from bakeoff.runs.record import RunRecord, State
from bakeoff.study.defaults import fit_to_length
from bakeoff.study.importance import weigh_keys
from bakeoff.study.run_pool import RunRequest, StopRule
from bakeoff.study.space import Parameter, Space

if TYPE_CHECKING:
    import optuna

__all__ = ["SHORTEST_SEARCH", "Search", "make_search", "run_search"]

# Evaluations of a trial; after each of them the worse half of those that came so far is stopped.
EVALUATIONS = 4
MINIMUM_TRIALS = 4
SHORTEST, LONGEST = 15.0, 600.0
# Wall clock of a trial besides its training, before any is measured.
AROUND = 25.0
# Trials in a row that had been trained before, after which nothing new is expected.
MOST_REPEATED = 20
# The trials, and the pair that decides.
SHORTEST_SEARCH = (MINIMUM_TRIALS + 2) * (SHORTEST + AROUND)
# Validation images that a trial is scored on; the pair that decides is scored on all.
MOST_SCORED = 2000


class Search(BaseModel):
    """What is searched, from where, and how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget_seconds: float
    base: Run
    """With the length of a trial."""
    space: Space


def make_search(
    base: Run,
    space: Space,
    *,
    budget: float,
    counts: Mapping[str, int],
    head_start: bool = False,
    settings: Sequence[str] = (),
) -> Search:
    """Trials of a twentieth of the budget each, from a base recipe whose length does not count.

    With a head start, each begins with a probe that fits its length. Settings are KEY=VALUE, over everything. Raises
    ConfigError for a budget that is too short.
    """
    seconds = round(min(LONGEST, max(SHORTEST, budget / 20)), 1)
    if budget < SHORTEST_SEARCH:
        raise ConfigError(f"a budget of {budget:.0f} s is too short for a search; give at least {SHORTEST_SEARCH:.0f}s")
    length = {"seconds": seconds, "images": None, "epochs": None, "evaluations": EVALUATIONS, "flip_test": False}
    length |= {"val_images": min(counts["val"], MOST_SCORED), "count_probe": True}
    base = fit_to_length(base, length, counts["train"], head_start=head_start, settings=settings)
    return Search(budget_seconds=budget, base=base, space=space.around(base))


class TrainEach(Protocol):
    """Trains what it is given, asking for the next one whenever it has a slot free; told how many there will be, it may
    give each more."""

    def __call__(self, requests: Iterable[RunRequest], runs: int | None = None) -> None: ...


def run_search(
    plan: Search, out: Path, *, seconds_left: Callable[[], float], train_each: TrainEach, slots: int = 1
) -> SearchResult:
    """Search until the time is up, or go on with a search that was interrupted; then let the second pair decide.

    With several slots as many trials are under way at once, and a new one is drawn as if those had ended badly, which
    spreads them (constant liar). Raises NothingTrainedError if the base recipe cannot be trained.
    """
    study = _open_study(out, plan, side_by_side=slots > 1)
    train_each(_draw_trials(study, plan, seconds_left, slots))
    return _decide(study, plan, out, train_each)


def _draw_trials(
    study: "optuna.Study", plan: Search, seconds_left: Callable[[], float], slots: int
) -> Iterator[RunRequest]:
    longest = AROUND + (plan.base.train.seconds or 0.0)
    repeated = 0
    needs_base = _base_trial(study) is None
    # The time is for the trial to come and the pair that decides.
    rounds = 1 + math.ceil(2 / max(slots, 1))
    # A small space is exhausted before.
    while needs_base or (seconds_left() > rounds * longest and repeated < MOST_REPEATED):
        trial = study.ask()
        run, changes = plan.space.draw(plan.base, partial(_ask, trial))
        trial.set_user_attr("changes", changes)
        needs_base = needs_base and bool(changes)

        def tell(
            record: RunRecord, trial: "optuna.Trial" = trial, started: float = time.monotonic(), own: bool = not changes
        ) -> None:
            nonlocal longest, repeated
            longest = max(longest, time.monotonic() - started)
            repeated = repeated + 1 if record.id in _runs_of(study) else 0
            _tell(study, trial, record)
            if own and record.state is not State.COMPLETE:
                raise NothingTrainedError(f"the recipe to start from could not be trained: {record.reason}")

        yield RunRequest(run, _stop_rule(trial, may_stop=bool(changes)), changes, tell)


def _runs_of(study: "optuna.Study") -> set[str]:
    return {trial.user_attrs["run"] for trial in study.get_trials(deepcopy=False) if "run" in trial.user_attrs}


def _decide(study: "optuna.Study", plan: Search, out: Path, train_each: TrainEach) -> SearchResult:
    base, best = _base_trial(study), study.best_trial
    assert base is not None
    states = {trial.user_attrs["run"]: trial.state.name for trial in study.trials if "run" in trial.user_attrs}
    found = SearchResult(
        base=base.user_attrs["run"],
        best=best.user_attrs["run"],
        changes=best.user_attrs["changes"],
        trials=dict(Counter(states.values())),
        importances=weigh_keys(study, plan.base, plan.space),
    )
    if not found.changes:
        return found
    again = plan.base.revised(train={"val_images": None}).model_copy(update={"seed": plan.base.seed + 1})
    pair: dict[str, RunRecord] = {}
    requests = [
        RunRequest(again, then=partial(pair.__setitem__, "before")),
        RunRequest(
            revise(again, found.changes, "the space"), changes=found.changes, then=partial(pair.__setitem__, "after")
        ),
    ]
    train_each(requests, runs=2)
    before, after = pair["before"], pair["after"]
    if State.FAILED in (before.state, after.state):
        return found
    difference = compare(out, [before.id], [after.id])
    scores = {"before": gather(out, [before]), "after": gather(out, [after]), "difference": difference}
    return found.model_copy(update=scores | {"kept": difference.points > 0})


def _open_study(out: Path, plan: Search, *, side_by_side: bool) -> "optuna.Study":
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = out / "tune.db"
    try:
        with warnings.catch_warnings():
            # Options of the sampler that its authors may still change.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(
                storage=f"sqlite:///{path.resolve()}",
                study_name="tune",
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
            )
            # A sampler that began anew with the same seed would draw the same trials again.
            seed = 1000 * plan.base.seed + len(study.trials)
            study.sampler = optuna.samplers.TPESampler(
                seed=seed, multivariate=True, group=True, n_startup_trials=6, constant_liar=side_by_side
            )
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        raise OutputError(f"cannot open {path}: {reason}; delete it to search anew, finished runs stay") from error
    if not study.trials:
        for settings in _first_trials(plan):
            study.enqueue_trial(settings)
    # The driver was killed: its trial is failed and asked for again. If its run was finished, it is not run again.
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def _first_trials(plan: Search) -> list[dict[str, Any]]:
    """The base recipe, and the same at a lower and a higher rate: what is wrong most often."""
    own = plan.space.locate(plan.base)
    trials = [own]
    for parameter in plan.space.parameters:
        if (
            parameter.key == "optim.learning_rate"
            and parameter.name in own
            and parameter.low is not None
            and parameter.high is not None
        ):
            rate = float(own[parameter.name])
            trials += [
                own | {parameter.name: min(parameter.high, max(parameter.low, rate * factor))} for factor in (2.5, 0.4)
            ]
    return trials


def _ask(trial: "optuna.Trial", parameter: Parameter) -> Any:
    if parameter.choices:
        return trial.suggest_categorical(parameter.name, parameter.choices)
    assert parameter.low is not None
    assert parameter.high is not None
    if parameter.whole:
        return trial.suggest_int(parameter.name, round(parameter.low), round(parameter.high), log=parameter.log)
    return trial.suggest_float(parameter.name, parameter.low, parameter.high, log=parameter.log)


def _stop_rule(trial: "optuna.Trial", *, may_stop: bool) -> StopRule:
    """Stops a run that is among the worse half of the trials that have come as far, if that may be."""
    seen = 0

    def stop_rule(event: RunProgress) -> str | None:
        nonlocal seen
        evaluations, top1 = event.evaluations, event.val_top1
        if top1 is None or not seen < evaluations < EVALUATIONS:
            return None
        seen = evaluations
        trial.report(top1, evaluations)
        if not (may_stop and trial.should_prune()):
            return None
        return f"pruned at {event.fraction:.0%} of its length: {format_percent(top1)} is among the worse half so far"

    return stop_rule


def _tell(study: "optuna.Study", trial: "optuna.Trial", record: RunRecord) -> None:
    from optuna.trial import TrialState

    trial.set_user_attr("run", record.id)
    if record.state is State.COMPLETE and record.val is not None:
        study.tell(trial, record.val.top1)
    else:
        study.tell(trial, state=TrialState.PRUNED if record.state is State.PRUNED else TrialState.FAIL)


def _base_trial(study: "optuna.Study") -> "optuna.trial.FrozenTrial | None":
    """The base recipe's trial, once it has completed."""
    from optuna.trial import TrialState

    completed = study.get_trials(states=(TrialState.COMPLETE,))
    return next((trial for trial in completed if not trial.user_attrs["changes"]), None)
