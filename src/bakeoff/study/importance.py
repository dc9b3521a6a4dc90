"""How much each key of a recipe matters: its share of the variance of scores (fANOVA, Hutter et al. 2014)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bakeoff.runs.config import Run, look_up
from bakeoff.study.space import Space

if TYPE_CHECKING:
    import optuna

__all__ = ["estimate_importances"]

# With fewer different scores there is no variance to explain.
MIN_DIFFERENT_SCORES = 3


def estimate_importances(study: "optuna.Study", base: Run, space: Space) -> dict[str, float]:
    """The importance of each key of a space, in [0, 1]; their sum is 1. Empty if there are too few different scores.

    Optuna evaluates only parameters that every trial has drawn. So conditional parameters of one key are joined, and a
    trial that has not drawn a key has the base recipe's value.
    """
    import optuna

    completed = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    if len({trial.value for trial in completed}) < MIN_DIFFERENT_SCORES:
        return {}
    keys = dict.fromkeys(parameter.key for parameter in space.parameters)
    drawn = [{key: trial.user_attrs["changes"].get(key, look_up(base, key)) for key in keys} for trial in completed]
    distributions = {key: _join_values(space, key, [params[key] for params in drawn]) for key in keys}
    joined = optuna.create_study(direction="maximize")
    for trial, params in zip(completed, drawn, strict=True):
        joined.add_trial(optuna.create_trial(params=params, distributions=distributions, value=trial.value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    importances = optuna.importance.get_param_importances(joined, evaluator=evaluator)
    return {name: float(importance) for name, importance in importances.items()}


def _join_values(space: Space, key: str, drawn: Sequence[Any]) -> "optuna.distributions.BaseDistribution":
    """All values that a key can have, under any condition, and those that it had in trials.

    The base recipe may have another one, if no parameter of the key is active for it, and so may a trial, by the `also`
    of another parameter.
    """
    import optuna

    parameters = [parameter for parameter in space.parameters if parameter.key == key]
    values = [*drawn, *(value for parameter in parameters for value in parameter.choices)]
    ends = [end for parameter in parameters for end in (parameter.low, parameter.high) if end is not None]
    if not ends:
        return optuna.distributions.CategoricalDistribution(list(dict.fromkeys(values)))
    low, high = min(*values, *ends), max(*values, *ends)
    # A logarithmic scale has no 0.
    return optuna.distributions.FloatDistribution(
        low, high, log=low > 0 and all(parameter.log for parameter in parameters)
    )
