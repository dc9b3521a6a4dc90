"""The search space of a recipe: which keys of a run may change, to which values, and under which conditions.

A space is a list of parameters, from a TOML file or from `default_spaces`. A search draws a value for all of them; a
factor-by-factor study changes one at a time.

    [[parameter]]
    key = "optim.learning_rate"
    low = 0.0001
    high = 0.003
    log = true
    when = { "optim.name" = ["adamw", "adam"] }

    [[parameter]]
    key = "train.patience"
    choices = [0, 3, 5]
    also = { "train.evaluations" = 12 }
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from bakeoff.errors import ConfigError
from bakeoff.files import read_toml
from bakeoff.networks.backbone import check_size
from bakeoff.networks.find import find_network
from bakeoff.runs.config import Run, first_message, look_up, revise
from bakeoff.runs.facts import Facts

__all__ = ["Parameter", "Scalar", "Space", "read_space"]

Scalar = bool | int | float | str
Suggest = Callable[["Parameter"], Scalar]
"""Chooses the value of a parameter."""


class Parameter(Facts):
    """One key of a run, and the values that it may have: choices, or a range from `low` to `high`."""

    key: str
    """The key of the recipe, as in `optim.learning_rate`."""
    choices: tuple[Scalar, ...] = ()
    """The values that it may have."""
    low: float | None = None
    """Lower end of a range."""
    high: float | None = None
    """Upper end of a range."""
    log: bool = False
    """Draw uniformly on a logarithmic scale."""
    whole: bool = False
    """Draw whole numbers only. Of a key that takes no others they are drawn in any case."""
    when: dict[str, tuple[Scalar, ...]] = {}
    """Conditions: the parameter is active only if each of these keys has one of the values listed for it. Else the key
    keeps the base recipe's value."""
    also: dict[str, Scalar] = {}
    """Other keys that are set if the value differs from the base recipe's."""

    @model_validator(mode="after")
    def _choices_or_range(self) -> Self:
        if bool(self.choices) == (self.low is not None or self.high is not None):
            raise ValueError(f"{self.key}: give either choices, or low and high")
        if not self.choices:
            if self.low is None or self.high is None or self.low >= self.high:
                raise ValueError(f"{self.key}: low must be below high, and both must be given")
            if self.log and self.low <= 0:
                raise ValueError(f"{self.key}: on a logarithmic scale low must be above 0")
        return self

    @property
    def name(self) -> str:
        """The key with the conditions, because a key may have several parameters with different conditions."""
        terms = [f"{key} {' or '.join(map(str, values))}" for key, values in self.when.items()]
        return f"{self.key} ({', '.join(terms)})" if terms else self.key

    def widened_to(self, value: Any) -> "Parameter":
        """The parameter, with this value among its values. Raises ConfigError if its range cannot have the value."""
        if self.choices:
            return self if value in self.choices else self.model_copy(update={"choices": (value, *self.choices)})
        assert self.low is not None
        assert self.high is not None
        if not isinstance(value, int | float):
            raise ConfigError(
                f"the space's {self.key}: the base recipe's value {value!r} is no number;"
                " give choices instead of low and high"
            )
        if self.log and value <= 0:
            raise ConfigError(
                f"the space's {self.key}: the base recipe's value {value} is not on a logarithmic scale;"
                f" set another one, as in --set {self.key}={self.low:g}, or give choices instead of low and high"
            )
        return self.model_copy(update={"low": min(self.low, value), "high": max(self.high, value)})


