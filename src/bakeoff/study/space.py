"""The knobs of a recipe: which keys of a run may differ, between what values, and under which condition.

A space is a list of knobs, from a TOML file or from the family's defaults. The search draws all of them; the
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

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from bakeoff.backbones import find_backbone
from bakeoff.config import Run, first_message, look_up, revise
from bakeoff.errors import ConfigError
from bakeoff.files import read_toml
from bakeoff.study.defaults import starts_at_random

__all__ = ["Knob", "Space", "default_factors", "default_space", "read_space"]

Scalar = bool | int | float | str
Ask = Callable[["Knob"], Scalar]


class Knob(BaseModel):
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
    """The knob is drawn only while each of these keys has one of its values; else the base recipe's value stays."""
    also: dict[str, Scalar] = {}
    """What else is set where this knob leaves the base recipe's value."""

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
        """The key, with the condition where there is one: a key may have several knobs."""
        terms = [f"{key} {' or '.join(map(str, values))}" for key, values in self.when.items()]
        return f"{self.key} ({', '.join(terms)})" if terms else self.key

    def including(self, value: Any) -> "Knob":
        """The same knob, widened to a value that it lacks."""
        if self.choices:
            return self if value in self.choices else self.model_copy(update={"choices": (value, *self.choices)})
        assert self.low is not None
        assert self.high is not None
        return self.model_copy(update={"low": min(self.low, value), "high": max(self.high, value)})


