"""The trials of a search, which Optuna keeps in `tune.db`: draw values, stop the worse half, report results."""

import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.errors import OutputError
from bakeoff.report.board import format_score
from bakeoff.runs.config import Metric, Run
from bakeoff.runs.events import RunProgress
from bakeoff.runs.record import RunRecord, State
from bakeoff.study.run_pool import StopRule
from bakeoff.study.space import Parameter, Space

if TYPE_CHECKING:
    import optuna

__all__ = [
    "EVALUATIONS_PER_TRIAL",
    "STOPS",
    "count_trials",
    "find_base_trial",
    "is_base_waiting",
    "list_run_ids",
    "make_stop_rule",
    "open_trials",
    "report_result",
    "suggest_value",
]

# The last evaluation of a trial is at its end.
EVALUATIONS_PER_TRIAL = 4
# After these evaluations a trial is stopped if it is in the worse half of those that got as far: the powers of two, as
# in successive halving, so there is no decision after the third.
STOPS = (1, 2)
# Trials with random values before TPE models the scores.
RANDOM_TRIALS = 6
# The learning rate is the setting that is wrong most often: these multiples of the base recipe's are tried first.
FIRST_RATE_FACTORS = (2.5, 0.4)


def open_trials(out: Path, *, base: Run, space: Space, parallel: bool) -> "optuna.Study":
    """Open the trials of a new search, or of one that was interrupted.

    The sampler is TPE (Bergstra et al. 2011). The pruner is successive halving (Jamieson & Talwalkar 2016; Li et al.
    2018), asynchronous: a trial is compared with those that got as far before it.

    Args:
        out: The study's folder.
        base: The base recipe.
        space: The space that is searched.
        parallel: Whether several trials are under way at once.

    Raises:
        OutputError: `tune.db` is damaged.
    """
    import optuna
    from sqlalchemy import URL
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = out / "tune.db"
    try:
        with warnings.catch_warnings():
            # Optuna warns that the sampler's options may still change.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(
                storage=URL.create("sqlite", database=str(path.resolve())).render_as_string(),
                study_name="tune",
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
            )
            # A continued search needs another seed, or its sampler would draw the same values again.
            seed = 1000 * base.seed + len(study.trials)
            study.sampler = optuna.samplers.TPESampler(
                seed=seed, multivariate=True, group=True, n_startup_trials=RANDOM_TRIALS, constant_liar=parallel
            )
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        raise OutputError(
            f"cannot open {path}: {reason}; delete it to start the search again, finished runs are kept"
        ) from error
    if not study.trials:
        for values in _first_trials(base, space):
            study.enqueue_trial(values)
    # Trials left RUNNING by a process that was killed: they fail, and are tried again. A run that is finished is not
    # repeated. A process that was killed while it drew the values has stored only a part of them.
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        study.enqueue_trial(_queued_values(trial) | trial.params)
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    # All that a search finds is compared with the base recipe.
    if find_base_trial(study) is None and not is_base_waiting(study, base, space):
        study.enqueue_trial(dict(space.values_of(base)))
    return study


def is_base_waiting(study: "optuna.Study", base: Run, space: Space) -> bool:
    """Whether a trial of the base recipe is still to be drawn."""
    from optuna.trial import TrialState

    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    return any(_queued_values(trial) == space.values_of(base) for trial in waiting)


def _queued_values(trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
    """The values by parameter with which a trial was queued; none if the sampler chooses them."""
    values: dict[str, Any] = trial.system_attrs.get("fixed_params", {})
    return values


def _first_trials(base: Run, space: Space) -> list[dict[str, Any]]:
    """The values of the first trials: the base recipe, then the same with a higher and a lower learning rate."""
    base_values = space.values_of(base)
    trials = [base_values]
    for parameter in space.parameters:
        if (
            parameter.key == "optim.learning_rate"
            and parameter.name in base_values
            and parameter.low is not None
            and parameter.high is not None
        ):
            rate = float(base_values[parameter.name])
            trials += [
                base_values | {parameter.name: min(parameter.high, max(parameter.low, rate * factor))}
                for factor in FIRST_RATE_FACTORS
            ]
    return trials


def suggest_value(trial: "optuna.Trial", parameter: Parameter) -> Any:
    """Draw the value of a parameter for a trial."""
    if parameter.choices:
        return trial.suggest_categorical(parameter.name, parameter.choices)
    assert parameter.low is not None
    assert parameter.high is not None
    if parameter.whole:
        return trial.suggest_int(parameter.name, round(parameter.low), round(parameter.high), log=parameter.log)
    return trial.suggest_float(parameter.name, parameter.low, parameter.high, log=parameter.log)


def make_stop_rule(trial: "optuna.Trial", metric: Metric, *, may_stop: bool) -> StopRule:
    """A rule that reports a trial's scores, and stops it if it is in the worse half of those that got as far (STOPS).

    With `may_stop=False` it only reports them, and other trials are not compared with this one. Optuna is told numbers
    of which more is better.
    """
    reported = 0

    def stop_rule(event: RunProgress) -> str | None:
        nonlocal reported
        evaluations, score = event.evaluations, event.val_score
        if score is None or not reported < evaluations < EVALUATIONS_PER_TRIAL:
            return None
        reported = evaluations
        trial.report(metric.merit(score), evaluations)
        if not (may_stop and trial.should_prune()):
            return None
        text = format_score(score, metric)
        return f"pruned at {event.fraction:.0%} of its length: {text} is among the worse half so far"

    return stop_rule


def report_result(study: "optuna.Study", trial: "optuna.Trial", record: RunRecord) -> None:
    """End a trial with the result of its run."""
    from optuna.trial import TrialState

    trial.set_user_attr("run", record.id)
    estimate = record.val.read(record.metric) if record.val else None
    if record.state is State.COMPLETE and estimate is not None:
        study.tell(trial, record.metric.merit(estimate.value))
    else:
        study.tell(trial, state=TrialState.PRUNED if record.state is State.PRUNED else TrialState.FAIL)


def find_base_trial(study: "optuna.Study") -> "optuna.trial.FrozenTrial | None":
    """The trial of the base recipe; None as long as it has not completed."""
    from optuna.trial import TrialState

    completed = study.get_trials(states=(TrialState.COMPLETE,))
    return next((trial for trial in completed if not trial.user_attrs["changes"]), None)


def list_run_ids(study: "optuna.Study") -> set[str]:
    """The ids of all runs of trials that have ended."""
    return {trial.user_attrs["run"] for trial in study.get_trials(deepcopy=False) if "run" in trial.user_attrs}


def count_trials(study: "optuna.Study") -> dict[str, int]:
    """How many runs of trials there are, by the state in which their trials ended."""
    trials = study.get_trials(deepcopy=False)
    ends = {trial.user_attrs["run"]: trial.state.name for trial in trials if "run" in trial.user_attrs}
    return dict(Counter(ends.values()))
