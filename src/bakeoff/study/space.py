"""The parameters of a recipe: which keys of a run may differ, between what values, and under which condition.

A space is a list of parameters, from a TOML file or from the family's defaults. The search draws all of them; the
factor-by-factor study takes the choices of one at a time.

    [[knob]]
    key = "optim.learning_rate"
    low = 0.0001
    high = 0.003
    log = true
    when = { "optim.name" = ["adamw", "adam"] }

    [[knob]]
    key = "train.patience"
    choices = [0, 3, 5]
    also = { "train.evaluations" = 12 }
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bakeoff.errors import ConfigError
from bakeoff.files import read_toml
from bakeoff.networks.table import find_network
from bakeoff.runs.config import Run, first_message, look_up, revise
from bakeoff.study.defaults import starts_at_random

__all__ = ["Parameter", "Space", "default_factors", "default_space", "read_space"]

Scalar = bool | int | float | str
Ask = Callable[["Parameter"], Scalar]


class Parameter(BaseModel):
    """One key of a run, and the values it may take: choices, or a range."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    choices: tuple[Scalar, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False
    """Draw evenly on the scale of the logarithm."""
    whole: bool = False
    """Draw whole numbers only."""
    when: dict[str, tuple[Scalar, ...]] = {}
    """Drawn only while each of these keys has one of its values; else the base recipe's value stays."""
    also: dict[str, Scalar] = {}
    """What else is set where this parameter leaves the base recipe's value."""

    @model_validator(mode="after")
    def _choices_or_range(self) -> Self:
        if bool(self.choices) == (self.low is not None or self.high is not None):
            raise ValueError(f"{self.key}: give either choices, or low and high")
        if not self.choices:
            if self.low is None or self.high is None or self.low >= self.high:
                raise ValueError(f"{self.key}: low must be below high, and both be given")
            if self.log and self.low <= 0:
                raise ValueError(f"{self.key}: on a logarithmic scale low must be above 0")
        return self

    @property
    def name(self) -> str:
        """The key, with the condition where there is one: a key may have several parameters."""
        terms = [f"{key} {' or '.join(map(str, values))}" for key, values in self.when.items()]
        return f"{self.key} ({', '.join(terms)})" if terms else self.key

    def including(self, value: Any) -> "Parameter":
        """The same parameter, widened to a value that it lacks."""
        if self.choices:
            return self if value in self.choices else self.model_copy(update={"choices": (value, *self.choices)})
        assert self.low is not None
        assert self.high is not None
        return self.model_copy(update={"low": min(self.low, value), "high": max(self.high, value)})


