"""How much of the trials' scatter each key of a recipe explains (fANOVA, Hutter et al. 2014; Optuna's)."""

from typing import TYPE_CHECKING

from bakeoff.runs.config import Run, look_up
from bakeoff.study.space import Space

if TYPE_CHECKING:
    import optuna

__all__ = ["weigh_keys"]


def weigh_keys(study: "optuna.Study", base: Run, space: Space) -> dict[str, float]:
    """The keys' importances; none where all trials that completed scored the same, or hardly any did.

    Optuna weighs only what every trial has drawn. A key with several conditional parameters has a value in every trial.
    """
    import optuna

    completed = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    if len({trial.value for trial in completed}) < 3:
        return {}
    distributions = {
        key: _spread(base, space, key) for key in dict.fromkeys(parameter.key for parameter in space.parameters)
    }
    own = {key: look_up(base, key) for key in distributions}
    flat = optuna.create_study(direction="maximize")
    for trial in completed:
        params = own | {key: value for key, value in trial.user_attrs["changes"].items() if key in own}
        flat.add_trial(optuna.create_trial(params=params, distributions=distributions, value=trial.value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    weights = optuna.importance.get_param_importances(flat, evaluator=evaluator)
    return {name: float(weight) for name, weight in weights.items()}


def _spread(base: Run, space: Space, key: str) -> "optuna.distributions.BaseDistribution":
    """All values that a key can take under one condition or another."""
    import optuna

    parameters = [parameter for parameter in space.parameters if parameter.key == key]
    if any(parameter.choices for parameter in parameters):
        values = [look_up(base, key), *(value for parameter in parameters for value in parameter.choices)]
        return optuna.distributions.CategoricalDistribution(list(dict.fromkeys(values)))
    low = min(look_up(base, key), *(parameter.low for parameter in parameters if parameter.low is not None))
    high = max(look_up(base, key), *(parameter.high for parameter in parameters if parameter.high is not None))
    return optuna.distributions.FloatDistribution(low, high, log=all(parameter.log for parameter in parameters))
