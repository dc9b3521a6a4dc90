"""Finds a network by its name. Imports no TensorFlow.

find_network("mobilenet-v2").params_total
"""

import contextlib
from collections.abc import Iterable

from bakeoff.errors import ConfigError, InputError, suggest
from bakeoff.networks.backbone import Backbone
from bakeoff.networks.hub import find_preset, is_preset, list_names
from bakeoff.networks.plugin import Entry, find_entry, find_plugin, is_looked_at, list_entries
from bakeoff.networks.table import TABLE
from bakeoff.runs.config import Model

__all__ = ["check_source", "find_network", "is_known", "is_plugin", "list_offered", "list_presets", "require_known"]

_BY_NAME = {spec.name: spec for spec in TABLE}


def find_network(name: str, also: Iterable[str] = ()) -> Backbone:
    """The facts of a network.

    Args:
        name: Its name.
        also: Further names that the error may suggest.

    Raises:
        ConfigError: There is no network of this name; the closest names are suggested.
        WeightsError: It is a preset of a hub that is not on this machine, or that is damaged.
    """
    if is_preset(name):
        return find_preset(name)
    spec = _BY_NAME.get(name)
    if spec is not None:
        return spec
    if ":" in name:
        return find_plugin(name)
    if entry := find_entry(name):
        return find_plugin(name, entry)
    names = (*_BY_NAME, *also, *(entry.name for entry in list_entries()))
    hint = " ".join(filter(None, (suggest(name, names, ""), "see `bakeoff models`")))
    raise ConfigError(f"there is no network {name!r}; {hint}")


def check_source(spec: Backbone, config: Model) -> None:
    """Raise ConfigError if a network is not of the source that a run's config names: somebody has edited it since."""
    if config.source and config.source != spec.source:
        raise ConfigError(
            f"{spec.name} has been edited since the run was planned: the SHA-256 of its source is {spec.source[:12]}…,"
            f" on record is {config.source[:12]}…; put that source back, or start a study of the new one with another"
            " --out"
        )


def is_known(name: str) -> bool:
    """Whether the facts of a network are at hand, so that `find_network` finds them and runs nothing."""
    if name in _BY_NAME:
        return True
    if is_preset(name):  # that of an earlier run may have been deleted
        try:
            find_preset(name)
        except InputError:
            return False
        return True
    return is_plugin(name) and is_looked_at(name, None if ":" in name else find_entry(name))


def is_plugin(name: str) -> bool:
    """Whether a name is that of a network of the user's own, or of an installed package."""
    return name not in _BY_NAME and not is_preset(name) and (":" in name or find_entry(name) is not None)


def list_offered() -> list[tuple[Entry, Backbone | None]]:
    """The networks that installed packages offer, with the facts of those that were used before. Imports none."""
    entries = [entry for entry in list_entries() if entry.name.lower() not in _BY_NAME]
    return [(entry, find_plugin(entry.name, entry) if is_looked_at(entry.name, entry) else None) for entry in entries]


def list_presets() -> list[Backbone]:
    """The presets in the caches of the hubs, and those that were imported. Imports neither TensorFlow nor KerasHub."""
    found = []
    for name in list_names():
        # Most of what other programs keep there is no image network.
        with contextlib.suppress(InputError):
            found.append(find_preset(name))
    return found


def require_known(name: str, where: object) -> None:
    """Raise ConfigError if a file names a network whose code was not asked for: a file never makes bakeoff run code.

    Args:
        name: The name.
        where: The file.
    """
    if ":" in name and is_plugin(name) and not is_known(name):
        raise ConfigError(
            f"{where} names {name}, whose code was not asked for on this machine yet; `bakeoff models --check {name}`"
            " asks for it"
        )