class Space(BaseModel):
    """Knobs in the order in which they are drawn; a parameter's conditions look at those before it, and at the base."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    parameters: tuple[Parameter, ...] = Field(alias="knobs")
    """`knobs` in `study.json`, whose format is older than this name."""

    def around(self, base: Run) -> "Space":
        """The space widened so that the base recipe lies in it. Raises ConfigError for keys or values no run has."""
        parameters = []
        for parameter in self.parameters:
            value = look_up(base, parameter.key)
            for key in (*parameter.when, *parameter.also):
                look_up(base, key)
            for extreme in parameter.choices or (parameter.low, parameter.high):
                value_told = _whole(extreme, parameter)
                revise(base, {parameter.key: value_told}, f"the space's {parameter.key} = {value_told!r}")
            if not isinstance(value, Scalar):
                raise ConfigError(
                    f"the space's {parameter.key}: the base recipe's value is {value!r}, which cannot be drawn"
                )
            parameters.append(parameter.including(value) if _holds(parameter, base, {}) else parameter)
        return Space(parameters=tuple(parameters))

    def only(self, keys: Sequence[str]) -> "Space":
        """The parameters of these keys. Raises ConfigError for a key that has none."""
        known = {parameter.key for parameter in self.parameters}
        if strange := [key for key in keys if key not in known]:
            raise ConfigError(f"the space has no {strange[0]!r}; it has {', '.join(sorted(known))}")
        return Space(parameters=tuple(parameter for parameter in self.parameters if parameter.key in keys))

    def draw(self, base: Run, ask: Ask) -> tuple[Run, dict[str, Scalar]]:
        """A run whose parameters are answered by `ask`, and the keys in which it differs from the base.

        Raises ConfigError if the values do not go together.
        """
        values: dict[str, Scalar] = {}
        also: dict[str, Scalar] = {}
        for parameter in self.parameters:
            if _holds(parameter, base, values):
                value = values[parameter.key] = ask(parameter)
                if value != look_up(base, parameter.key):
                    also |= parameter.also
        changes = {key: value for key, value in (also | values).items() if value != look_up(base, key)}
        return revise(base, changes, "the space"), changes

    def levels(self, base: Run) -> list[tuple[str, Scalar, Run]]:
        """Every choice that is not the base's own: key, value, and the base recipe with it alone.

        Raises ConfigError for a range, or for values that do not go together.
        """
        levels = []
        for parameter in self.parameters:
            if not parameter.choices:
                raise ConfigError(f"the space's {parameter.key} is a range; a factor needs choices")
            for value in parameter.choices:
                if _holds(parameter, base, {}) and value != look_up(base, parameter.key):
                    run = revise(base, {**parameter.also, parameter.key: value}, f"the space's {parameter.key}")
                    levels.append((parameter.key, value, run))
        return levels

    def locate(self, base: Run) -> dict[str, Scalar]:
        """The base recipe's own value of every parameter that would be drawn at it, by the parameters' names."""
        return {
            parameter.name: look_up(base, parameter.key) for parameter in self.parameters if _holds(parameter, base, {})
        }


def _holds(parameter: Parameter, base: Run, values: Mapping[str, Scalar]) -> bool:
    return all(
        (values[key] if key in values else look_up(base, key)) in allowed for key, allowed in parameter.when.items()
    )


def _whole(value: Scalar | None, parameter: Parameter) -> Scalar | None:
    return int(value) if parameter.whole and isinstance(value, float) else value


def read_space(path: Path) -> Space:
    """Read a space from a TOML file. Raises ConfigError naming the file and what is wrong."""
    try:
        raw = read_toml(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the space {path}: {error}; give a TOML file of [[knob]] tables") from error
    if set(raw) != {"knob"} or not raw["knob"]:
        raise ConfigError(f"{path}: a space has [[knob]] tables and nothing else")
    try:
        return Space(parameters=raw["knob"])
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ConfigError(f"{path}: {place}: {first_message(error)}") from error


def default_space(base: Run) -> Space:
    """What is worth searching for a network of this kind, with the recipe in it."""
    rate = base.optim.learning_rate
    parameters = [
        _choice("optim.name", "adamw", "adam", "lion", "sgd"),
        _rates(rate / 5, rate * 6, "adamw", "adam"),
        _rates(rate / 25, rate, "lion"),
        _rates(rate * 4, rate * 100, "sgd"),
        _choice("train.batch", 32, 64, 128),
        Parameter(key="optim.weight_decay", low=0.001, high=0.2, log=True, when={"optim.name": ("adamw", "lion")}),
        _choice("optim.label_smoothing", 0.0, 0.05, 0.1, 0.2),
        _choice("model.dropout", 0.0, 0.1, 0.2, 0.3, 0.5),
        _choice("augment.policy", *_policies(base)),
        Parameter(key="augment.crop", low=0.03, high=0.25, when={"augment.policy": _with_crop(base)}),
        _choice("optim.ema", 0.0, 0.9, 0.98, 0.995),
    ]
    if not starts_at_random(base):
        parameters += [
            _choice("model.unfreeze", 0.3, 0.6, 0.8, 1.0),
            _choice("model.size", *_sizes(base, 64, 96, 128)),
            _choice("model.batch_norm", "frozen", "train"),
        ]
    return Space(parameters=tuple(parameters)).around(base)


def default_factors(base: Run) -> Space:
    """The original study's eight factors, at its values or at ones that fit the network (docs/original-study.md)."""
    rate = base.optim.learning_rate
    parameters = [
        _choice("augment.policy", *_policies(base)),
        _choice("model.dropout", 0.15, 0.3, 0.5, 0.7),
        Parameter(key="train.patience", choices=(0, 3, 5, 8), also={"train.evaluations": 12}),
        _choice("optim.learning_rate", *(float(f"{rate * factor:.3g}") for factor in (0.1, 0.4, 2.5, 10))),
        _choice("train.batch", 32, 64, 128, 256),
        _choice("optim.name", "adam", "adamax", "sgd", "adamw"),
    ]
    if not starts_at_random(base):
        parameters = [
            _choice("model.size", *_sizes(base, 32, 64, 96, 128)),
            _choice("model.unfreeze", 0.0, 0.1, 0.2, 1.0),
            *parameters,
        ]
    return Space(parameters=tuple(parameters)).around(base)


def _choice(key: str, *choices: Scalar) -> Parameter:
    return Parameter(key=key, choices=choices)


def _rates(low: float, high: float, *optimizers: str) -> Parameter:
    return Parameter(key="optim.learning_rate", low=low, high=high, log=True, when={"optim.name": optimizers})


def _sizes(base: Run, *sizes: int) -> Sequence[int]:
    least = find_network(base.model.name).min_size
    return sorted({size for size in sizes if size >= least} | {base.model.size})


def _policies(base: Run) -> tuple[str, ...]:
    """Mirror images are other classes where the base recipe does not flip."""
    flip = "flip-" if "flip" in base.augment.policy else ""
    shapes = (
        "crop",
        "crop-cutout",
        "rotate-zoom-contrast",
        "crop-contrast-brightness",
        "crop-randaugment",
        "crop-mixup",
        "crop-cutmix",
    )
    return ("none", *(f"{flip}{shape}" for shape in shapes))


def _with_crop(base: Run) -> tuple[str, ...]:
    return tuple(policy for policy in _policies(base) if "crop" in policy)
