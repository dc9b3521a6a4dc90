"""Finds a plug-in network by `module:attribute`. Its module is imported in a process of its own, once per source."""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from bakeoff.cache import mark_used
from bakeoff.errors import ConfigError
from bakeoff.files import make_dir
from bakeoff.machine import python_command, python_path, tensorflow_environment
from bakeoff.networks.backbone import Backbone
from bakeoff.networks.plugin.entries import Entry
from bakeoff.networks.plugin.facts import FileStamp, PluginFacts, facts_folder, read_plugin_facts, stamp_weights
from bakeoff.networks.plugin.source import read_source
from bakeoff.runs.events import WorkerError, parse_event
from bakeoff.runs.plugin import Plugin

__all__ = ["find_known", "find_plugin", "forget_plugins", "is_looked_at"]

# What was found in this process, by the name and the place in which it was looked for. A study asks for its networks
# thousands of times, and all its runs are of the source that it began with.
_found: dict[tuple[str, ...], Backbone] = {}
_lock = threading.Lock()


def find_plugin(name: str, entry: Entry | None = None) -> Backbone:
    """The facts of a plug-in network. One that is new, or was edited, is looked at first, which takes some seconds.

    Args:
        name: The name that the user gave: `module:attribute`, or that of an entry point.
        entry: The entry point, if the network is one of an installed package.

    Raises:
        ConfigError: There is no such module, or what it gives cannot be used.
    """
    with _lock:
        place = (name, str(Path.cwd()), *sys.path)
        if place not in _found:
            _found[place] = _find(name, entry)
        return _found[place]


def _find(name: str, entry: Entry | None) -> Backbone:
    target = entry.target if entry else name
    source = read_source(target.partition(":")[0])
    folder = facts_folder(target, source.sha256)
    mark_used(folder)
    facts = _read_current(folder, target)
    if facts is None:
        _look(target, make_dir(folder))
        facts = _read_current(folder, target)
        if facts is None:
            raise ConfigError(f"{target} was edited while it was looked at; give the command again")
    return facts.to_backbone(name, folder, entry.package if entry else "")


def forget_plugins() -> None:
    """Find networks anew from now on: they may have been edited since."""
    _found.clear()


def is_looked_at(name: str, entry: Entry | None = None) -> bool:
    """Whether the facts of a plug-in network are known, so that `find_plugin` runs nothing. Raises nothing."""
    target = entry.target if entry else name
    try:
        source = read_source(target.partition(":")[0])
    except ConfigError:
        return False
    return _read_current(facts_folder(target, source.sha256), target) is not None


def find_known(plugin: Plugin) -> PluginFacts:
    """The facts of the network that a saved model says it is of.

    They are there if its user has named this network on this machine, with the same source. A file must not make
    bakeoff import a module.

    Raises:
        ConfigError: It has another source here, or was never named.
    """
    target = plugin.target
    source = read_source(plugin.module)
    folder = facts_folder(target, source.sha256)
    mark_used(folder)
    facts = read_plugin_facts(folder)
    if facts:
        source = read_source(plugin.module, *facts.further)
    found = source.sha256
    if found != plugin.source:
        raise ConfigError(
            f"{target} is not what the model was trained with: the SHA-256 of its source is {found[:12]}…, on record is"
            f" {plugin.source[:12]}…; put that source back ({', '.join(map(str, source.modules.values()))})"
        )
    if facts is None:
        raise ConfigError(
            f"opening the model runs the code of {source.modules[plugin.module]}, which was not asked for on this"
            f" machine yet; `bakeoff models --check {target}` asks for it"
        )
    return facts


def _read_current(folder: Path, target: str) -> PluginFacts | None:
    """The facts, unless a module that is imported under a computed name, or the file of weights, was changed since, or
    an earlier version has checked less."""
    facts = read_plugin_facts(folder)
    if facts is None or not facts.is_current or (facts.weights_stamp and not _is_unchanged(facts.weights_stamp)):
        return None
    if not facts.further:
        return facts
    return facts if read_source(target.partition(":")[0], *facts.further).sha256 == facts.plugin.source else None


def _is_unchanged(stamp: FileStamp) -> bool:
    try:
        return stamp_weights(Path(stamp[0])) == stamp
    except OSError:
        return False


def _look(target: str, folder: Path) -> None:
    """Look at a network in a process of its own, which writes its facts: whatever its code does, it does there."""
    command = [*python_command("bakeoff.worker"), "network", target, str(folder)]
    environment = tensorflow_environment(onednn=True) | python_path()
    with tempfile.TemporaryFile() as log:
        # The worker ends when its standard input is closed.
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, start_new_session=True
        ) as process:
            assert process.stdout is not None
            events = [parse_event(line) for line in process.stdout]
            code = process.wait()
        for event in events:
            if isinstance(event, WorkerError):
                raise ConfigError(event.error)
        if code:
            log.seek(0)
            last = log.read().decode("utf-8", "replace").strip().rpartition(os.linesep)[2]
            raise ConfigError(f"{target} cannot be used: {last or f'its process ended with code {code}'}")
