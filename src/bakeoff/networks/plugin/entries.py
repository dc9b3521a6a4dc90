"""Networks that installed packages offer: the entry points of the group `bakeoff.networks`. None of them is imported.

[project.entry-points."bakeoff.networks"]
wide-net = "my_package.networks:WIDE_NET"
"""

import functools
import importlib.metadata
import sys
from typing import NamedTuple

from bakeoff.errors import ConfigError

__all__ = ["GROUP", "Entry", "find_entry", "list_entries"]

GROUP = "bakeoff.networks"


class Entry(NamedTuple):
    """A network that an installed package offers."""

    name: str
    target: str
    """`module:attribute`."""
    package: str
    """Name and version of the package."""


def list_entries() -> list[Entry]:
    """The networks that installed packages offer, by name."""
    found = [
        Entry(point.name, point.value.replace(" ", ""), _describe(point))
        for point in importlib.metadata.entry_points(group=GROUP)
    ]
    return sorted(set(found))


def find_entry(name: str) -> Entry | None:
    """The network that an installed package offers under a name, in any case; None if there is none.

    Raises ConfigError if several packages offer one.
    """
    found = [entry for entry in _read() if entry.name.lower() == name.lower()]
    if len({entry.target for entry in found}) > 1:
        packages = " and ".join(entry.package for entry in found)
        raise ConfigError(f"{name!r} is a network of {packages}; name one, as in --candidates {found[0].target}")
    return found[0] if found else None


def _read() -> tuple[Entry, ...]:
    return _read_once(tuple(sys.path))


@functools.lru_cache(maxsize=4)  # a study asks for its networks often, and each time all installed packages are read
def _read_once(path: tuple[str, ...]) -> tuple[Entry, ...]:
    del path  # where packages are looked for
    return tuple(list_entries())


def _describe(point: importlib.metadata.EntryPoint) -> str:
    package = point.dist
    return f"{package.name} {package.version}" if package is not None else "an unknown package"
