"""The layers and functions in a saved Keras model that are not Keras' own. Reads JSON alone, runs nothing."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["CustomObject", "list_custom_objects", "name_custom_objects", "read_custom_objects"]

# Keras opens the layers of these without being told.
_OF_KERAS = ("keras", "keras_hub", "keras_cv", "keras_nlp", "builtins")


class CustomObject(NamedTuple):
    """A layer or function in a saved model that is not Keras' own."""

    module: str
    """The module that it was defined in; empty if the file does not say."""
    name: str
    registered: str
    """The name by which Keras looks for it."""

    @property
    def target(self) -> str:
        """`module:name`."""
        return f"{self.module}:{self.name}"

    def __str__(self) -> str:
        return f"{self.module}.{self.name}" if self.module else self.name


def list_custom_objects(config: Any) -> list[CustomObject]:
    """The layers and functions in the config of a saved model that are not Keras' own, each once."""
    return list(dict.fromkeys(_walk(config)))


def name_custom_objects(path: Path) -> str:
    """The layers and functions in a `.keras` file that are not Keras' own, for people; empty without any."""
    try:
        return ", ".join(map(str, read_custom_objects(path)))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, RecursionError):
        return ""


def read_custom_objects(path: Path) -> list[CustomObject]:
    """The layers and functions in a `.keras` file that are not Keras' own. Raises what a damaged file leads to."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        return list_custom_objects(json.loads(archive.read("config.json")))


def _walk(config: Any) -> Iterator[CustomObject]:
    if isinstance(config, list):
        for each in config:
            yield from _walk(each)
    elif isinstance(config, dict):
        kind, module, registered = (config.get(key) for key in ("class_name", "module", "registered_name"))
        if isinstance(kind, str) and "config" in config and _is_custom(kind, module, registered):
            inner = config["config"]
            if kind == "function" and isinstance(inner, str):
                # Its registered name, which may begin with that of a package.
                yield CustomObject(module or "", inner.rpartition(">")[2], inner)
            else:
                yield CustomObject(module or "", kind, registered or kind)
        for each in config.values():
            yield from _walk(each)


def _is_custom(kind: str, module: Any, registered: Any) -> bool:
    if kind.startswith("__"):  # a number, an array, a lambda
        return False
    if isinstance(module, str):
        return module.partition(".")[0] not in _OF_KERAS
    return isinstance(registered, str) and ">" in registered