class Space(BaseModel):
    """Knobs in the order in which they are drawn; a knob's conditions look at those before it, and at the base."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    knobs: tuple[Knob, ...]

    def around(self, base: Run) -> "Space":
        """The space widened so that the base recipe lies in it. Raises ConfigError for keys or values no run has."""
        knobs = []
        for knob in self.knobs:
            value = look_up(base, knob.key)
            for key in (*knob.when, *knob.also):
                look_up(base, key)
            for extreme in knob.choices or (knob.low, knob.high):
                value_told = _whole(extreme, knob)
                revise(base, {knob.key: value_told}, f"the space's {knob.key} = {value_told!r}")
            if not isinstance(value, Scalar):
                raise ConfigError(
                    f"the space's {knob.key}: the base recipe's value is {value!r}, which cannot be drawn"
                )
            knobs.append(knob.including(value) if _holds(knob, base, {}) else knob)
        return Space(knobs=tuple(knobs))

    def only(self, keys: Sequence[str]) -> "Space":
        """The knobs of these keys. Raises ConfigError for a key that has none."""
        known = {knob.key for knob in self.knobs}
        if strange := [key for key in keys if key not in known]:
            raise ConfigError(f"the space has no {strange[0]!r}; it has {', '.join(sorted(known))}")
        return Space(knobs=tuple(knob for knob in self.knobs if knob.key in keys))

    def draw(self, base: Run, ask: Ask) -> tuple[Run, dict[str, Scalar]]:
        """A run whose knobs are answered by `ask`, and the keys in which it differs from the base.

        Raises ConfigError if the values do not go together.
        """
        values: dict[str, Scalar] = {}
        also: dict[str, Scalar] = {}
        for knob in self.knobs:
            if _holds(knob, base, values):
                value = values[knob.key] = ask(knob)
                if value != look_up(base, knob.key):
                    also |= knob.also
        changes = {key: value for key, value in (also | values).items() if value != look_up(base, key)}
        return revise(base, changes, "the space"), changes

    def levels(self, base: Run) -> list[tuple[str, Scalar, Run]]:
        """Every choice that is not the base's own: key, value, and the base recipe with it alone.

        Raises ConfigError for a range, or for values that do not go together.
        """
        levels = []
        for knob in self.knobs:
            if not knob.choices:
                raise ConfigError(f"the space's {knob.key} is a range; a factor needs choices")
            for value in knob.choices:
                if _holds(knob, base, {}) and value != look_up(base, knob.key):
                    run = revise(base, {**knob.also, knob.key: value}, f"the space's {knob.key}")
                    levels.append((knob.key, value, run))
        return levels

    def locate(self, base: Run) -> dict[str, Scalar]:
        """The base recipe's own value of every knob that would be drawn at it, by the knobs' names."""
        return {knob.name: look_up(base, knob.key) for knob in self.knobs if _holds(knob, base, {})}


def _holds(knob: Knob, base: Run, values: Mapping[str, Scalar]) -> bool:
    return all((values[key] if key in values else look_up(base, key)) in allowed for key, allowed in knob.when.items())


def _whole(value: Scalar | None, knob: Knob) -> Scalar | None:
    return int(value) if knob.whole and isinstance(value, float) else value


def read_space(path: Path) -> Space:
    """Read a space from a TOML file. Raises ConfigError naming the file and what is wrong."""
    try:
        raw = read_toml(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the space {path}: {error}; give a TOML file of [[knob]] tables") from error
    if set(raw) != {"knob"} or not raw["knob"]:
        raise ConfigError(f"{path}: a space has [[knob]] tables and nothing else")
    try:
        return Space(knobs=raw["knob"])
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ConfigError(f"{path}: {place}: {first_message(error)}") from error


def default_space(base: Run) -> Space:
    """What is worth searching for a network of this kind, with the recipe in it."""
    rate = base.optim.learning_rate
    knobs = [
        _choice("optim.name", "adamw", "adam", "lion", "sgd"),
        _rates(rate / 5, rate * 6, "adamw", "adam"),
        _rates(rate / 25, rate, "lion"),
        _rates(rate * 4, rate * 100, "sgd"),
        _choice("train.batch", 32, 64, 128),
        Knob(key="optim.weight_decay", low=0.001, high=0.2, log=True, when={"optim.name": ("adamw", "lion")}),
        _choice("optim.label_smoothing", 0.0, 0.05, 0.1, 0.2),
        _choice("model.dropout", 0.0, 0.1, 0.2, 0.3, 0.5),
        _choice("augment.policy", *_policies(base)),
        Knob(key="augment.crop", low=0.03, high=0.25, when={"augment.policy": _with_crop(base)}),
        _choice("optim.ema", 0.0, 0.9, 0.98, 0.995),
    ]
    if not starts_at_random(base):
        knobs += [
            _choice("model.unfreeze", 0.3, 0.6, 0.8, 1.0),
            _choice("model.size", *_sizes(base, 64, 96, 128)),
            _choice("model.batch_norm", "frozen", "train"),
        ]
    return Space(knobs=tuple(knobs)).around(base)


def default_factors(base: Run) -> Space:
    """The original study's eight factors, at its values or at ones that fit the network (docs/original-study.md)."""
    rate = base.optim.learning_rate
    knobs = [
        _choice("augment.policy", *_policies(base)),
        _choice("model.dropout", 0.15, 0.3, 0.5, 0.7),
        Knob(key="train.patience", choices=(0, 3, 5, 8), also={"train.evaluations": 12}),
        _choice("optim.learning_rate", *(float(f"{rate * factor:.3g}") for factor in (0.1, 0.4, 2.5, 10))),
        _choice("train.batch", 32, 64, 128, 256),
        _choice("optim.name", "adam", "adamax", "sgd", "adamw"),
    ]
    if not starts_at_random(base):
        knobs = [
            _choice("model.size", *_sizes(base, 32, 64, 96, 128)),
            _choice("model.unfreeze", 0.0, 0.1, 0.2, 1.0),
            *knobs,
        ]
    return Space(knobs=tuple(knobs)).around(base)


def _choice(key: str, *choices: Scalar) -> Knob:
    return Knob(key=key, choices=choices)


def _rates(low: float, high: float, *optimizers: str) -> Knob:
    return Knob(key="optim.learning_rate", low=low, high=high, log=True, when={"optim.name": optimizers})


def _sizes(base: Run, *sizes: int) -> Sequence[int]:
    least = find_backbone(base.model.name).min_size
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
