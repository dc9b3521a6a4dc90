"""Read recipes from TOML or JSON files, and apply `--set` settings to them."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bakeoff.errors import ConfigError
from bakeoff.files import read_json, read_toml
from bakeoff.runs.config.parse import first_message, parse_candidate
from bakeoff.runs.config.run import Candidate, Run
from bakeoff.runs.config.train import Mode

__all__ = [
    "differences",
    "find_length",
    "look_up",
    "makes_probes",
    "override",
    "parse_settings",
    "pick_settings",
    "read_comparison",
    "read_run",
    "revise",
]

_LENGTHS = (["train", "seconds"], ["train", "images"], ["train", "epochs"])


def read_run(path: Path) -> Run:
    """Read a run from a TOML or JSON file. Raises ConfigError, which names the file and the key."""
    return _validated(_read_recipe(path), str(path))


def read_comparison(path: Path) -> tuple[Run, list[Candidate]]:
    """Read a recipe for several networks.

    Returns:
        The run, and the candidates listed under the top-level key `candidates`; empty if it is absent.

    Raises:
        ConfigError: The file cannot be read, or a key is wrong.
    """
    raw = _read_recipe(path)
    names = raw.pop("candidates", []) if isinstance(raw, dict) else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f'{path}: candidates must be a list of names, as in candidates = ["vgg-16@78"]')
    return _validated(raw, str(path)), [parse_candidate(name) for name in names]


def override(run: Run, settings: Iterable[str]) -> Run:
    """Apply `section.key=value` settings to a run.

    Raises ConfigError.
    """
    return revise(run, parse_settings(settings), "--set")


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """The values of `section.key=value` settings by key.

    A value is read as TOML where that is possible, else as text. Of several settings of one key, the last counts.

    Raises ConfigError.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or not all(key.split(".")):
            raise ConfigError(f"--set {setting!r} is not KEY=VALUE, as in --set optim.learning_rate=0.001")
        values.pop(key, None)  # the last setting of a key is applied last
        values[key] = _toml_value(text.strip())
    return values


def pick_settings(settings: Iterable[str], *keys: str) -> list[str]:
    """Those of KEY=VALUE settings whose key is one of these, such as `train.epochs`, or in a section such as `data`."""
    starts = tuple(f"{key}." for key in keys)
    return [setting for setting in settings if f"{setting.partition('=')[0].strip()}.".startswith(starts)]


def find_length(settings: Iterable[str]) -> str:
    """The last of KEY=VALUE settings that gives runs a length; empty if none does."""
    return next(reversed(pick_settings(settings, *(".".join(path) for path in _LENGTHS))), "")


def makes_probes(settings: Iterable[str], recipe: Run | None = None) -> bool:
    """Whether KEY=VALUE settings, or without one of the mode a recipe, make runs probes, which have no length.

    Raises ConfigError if a value is wrong.
    """
    modes = pick_settings(settings, "train.mode")
    run = override(Run(), modes) if modes or recipe is None else recipe
    return run.train.mode is Mode.PROBE


def revise(run: Run, values: Mapping[str, Any], where: str) -> Run:
    """A validated copy of a run with new values.

    Setting one of train.seconds, train.images and train.epochs clears the other two. `train.mode = probe` clears all
    three, because a probe has no length.

    Args:
        run: The run to start from.
        values: New values by `section.key`.
        where: Where the values come from, for error messages.

    Raises:
        ConfigError: There is no such key, or a value is not allowed.
    """
    raw = run.model_dump(mode="json")
    for key, value in values.items():
        path = key.split(".")
        section = raw
        for part in path[:-1]:
            if not isinstance(section.get(part), dict):
                raise ConfigError(f"{where}: {key}: there is no section {part!r}; sections are {_sections()}")
            section = section[part]
        if path in _LENGTHS or (path == ["train", "mode"] and value == Mode.PROBE):
            section |= {name: None for _, name in _LENGTHS}
        section[path[-1]] = value
    return _validated(raw, where)


def look_up(run: Run, key: str) -> Any:
    """The value of `section.key`, as in JSON. Raises ConfigError if there is no such key."""
    value: Any = run.model_dump(mode="json")
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ConfigError(f"there is no key {key!r}; sections are {_sections()}")
        value = value[part]
    return value


def differences(base: Run, run: Run) -> dict[str, Any]:
    """The keys in which a run differs from a base recipe, except the seed: the run's values, as in JSON, by key."""
    raw, before = run.model_dump(mode="json"), base.model_dump(mode="json")
    return {
        f"{section}.{name}": value
        for section, values in raw.items()
        if isinstance(values, dict)
        for name, value in values.items()
        if value != before[section][name]
    }


def _read_recipe(path: Path) -> Any:
    try:
        return read_json(path) if path.suffix == ".json" else read_toml(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the recipe {path}: {error}; give the path of a TOML file") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not valid {path.suffix.lstrip('.') or 'toml'}: {error}") from error


def _validated(raw: Any, where: str) -> Run:
    try:
        return Run.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the recipe"
        message = first_message(error)
        if first["type"] == "extra_forbidden":
            message = f"there is no such key; keys here are {_keys(first['loc'])}"
        raise ConfigError(f"{where}: {key}: {message}") from error


def _sections() -> str:
    return ", ".join(name for name, field in Run.model_fields.items() if field.annotation is not int)


def _keys(location: tuple[int | str, ...]) -> str:
    section: Any = Run
    for name in location[:-1]:
        section = section.model_fields[name].annotation
    return ", ".join(section.model_fields)


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
