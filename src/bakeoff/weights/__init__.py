"""Where a network's starting weights come from, and how they get into it.

locate.py    package, kit, Keras' own cache, a file, or none at all: on this machine, without a network
load.py      a located file into a network: every tensor, or a refusal
keras_file.py  the tensors of any Keras file by model and layer; only numbers are read, no code
fetch.py     Keras' own download, in a process that may end
kit.py       weights packed on one machine for use on another that has no network

    source = locate_weights(row, "auto")
    report = load_weights(backbone, row, source)     # not for source.origin == "random"
"""

from bakeoff.weights.fetch import download_weights
from bakeoff.weights.kit import KitEntry, kit_home, pack_weights, use_weights
from bakeoff.weights.load import LoadReport, load_weights
from bakeoff.weights.locate import (
    WeightsSource,
    find_sent,
    how_to_mend,
    hub_path,
    is_at_hand,
    locate_start,
    locate_weights,
    make_entry,
    sent_weights_dir,
    where_at_hand,
)

__all__ = [
    "KitEntry",
    "LoadReport",
    "WeightsSource",
    "download_weights",
    "find_sent",
    "how_to_mend",
    "hub_path",
    "is_at_hand",
    "kit_home",
    "load_weights",
    "locate_start",
    "locate_weights",
    "make_entry",
    "pack_weights",
    "sent_weights_dir",
    "use_weights",
    "where_at_hand",
]
