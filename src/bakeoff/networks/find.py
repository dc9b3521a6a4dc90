"""Finds a network by its name. Imports no TensorFlow.

find_network("mobilenet-v2").params_total
"""

from collections.abc import Iterable

from bakeoff.errors import ConfigError, suggest
from bakeoff.networks.backbone import Backbone
from bakeoff.networks.table import TABLE

__all__ = ["find_network"]

_BY_NAME = {spec.name: spec for spec in TABLE}


def find_network(name: str, also: Iterable[str] = ()) -> Backbone:
    """The facts of a network.

    Args:
        name: Its name.
        also: Further names that the error may suggest.

    Raises:
        ConfigError: There is no network of this name; the closest names are suggested.
    """
    spec = _BY_NAME.get(name)
    if spec is None:
        hint = " ".join(filter(None, (suggest(name, (*_BY_NAME, *also), ""), "see `bakeoff models`")))
        raise ConfigError(f"there is no network {name!r}; {hint}")
    return spec
