"""A plug-in network on its way to another machine: its source and its facts, which a node keeps in its cache."""

import os
from collections.abc import Mapping
from pathlib import PurePosixPath

from bakeoff.cache import mark_used
from bakeoff.errors import ConfigError, DataError
from bakeoff.files import cache_dir, make_dir, replacing
from bakeoff.locks import waiting_for
from bakeoff.machine import python_path
from bakeoff.networks.plugin.entries import GROUP
from bakeoff.networks.plugin.facts import FACTS, facts_folder, read_plugin_facts
from bakeoff.networks.plugin.source import read_source
from bakeoff.runs.plugin import Plugin
from bakeoff.variables import PYTHONSAFEPATH

__all__ = ["pack_plugin", "unpack_plugin"]

# Python reads in such a folder which entry points a package has.
_PACKAGE = "bakeoff_sent_network-0.dist-info"


def pack_plugin(plugin: Plugin, name: str) -> dict[str, bytes]:
    """The files of a plug-in network for another machine.

    Args:
        plugin: The network, which was looked at on this machine.
        name: The name that its user gave.

    Returns:
        Contents by path below the folder of networks in a cache.

    Raises:
        ConfigError: Its source is not there any more, or was edited.
    """
    folder = facts_folder(plugin.target, read_source(plugin.module).sha256)
    facts = read_plugin_facts(folder)
    source = read_source(plugin.module, *(facts.further if facts else ()))
    if source.sha256 != plugin.source:
        raise ConfigError(f"{plugin.target} has been edited since the study began; put its source back")
    files = dict(source.files)
    if name != plugin.target:
        files[f"{_PACKAGE}/METADATA"] = b"Metadata-Version: 2.1\nName: bakeoff-sent-network\nVersion: 0\n"
        files[f"{_PACKAGE}/entry_points.txt"] = f"[{GROUP}]\n{name} = {plugin.target}\n".encode()
    place = _place(plugin)
    packed = {f"{place}/{path}": content for path, content in files.items()}
    if facts:
        # The file that its weights are from is not on the other machine; they are sent as all weights are.
        packed[f"{folder.name}/{FACTS}"] = facts.model_copy(update={"weights_stamp": None}).model_dump_json().encode()
    return packed


def unpack_plugin(plugin: Plugin, files: Mapping[str, bytes]) -> dict[str, str]:
    """Put the files of a plug-in network into this machine's cache.

    Returns:
        The environment variables with which a worker process imports it from there.

    Raises:
        DataError: A path leads out of the cache.
    """
    home = make_dir(cache_dir() / "networks")
    folder = home / _place(plugin)
    with waiting_for(folder):
        for name, content in files.items():
            parts = PurePosixPath(name).parts
            if name.startswith("/") or ".." in parts:
                raise DataError(f"a file of {plugin.target} has the path {name}, which leads out of its folder")
            path = home.joinpath(*parts)
            if path.name == FACTS and (facts := read_plugin_facts(path.parent)) and facts.is_current:
                continue  # it may say more
            if not path.is_file() or path.read_bytes() != content:
                with replacing(path) as temporary:
                    temporary.write_bytes(content)
    mark_used(folder)
    # Else a module of the same name in the folder that Ray was started in would come first.
    return {"PYTHONPATH": os.pathsep.join([str(folder), python_path()["PYTHONPATH"]]), PYTHONSAFEPATH.name: "1"}


def _place(plugin: Plugin) -> str:
    return f"sent-{plugin.source[:32]}"
