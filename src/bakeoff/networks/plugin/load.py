"""Imports a user's module and calls what is in it. Only worker processes do that, and every error is one line.

A module is imported because the user has named it, or a network that its package offers.
"""

import contextlib
import importlib
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.networks.backbone import Backbone, build_backbone
from bakeoff.networks.plugin.source import searching
from bakeoff.text import name_some
from bakeoff.variables import PYTHONSAFEPATH

__all__ = ["PluginBuilder", "import_attribute", "load_plugin", "user_errors"]

_OURS = Path(__file__).resolve().parents[2]
# An error in one of these is told by the line that called it.
_LIBRARIES = ("keras", "keras_hub", "numpy", "tensorflow")


@dataclass(frozen=True)
class PluginBuilder:
    """Builds a plug-in network, whose module is imported then."""

    target: str
    """`module:attribute`."""

    def __call__(self, input_shape: tuple[int | None, int | None, int]) -> Any:
        """The keras.Model, for an input of (height, width, 3)."""
        with searching():  # for the module of the builder
            return build_backbone(load_plugin(self.target), input_shape)


def load_plugin(target: str) -> Backbone:
    """Import a plug-in network.

    Args:
        target: `module:attribute`: a Backbone, or a function without arguments that returns one.

    Raises:
        ConfigError: It cannot be imported, or is something else.
    """
    value = import_attribute(target)
    if not isinstance(value, Backbone) and callable(value):
        if _needs_arguments(value):
            raise ConfigError(
                f"{target} takes arguments, as a builder does; name a Backbone whose `builder` it is, or a function"
                " without arguments that returns one"
            )
        with user_errors(f"{target}()"):
            value = value()
        if not isinstance(value, Backbone):
            raise ConfigError(
                f"{target}() returns a {type(value).__name__}; a function that is named as a network returns a Backbone"
                " (its `builder` is the function that returns the keras.Model)"
            )
    if not isinstance(value, Backbone):
        raise ConfigError(f"{target} is a {type(value).__name__}; name a Backbone, or a function that returns one")
    return value


def _needs_arguments(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # not every callable tells
        return False
    needed = [each for each in parameters if each.default is each.empty]
    return any(each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD) for each in needed)


def import_attribute(target: str) -> Any:
    """What `module:attribute` names. Raises ConfigError if the module cannot be imported, or has no such name."""
    module, _, attribute = target.partition(":")
    with searching(), user_errors(f"import {module}"):
        value = importlib.import_module(module)
    _stay_findable()
    for name in attribute.split("."):
        if not hasattr(value, name):
            networks = [each for each, found in vars(value).items() if isinstance(found, Backbone)]
            hint = (
                f"it has {name_some(networks)}" if networks else "it has no Backbone; add one: NETWORK = Backbone(...)"
            )
            raise ConfigError(f"{module} ({getattr(value, '__file__', 'no file')}) has no {attribute}; {hint}")
        value = getattr(value, name)
    return value


def _stay_findable() -> None:
    """Search the current folder, too, after all others: the user's code may import from it later, in a function.

    Processes of bakeoff's own do not search it (`python_command`) before they have imported the user's module.
    """
    here = str(Path.cwd())
    if sys.flags.safe_path and not PYTHONSAFEPATH.read() and here not in sys.path:
        sys.path.append(here)


@contextlib.contextmanager
def user_errors(doing: str) -> Iterator[None]:
    """Turn what the user's code raises in the block into a ConfigError of one line, with its file and line."""
    try:
        yield
    except (BakeoffError, KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:
        traceback.print_exc()  # to the log
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".removesuffix(": ")
        if isinstance(error, SystemExit):
            what = "it ends the program; put what a script does under `if __name__ == '__main__':`"
        raise ConfigError(f"{doing} fails{_place(error)}: {what}") from error


def _place(error: BaseException) -> str:
    """The file and line of the user's code in which an exception was raised, or passed through last."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" in {error.filename}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(Path(frame.filename))]
    return f" in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""


def _is_users(path: Path) -> bool:
    """Whether a file is neither Python's, nor ours, nor of the libraries below."""
    if str(path).startswith("<") or path.is_relative_to(_OURS):
        return False
    for number, part in enumerate(path.parts[:-1]):
        if part in ("site-packages", "dist-packages"):
            return path.parts[number + 1] not in _LIBRARIES
    return not path.is_relative_to(sysconfig.get_path("stdlib"))
