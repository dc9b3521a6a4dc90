"""The name of a network that a Python user gives as an object: what a worker process can import."""

import sys
from typing import Any

from bakeoff.errors import ConfigError
from bakeoff.networks.backbone import Backbone

__all__ = ["is_network", "name_network"]


def is_network(value: object) -> bool:
    """Whether something is a network as an object: a Backbone, or a function that returns one."""
    return isinstance(value, Backbone) or (callable(value) and hasattr(value, "__qualname__"))


def name_network(value: Any) -> str:
    """The name of a network that was given as an object: `module:attribute`, or that of a row of the table.

    Raises ConfigError if a process of its own cannot import it.
    """
    places = _find_backbone(value) if isinstance(value, Backbone) else _find_function(value)
    if isinstance(value, Backbone) and not value.plugin and _is_in_table(value):
        return value.name
    importable = [place for place in places if place[0] not in ("__main__", "__mp_main__")]
    if importable:
        module, attribute = min(importable, key=lambda place: (place[0].count("."), place))
        return f"{module}:{attribute}"
    what = f"{places[0][1]} is" if places else "a network is"
    where = (
        "defined in the script or notebook itself" if places else "given that no module has as a name at its top level"
    )
    raise ConfigError(
        f"{what} {where}, where the processes that train cannot import it; move it to a file of its own, such as"
        " my_networks.py, and give what you import from there"
    )


def _is_in_table(value: Backbone) -> bool:
    from bakeoff.networks.table import TABLE

    return any(value is row for row in TABLE)


def _find_backbone(value: Backbone) -> list[tuple[str, str]]:
    """Every (module, attribute) that is this object."""
    return [
        (name, attribute)
        for name, module in list(sys.modules.items())
        for attribute, each in list(getattr(module, "__dict__", {}).items())
        if each is value and not attribute.startswith("_")
    ]


def _find_function(value: Any) -> list[tuple[str, str]]:
    module, attribute = value.__module__, value.__qualname__
    found = getattr(sys.modules.get(module), attribute, None)
    return [(module, attribute)] if found is value else []
