"""Networks of the user's own, and of installed packages: found by `module:attribute` or by a package's entry point.

source.py   the files of a module, without importing it
entries.py  what installed packages offer
load.py     the module imported, in a worker process
facts.py    what was found out about a network, in the cache
find.py     a network by its name; looking at it is left to `networks/examine.py`, in a process of its own
named.py    the name of a network that is given as an object
travel.py   a network on its way to a node of a cluster
"""

from bakeoff.networks.plugin.entries import Entry, find_entry, list_entries
from bakeoff.networks.plugin.facts import FileStamp, PluginFacts, facts_folder, stamp_weights, write_plugin_facts
from bakeoff.networks.plugin.find import find_known, find_plugin, forget_plugins, is_looked_at
from bakeoff.networks.plugin.load import PluginBuilder, import_attribute, load_plugin, user_errors
from bakeoff.networks.plugin.named import is_network, name_network
from bakeoff.networks.plugin.source import Source, read_source
from bakeoff.networks.plugin.travel import pack_plugin, unpack_plugin

__all__ = [
    "Entry",
    "FileStamp",
    "PluginBuilder",
    "PluginFacts",
    "Source",
    "facts_folder",
    "find_entry",
    "find_known",
    "find_plugin",
    "forget_plugins",
    "import_attribute",
    "is_looked_at",
    "is_network",
    "list_entries",
    "load_plugin",
    "name_network",
    "pack_plugin",
    "read_source",
    "stamp_weights",
    "unpack_plugin",
    "user_errors",
    "write_plugin_facts",
]
