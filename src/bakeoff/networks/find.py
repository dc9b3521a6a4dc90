"""Finds a network by its name. Imports no TensorFlow.

find_network("mobilenet-v2").params_total
"""

from collections.abc import Iterable

from bakeoff.errors import ConfigError, InputError, suggest
from bakeoff.networks.backbone import Backbone
from bakeoff.networks.hub import find_preset, is_preset
from bakeoff.networks.table import TABLE

__all__ = ["find_network", "is_known"]

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
    if spec is None:
        hint = " ".join(filter(None, (suggest(name, (*_BY_NAME, *also), ""), "see `bakeoff models`")))
        raise ConfigError(f"there is no network {name!r}; {hint}")
    return spec


def is_known(name: str) -> bool:
    """Whether there is a network of this name now; the preset of an earlier run may have been deleted."""
    try:
        find_network(name)
    except InputError:
        return False
    return True
