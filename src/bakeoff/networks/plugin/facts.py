"""What was found out about a plug-in network when it was looked at, in the cache: `networks/KEY/facts.json`.

KEY is a hash of its name and its source, so an edited network is looked at again. That the facts are there also says
that the user has named this network, with this source, on this machine: its module may be imported.
"""

import importlib.metadata
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from bakeoff.files import cache_dir, hash_json, read_json, write_json
from bakeoff.networks.backbone import Backbone
from bakeoff.networks.plugin.load import PluginBuilder
from bakeoff.runs.facts import Facts
from bakeoff.runs.plugin import Plugin

__all__ = [
    "FACTS",
    "FileStamp",
    "PluginFacts",
    "facts_folder",
    "read_plugin_facts",
    "stamp_weights",
    "write_plugin_facts",
]

# Raise it when other facts are found out.
VERSION = 1
# Raise it when a network, or its file of weights, is refused that was taken before.
CHECKS = 1
FACTS = "facts.json"

FileStamp = tuple[str, int, int]
"""Path, size in bytes and time of the last change in nanoseconds: they tell whether a file was replaced."""


class PluginFacts(Facts):
    """The facts of a plug-in network: what its Backbone states, completed by what was counted."""

    backbone: Backbone
    """`builder` is `module:attribute`, and `weights` the name of the file beside the facts."""
    weights_stamp: FileStamp | None = None
    """The file that the user keeps the weights in; None if a function sets them."""
    further: tuple[str, ...] = ()
    """Modules of its own that it imports under computed names."""
    checks: int = 0
    """CHECKS of the version that wrote them. Those of an earlier one say that the user has named it, and no more."""

    @property
    def is_current(self) -> bool:
        """Whether this version has looked at the network, or one that refuses the same."""
        return self.checks == CHECKS

    @property
    def plugin(self) -> Plugin:
        """Where it is imported from."""
        assert self.backbone.plugin is not None
        return self.backbone.plugin

    def to_backbone(self, name: str, folder: Path, package: str = "") -> Backbone:
        """The Backbone in use.

        Args:
            name: The name that the user gave.
            folder: The folder of the facts.
            package: Name and version of the installed package that offers it.
        """
        weights = self.backbone.weights
        return replace(
            self.backbone,
            name=name,
            builder=PluginBuilder(self.plugin.target),
            weights=str(folder / str(weights)) if weights else None,
            plugin=self.plugin.model_copy(update={"package": package}),
        )


def stamp_weights(path: Path) -> FileStamp:
    """The stamp of a file. Raises OSError if it is not there."""
    found = path.stat()
    return str(path), found.st_size, found.st_mtime_ns


def facts_folder(target: str, source: str) -> Path:
    """The folder of the facts of `module:attribute` with a source, whether they are there or not."""
    return cache_dir() / "networks" / hash_json([VERSION, target, source, importlib.metadata.version("keras")])[:32]


def read_plugin_facts(folder: Path) -> PluginFacts | None:
    """The facts, by whatever version they were found out; None if there are none, or if they are damaged."""
    try:
        return PluginFacts.model_validate(read_json(folder / FACTS))
    except (OSError, ValueError, ValidationError):
        return None


def write_plugin_facts(folder: Path, facts: PluginFacts) -> None:
    """Write the facts, after all other files of the folder."""
    checked = facts.model_copy(update={"checks": CHECKS})
    write_json(folder / FACTS, checked.model_dump(mode="json"))
