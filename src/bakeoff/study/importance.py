"""How much each key of a recipe matters: its share of the variance of scores (fANOVA, Hutter et al. 2014)."""

from typing import TYPE_CHECKING

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
    distributions = {key: _join_values(base, space, key) for key in keys}
    base_values = {key: look_up(base, key) for key in distributions}
    joined = optuna.create_study(direction="maximize")
    for trial in completed:
        changes = {key: value for key, value in trial.user_attrs["changes"].items() if key in base_values}
        params = base_values | changes
        joined.add_trial(optuna.create_trial(params=params, distributions=distributions, value=trial.value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    importances = optuna.importance.get_param_importances(joined, evaluator=evaluator)
    return {name: float(importance) for name, importance in importances.items()}


def _join_values(base: Run, space: Space, key: str) -> "optuna.distributions.BaseDistribution":
    """All values that a key can have, under any condition."""
    import optuna

    parameters = [parameter for parameter in space.parameters if parameter.key == key]
    if any(parameter.choices for parameter in parameters):
        values = [look_up(base, key), *(value for parameter in parameters for value in parameter.choices)]
        return optuna.distributions.CategoricalDistribution(list(dict.fromkeys(values)))
    low = min(look_up(base, key), *(parameter.low for parameter in parameters if parameter.low is not None))
    high = max(look_up(base, key), *(parameter.high for parameter in parameters if parameter.high is not None))
    return optuna.distributions.FloatDistribution(low, high, log=all(parameter.log for parameter in parameters))
