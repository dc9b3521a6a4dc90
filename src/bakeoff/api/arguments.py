"""What Python users give, checked and read. Every error is a ConfigError of one line that names the argument.

The values have gone through `plain_arguments`: a list stands for every kind of row.
"""

import inspect
import json
import math
import numbers
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from bakeoff.api.given import DataLike, is_frame, keep_given, name_given
from bakeoff.errors import ConfigError
from bakeoff.files import expand_home
from bakeoff.networks import Backbone
from bakeoff.networks.plugin import is_network, name_network
from bakeoff.runs.config import (
    Candidate,
    Data,
    Fit,
    FolderLayout,
    Metric,
    Run,
    override,
    parse_bytes,
    parse_candidate,
    parse_duration,
    pick_settings,
)

__all__ = [
    "Candidates",
    "Classes",
    "DataLike",
    "Names",
    "Network",
    "PathLike",
    "Paths",
    "Settings",
    "Weights",
    "describe_call",
    "names_policy",
    "read_bytes",
    "read_candidates",
    "read_data",
    "read_flag",
    "read_metric",
    "read_names",
    "read_optional_count",
    "read_optional_flag",
    "read_optional_path",
    "read_optional_share",
    "read_optional_text",
    "read_optional_whole",
    "read_path",
    "read_seconds",
    "read_settings",
    "read_texts",
    "read_weights",
    "read_whole",
    "refuse_network",
]

Choice = TypeVar("Choice", bound=StrEnum)

PathLike = str | os.PathLike[str]
Paths = PathLike | Iterable[PathLike]
Names = str | Iterable[str]
"""One text, or several; names in one text may be separated by commas."""
Network = str | Backbone | Callable[[], Backbone]
"""A network by its name, or as an object that a worker process can import."""
Candidates = Network | Iterable[Network]
"""One network, or several; names in one text may be separated by commas."""
Weights = Paths | Mapping[str, PathLike]
"""One file, several texts, or a file for each network, as in `{"mobilenet-v2": "mine.h5"}`."""
Classes = str | int | Iterable[str]
Settings = Iterable[str] | Mapping[str, Any]
"""`["train.epochs=3"]` or `{"train.epochs": 3}`."""


def read_path(name: str, value: PathLike) -> Path:
    """A path, with the user's home folder for `~`."""
    if not isinstance(value, str | os.PathLike):
        raise _wrong(name, value, "a path, as text or pathlib.Path")
    return expand_home(value)


def read_optional_path(name: str, value: PathLike | None) -> Path | None:
    """A path, or None."""
    return None if value is None else read_path(name, value)


def read_whole(name: str, value: int, least: int, most: float = math.inf) -> int:
    """A whole number from `least` to `most`, NumPy's included."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not least <= value <= most:
        limits = f"from {least} to {most}" if most < math.inf else f"of at least {least}"
        raise _wrong(name, value, f"a whole number {limits}")
    return int(value)


def read_optional_whole(name: str, value: int | None, least: int) -> int | None:
    """A whole number of at least `least`, or None."""
    return None if value is None else read_whole(name, value, least)


def read_flag(name: str, value: bool) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise _wrong(name, value, "True or False")
    return value


def read_optional_flag(name: str, value: bool | None) -> bool | None:
    """True, False or None."""
    return None if value is None else read_flag(name, value)


def read_optional_share(name: str, value: float | None) -> float | None:
    """A share between 0 and 1, without either, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < 1:
        raise _wrong(name, value, "a share between 0 and 1, as in 0.98")
    return float(value)


def read_optional_text(name: str, value: str | None) -> str | None:
    """A text, or None."""
    return None if value is None else _read_text(name, value)


def read_metric(value: str | None, recipe: Run | None = None, settings: Iterable[str] = ()) -> Metric | None:
    """The metric that was asked for, here, in a setting or in a recipe that names it; None: the data decide.

    Raises ConfigError if `value` is no metric, or not that of the settings.
    """
    asked = None if value is None else _read_choice("metric", value, Metric)
    if keys := pick_settings(settings, "train.metric"):
        of_settings = override(Run(), keys).train.metric
        if asked not in (None, of_settings):
            raise ConfigError(f"--metric {asked}, but --set {keys[-1]}: give one of them")
        return of_settings
    if asked is None and recipe is not None and "metric" in recipe.train.model_fields_set:
        return recipe.train.metric
    return asked