class Space(Facts):
    """Parameters in the order in which they are drawn.

    A parameter's conditions refer to the parameters before it, or else to the base recipe.
    """

    model_config = ConfigDict(populate_by_name=True)

    parameters: tuple[Parameter, ...] = Field(alias="knobs")
    """Named `knobs` in `study.json`."""

    def widened_to(self, base: Run) -> "Space":
        """The space, with the base recipe in it. Raises ConfigError if a key or a value is invalid for a run."""
        parameters = []
        for parameter in self.parameters:
            value = look_up(base, parameter.key)
            for key in (*parameter.when, *parameter.also):
                look_up(base, key)
            if isinstance(value, int) and not parameter.choices:
                # A number between the two ends would be refused in the middle of a search.
                parameter = parameter.model_copy(update={"whole": True})
            for extreme in parameter.choices or (parameter.low, parameter.high):
                checked = _to_int(extreme, parameter)
                run = revise(base, {parameter.key: checked}, f"the space's {parameter.key} = {checked!r}")
                _check_size(parameter, run)
            if not isinstance(value, Scalar):
                raise ConfigError(
                    f"the space's {parameter.key}: the base recipe's value is {value!r}, which cannot be drawn"
                )
            parameters.append(parameter.widened_to(value) if _is_active(parameter, base, {}) else parameter)
        return Space(parameters=tuple(parameters))

    def only(self, keys: Sequence[str]) -> "Space":
        """The space with only the parameters of these keys. Raises ConfigError for a key without parameters."""
        known = {parameter.key for parameter in self.parameters}
        if unknown := [key for key in keys if key not in known]:
            raise ConfigError(f"the space has no {unknown[0]!r}; it has {', '.join(sorted(known))}")
        return Space(parameters=tuple(parameter for parameter in self.parameters if parameter.key in keys))

    def draw(self, base: Run, suggest: Suggest) -> tuple[Run, dict[str, Scalar]]:
        """Draw a run.

        Args:
            base: The recipe that is changed.
            suggest: Called with each active parameter, returns its value.

        Returns:
            The run, and its changes: the values by key that differ from the base recipe's.

        Raises:
            ConfigError: The values contradict each other.
        """
        values: dict[str, Scalar] = {}
        also: dict[str, Scalar] = {}
        for parameter in self.parameters:
            if _is_active(parameter, base, values):
                value = values[parameter.key] = suggest(parameter)
                if value != look_up(base, parameter.key):
                    also |= parameter.also
        changes = {key: value for key, value in (also | values).items() if value != look_up(base, key)}
        return revise(base, changes, "the space"), changes

    def levels(self, base: Run) -> list[tuple[str, Scalar, Run]]:
        """All choices that differ from the base recipe: key, value, and the base recipe with this change alone.

        Raises ConfigError if a parameter is a range, or if values contradict each other.
        """
        levels = []
        for parameter in self.parameters:
            if not parameter.choices:
                raise ConfigError(f"the space's {parameter.key} is a range; a factor needs choices")
            for value in parameter.choices:
                if _is_active(parameter, base, {}) and value != look_up(base, parameter.key):
                    run = revise(base, {**parameter.also, parameter.key: value}, f"the space's {parameter.key}")
                    levels.append((parameter.key, value, run))
        return levels

    def values_of(self, base: Run) -> dict[str, Scalar]:
        """The base recipe's values of the parameters that are active for it, by the parameters' names."""
        active = (parameter for parameter in self.parameters if _is_active(parameter, base, {}))
        return {parameter.name: look_up(base, parameter.key) for parameter in active}


def _is_active(parameter: Parameter, base: Run, values: Mapping[str, Scalar]) -> bool:
    """Whether a parameter's conditions are met by the values drawn so far, and else by the base recipe."""
    return all(
        (values[key] if key in values else look_up(base, key)) in allowed for key, allowed in parameter.when.items()
    )


def _check_size(parameter: Parameter, run: Run) -> None:
    """Raise ConfigError if the network of a run with a value of a parameter cannot take its input size."""
    network = find_network(run.model.name)
    check_size(network, run.model.size)
    if parameter.key == "model.size" and not parameter.choices and network.size_step > 1:
        raise ConfigError(
            f"the space's model.size: {network.name} takes multiples of {network.size_step} pixels;"
            " give choices instead of low and high"
        )


def _to_int(value: Scalar | None, parameter: Parameter) -> Scalar | None:
    return int(value) if parameter.whole and isinstance(value, float) else value


def read_space(path: Path) -> Space:
    """Read a space from a TOML file. Raises ConfigError that names the file and the mistake."""
    try:
        raw = read_toml(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the space {path}: {error}; give a TOML file of [[parameter]] tables") from error
    # Older files have [[knob]] tables.
    tables = raw.get("parameter", raw.get("knob"))
    if len(raw) != 1 or not tables:
        raise ConfigError(f"{path}: a space has [[parameter]] tables and nothing else")
    try:
        return Space(parameters=tables)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ConfigError(f"{path}: {place}: {first_message(error)}") from error
