"""The search for a network's recipe: Optuna's TPE with successive halving, each trial a run in a process of its own.

The trials are kept in OUT/tune.db, the runs as always. The base recipe is the first trial. The best of the others is
trained once more beside it with another seed, for the best of many trials was also lucky; that second pair decides.
"""

import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from bakeoff.board import say_percent
from bakeoff.config import Run, look_up, revise
from bakeoff.effects import Found, compare, gather
from bakeoff.errors import ConfigError, NothingTrainedError, OutputError
from bakeoff.launch import Event
from bakeoff.runs import RunRecord, State
from bakeoff.study.defaults import fit_to_length
from bakeoff.study.space import Knob, Space

if TYPE_CHECKING:
    import optuna

__all__ = ["SHORTEST_SEARCH", "Judge", "Search", "make_search", "run_search"]

# May stop a run, with a reason.
Judge = Callable[[Event], str | None]
# Trains a run under a judge; the mapping says in what it differs from the base recipe.
Train = Callable[[Run, Judge | None, Mapping[str, Any]], RunRecord]

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


def run_search(plan: Search, out: Path, *, seconds_left: Callable[[], float], train: Train) -> Found:
    """Search until the time is up, or go on with a search that was interrupted; then let the second pair decide.

    Raises NothingTrainedError if the base recipe cannot be trained.
    """
    study = _open_study(out, plan)
    longest = AROUND + (plan.base.train.seconds or 0.0)
    repeated = 0
    # The time is for the trial to come and the pair that decides. A small space is exhausted before.
    while (seconds_left() > 3 * longest and repeated < MOST_REPEATED) or _base_trial(study) is None:
        trial = study.ask()
        run, changes = plan.space.draw(plan.base, partial(_ask, trial))
        trial.set_user_attr("changes", changes)
        started = time.monotonic()
        record = train(run, _judge_by(trial), changes)
        longest = max(longest, time.monotonic() - started)
        repeated = repeated + 1 if record.id in _runs_of(study) else 0
        _tell(study, trial, record)
        if not changes and record.state is not State.COMPLETE:
            raise NothingTrainedError(f"the recipe to start from could not be trained: {record.reason}")
    return _decide(study, plan, out, train)


def _runs_of(study: "optuna.Study") -> set[str]:
    return {trial.user_attrs["run"] for trial in study.get_trials(deepcopy=False) if "run" in trial.user_attrs}


def _decide(study: "optuna.Study", plan: Search, out: Path, train: Train) -> Found:
    base, best = _base_trial(study), study.best_trial
    assert base is not None
    states = {trial.user_attrs["run"]: trial.state.name for trial in study.trials if "run" in trial.user_attrs}
    found = Found(
        base=base.user_attrs["run"],
        best=best.user_attrs["run"],
        changes=best.user_attrs["changes"],
        trials=dict(Counter(states.values())),
        importances=_weigh_keys(study, plan),
    )
    if not found.changes:
        return found
    again = plan.base.revised(train={"val_images": None}).model_copy(update={"seed": plan.base.seed + 1})
    before = train(again, None, {})
    after = train(revise(again, found.changes, "the space"), None, found.changes)
    if State.FAILED in (before.state, after.state):
        return found
    difference = compare(out, [before.id], [after.id])
    pair = {"before": gather(out, [before]), "after": gather(out, [after]), "difference": difference}
    return found.model_copy(update=pair | {"kept": difference.points > 0})


def _open_study(out: Path, plan: Search) -> "optuna.Study":
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
            study.sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=6)
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
    for knob in plan.space.knobs:
        if knob.key == "optim.learning_rate" and knob.name in own and knob.low is not None and knob.high is not None:
            rate = float(own[knob.name])
            trials += [own | {knob.name: min(knob.high, max(knob.low, rate * factor))} for factor in (2.5, 0.4)]
    return trials


def _ask(trial: "optuna.Trial", knob: Knob) -> Any:
    if knob.choices:
        return trial.suggest_categorical(knob.name, knob.choices)
    assert knob.low is not None
    assert knob.high is not None
    if knob.whole:
        return trial.suggest_int(knob.name, round(knob.low), round(knob.high), log=knob.log)
    return trial.suggest_float(knob.name, knob.low, knob.high, log=knob.log)


def _judge_by(trial: "optuna.Trial") -> Judge:
    """Stops a run that is among the worse half of the trials that have come as far."""
    seen = 0

    def judge(event: Event) -> str | None:
        nonlocal seen
        evaluations, top1 = event.get("evaluations", 0), event.get("val_top1")
        if top1 is None or not seen < evaluations < EVALUATIONS:
            return None
        seen = evaluations
        trial.report(top1, evaluations)
        if not trial.should_prune():
            return None
        return f"pruned at {event['fraction']:.0%} of its length: {say_percent(top1)} is among the worse half so far"

    return judge


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


def _weigh_keys(study: "optuna.Study", plan: Search) -> dict[str, float]:
    """The keys' importances; none where all trials that completed scored the same, or hardly any did.

    Optuna weighs only what every trial has drawn. A key with several conditional knobs has a value in every trial.
    """
    import optuna

    completed = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    if len({trial.value for trial in completed}) < 3:
        return {}
    distributions = {key: _spread(plan, key) for key in dict.fromkeys(knob.key for knob in plan.space.knobs)}
    own = {key: look_up(plan.base, key) for key in distributions}
    flat = optuna.create_study(direction="maximize")
    for trial in completed:
        params = own | {key: value for key, value in trial.user_attrs["changes"].items() if key in own}
        flat.add_trial(optuna.create_trial(params=params, distributions=distributions, value=trial.value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    weights = optuna.importance.get_param_importances(flat, evaluator=evaluator)
    return {name: float(weight) for name, weight in weights.items()}


def _spread(plan: Search, key: str) -> "optuna.distributions.BaseDistribution":
    """All values that a key can take under one condition or another."""
    import optuna

    knobs = [knob for knob in plan.space.knobs if knob.key == key]
    if any(knob.choices for knob in knobs):
        values = [look_up(plan.base, key), *(value for knob in knobs for value in knob.choices)]
        return optuna.distributions.CategoricalDistribution(list(dict.fromkeys(values)))
    low = min(look_up(plan.base, key), *(knob.low for knob in knobs if knob.low is not None))
    high = max(look_up(plan.base, key), *(knob.high for knob in knobs if knob.high is not None))
    return optuna.distributions.FloatDistribution(low, high, log=all(knob.log for knob in knobs))