def names_policy(recipe: Run | None, settings: Iterable[str]) -> bool:
    """Whether a recipe or a setting names `augment.policy`; else the data decide whether images are mirrored.

    A setting that asks to score mirror images (`train.flip_test`) says, too, that they may be mirrored.
    """
    of_recipe = recipe is not None and "policy" in recipe.augment.model_fields_set
    scored = override(Run(), pick_settings(settings, "train.flip_test")).train.flip_test
    return of_recipe or scored or bool(pick_settings(settings, "augment.policy"))


def read_seconds(name: str, value: str | float | timedelta) -> float:
    """Seconds of a duration as text (`90s`, `10m`, `1h30m`), of a number of seconds, or of a timedelta."""
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < math.inf:
        raise _wrong(name, value, 'a duration, as in "10m", or a number of seconds above 0')
    return float(value)


def read_bytes(name: str, value: str | float) -> float:
    """Bytes of an amount of data as text (`500MB`, `2GB`), or of a number of bytes."""
    if isinstance(value, str):
        return parse_bytes(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not value >= 0:
        raise _wrong(name, value, 'an amount of data, as in "500MB", or a number of bytes')
    return float(value)


def read_texts(name: str, value: Paths | None) -> list[str]:
    """One text or path or several of them, as a list of texts; None is an empty list."""
    values = [] if value is None else [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(values, list) or not all(isinstance(one, str | os.PathLike) for one in values):
        raise _wrong(name, value, "a text or a list of texts")
    return [os.fspath(one) for one in values]


def read_weights(name: str, value: Weights | None) -> list[str]:
    """Weights as the texts that `--weights` takes. A path is a path, even if there is a `=` in it."""
    if not isinstance(value, Mapping):
        texts = read_texts(name, value)
        given = value if isinstance(value, list) else [value]
        pairs = zip(given, texts, strict=False)
        return [str(expand_home(one).absolute()) if isinstance(one, Path) else text for one, text in pairs]
    if not all(isinstance(network, str) for network in value):
        raise _wrong(name, value, 'names of networks with their files, as in {"mobilenet-v2": "mine.h5"}')
    return [f"{network}={os.fspath(read_path(f'{name}[{network!r}]', path))}" for network, path in value.items()]


def read_candidates(name: str, value: Candidates | None) -> tuple[Candidate, ...]:
    """Networks as `name` or `name@size`, in one text separated by commas; or as objects."""
    given: Any = value
    if is_network(value):
        given = name_network(value)
    elif isinstance(value, list):
        given = [name_network(each) if is_network(each) else each for each in value]
    parts = [part for text in read_texts(name, given) for part in text.split(",") if part.strip()]
    if not parts and value is not None and value != "":
        raise _wrong(name, value, "at least one network")
    return tuple(map(parse_candidate, parts))


def read_names(name: str, value: Names | None) -> tuple[str, ...]:
    """Names; in one text they are separated by commas. None is none."""
    parts = [part.strip() for text in read_texts(name, value) for part in text.split(",") if part.strip()]
    if not parts and value is not None:
        raise _wrong(name, value, "at least one name")
    return tuple(parts)


def read_optional_count(name: str, value: str | int | None) -> int | None:
    """A count of at least 1, as a number or as `500k`, `10M` or `1.5G`, or None."""
    if not isinstance(value, str):
        return read_optional_whole(name, value, 1)
    match = re.fullmatch(r"(\d[\d_,]*(?:\.\d+)?)\s*([kmg]?)", value.strip().lower())
    number = float(re.sub("[_,]", "", match[1])) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[match[2]] if match else 0.0
    if not 1 <= number < math.inf:
        raise _wrong(name, value, "a count, as in 500k or 10M")
    return round(number)


def read_data(
    data: "DataLike | None",
    classes: Classes | None,
    seed: int | None,
    exclude: PathLike | None,
    recipe: Run | None = None,
    settings: Iterable[str] = (),
    *,
    relabel: PathLike | None = None,
    layout: str | None = None,
    image_folder: PathLike | None = None,
    label: str | None = None,
    group: str | None = None,
    fit: str | None = None,
) -> Data:
    """Images and classes; with a recipe, what is None is that of the KEY=VALUE settings, or else the recipe's.

    Raises ConfigError if a value is wrong, or given both here and in the settings.
    """
    own = pick_settings(settings, "data")
    default = override(recipe or Run(), own).data
    given = {"source": data, "classes": classes, "seed": seed, "layout": layout, "image_folder": image_folder}
    given |= {"label": label, "group": group, "fit": fit, "exclude": exclude, "relabel": relabel}
    for name, value in given.items():
        if value is not None and (twice := pick_settings(own, f"data.{name}")):
            raise ConfigError(f"--set {twice[-1]} says what another argument says as well: give one of them")
    excluded, relabelled = read_optional_path("exclude", exclude), read_optional_path("relabel", relabel)
    seed = read_optional_whole("seed", seed, 0)
    if is_frame(data) and image_folder is None and not default.image_folder:
        raise _wrong("image_folder", None, "the folder of the images that the DataFrame names")
    return Data(
        source=default.source if data is None and recipe else _read_source(data),
        classes=default.classes if classes is None else _read_classes(classes),
        seed=default.seed if seed is None else seed,
        layout=default.layout if layout is None else _read_choice("layout", layout, FolderLayout),
        image_folder=default.image_folder if image_folder is None else str(read_path("image_folder", image_folder)),
        label=default.label if label is None else _read_text("label", label),
        group=default.group if group is None else _read_text("group", group),
        fit=default.fit if fit is None else _read_choice("fit", fit, Fit),
        exclude=default.exclude if excluded is None else str(excluded),
        relabel=default.relabel if relabelled is None else str(relabelled),
    )


def _read_source(data: DataLike) -> str:
    if (address := keep_given(data)) is not None:
        return address
    if not isinstance(data, str | os.PathLike):
        kind = type(data).__name__
        raise ConfigError(f"data is a {kind}: give a name, a path, a pandas DataFrame, or a tuple (images, labels)")
    return os.fspath(data)  # `photos/` stays as it was written


def _read_choice(name: str, value: str, choices: type[Choice]) -> Choice:
    try:
        return choices(value)
    except ValueError as error:
        raise _wrong(name, value, " or ".join(f'"{choice}"' for choice in choices)) from error


def _read_text(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise _wrong(name, value, "a text")
    return value


def _read_classes(value: Classes) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    names = read_texts("classes", value) if isinstance(value, list) else []
    if len(names) < 2:
        raise _wrong("classes", value, 'a number, "all", "coarse", or at least two names')
    return names


def refuse_network(settings: Iterable[str], option: str) -> None:
    """Raise ConfigError if a setting names the network of all runs, which an option does."""
    if named := pick_settings(settings, "model.name"):
        raise ConfigError(f"--set {named[-1]}: name networks with {option}")


def read_settings(value: Settings | None, deterministic: bool = False) -> list[str]:
    """KEY=VALUE settings of a recipe, from such texts or from a mapping; `deterministic` is short for one of them."""
    if isinstance(value, Mapping):
        settings = [f"{key}={_to_toml(key, one)}" for key, one in _flatten(value)]
    else:
        settings = read_texts("settings", value)
    return [*settings, *(["train.deterministic=true"] if read_flag("deterministic", deterministic) else [])]


def _flatten(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """`{"train": {"epochs": 3}}` as `("train.epochs", 3)`."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _to_toml(key: str, value: Any) -> str:
    try:
        # A number, a text or a list is written in JSON as in TOML.
        return json.dumps(os.fspath(value) if isinstance(value, os.PathLike) else value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise _wrong(f"settings[{key!r}]", value, "a number, a text, True, False or a list of these") from error


def _to_text(value: Any) -> str:
    """A value as Python code, paths as texts."""
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    if is_network(value):
        return repr(name_network(value))
    if isinstance(value, list):
        return f"[{', '.join(map(_to_text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_to_text(one)}' for key, one in value.items())}}}"
    return repr(value)


def describe_call(function: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """A call of a function of this package as Python code, without arguments that have their defaults."""
    parts = []
    for name, parameter in inspect.signature(function).parameters.items():
        value = arguments[name]
        if name in ("progress", "command"):
            continue
        text = name_given(value) or _to_text(value)
        if parameter.kind is not parameter.KEYWORD_ONLY:
            parts += [] if value is None else [text]
        elif text != repr(parameter.default):
            parts.append(f"{name}={text}")
    return f"bakeoff.{function.__name__}({', '.join(parts)})"


def _wrong(name: str, value: object, wanted: str) -> ConfigError:
    text = repr(value)
    return ConfigError(f"{name}={text if len(text) <= 80 else f'{text[:79]}…'}: give {wanted}")
