"""Opens the models that bakeoff saved, with the layers in them that are not Keras' own.

Keras looks for such a layer among those that the program has registered. bakeoff imports the module of a plug-in
network for it, if the user has named that network on this machine: a file alone never makes it import anything.
"""

from pathlib import Path
from typing import Any

from bakeoff.errors import ConfigError
from bakeoff.networks.custom_objects import CustomObject, read_custom_objects
from bakeoff.networks.plugin import find_known, import_attribute
from bakeoff.runs.plugin import Plugin

__all__ = ["open_model"]


def open_model(path: Path, plugin: Plugin | None = None) -> Any:
    """Open a `.keras` file, uncompiled.

    Args:
        path: The file.
        plugin: The plug-in network that it holds; None if it is a network of bakeoff's own.

    Raises:
        ConfigError: It needs layers that are not Keras' own, and these cannot be had.
    """
    import keras

    found = {}
    for each in read_custom_objects(path):
        if keras.saving.get_registered_object(each.registered) is None:
            found[each.registered] = _find(each, plugin, path)
    return keras.models.load_model(path, compile=False, custom_objects=found)


def _find(needed: CustomObject, plugin: Plugin | None, path: Path) -> Any:
    if plugin is None:
        raise ConfigError(
            f"{path} has {needed}, which is not Keras' own; import and register it before, as"
            " `keras.saving.register_keras_serializable` does"
        )
    facts = find_known(plugin)
    if needed.target not in facts.plugin.objects:
        raise ConfigError(f"{path} has {needed}, which {plugin.target} has not; export it again")
    return import_attribute(needed.target)
