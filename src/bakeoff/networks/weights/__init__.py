"""Where a network's starting weights come from, and how they get into it.

locate.py    package, kit, Keras' own cache, a file, or none at all: on this machine, without a network
load.py      a located file into a network: every tensor, or a refusal
keras_file.py  the tensors of any Keras file by model and layer; only numbers are read, no code
fetch.py     Keras' own download, in a process that may end
kit.py       weights packed on one machine for use on another that has no network

    source = locate_weights(row, "auto")
    report = load_weights(backbone, row, source)     # not for source.origin == "random"
"""

from bakeoff.networks.weights.fetch import download_weights
from bakeoff.networks.weights.load import LoadReport, load_weights
from bakeoff.networks.weights.locate import (
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
from bakeoff.networks.weights.transfer import ExportedWeights, export_weights, import_weights, imported_weights_dir

__all__ = [
    "ExportedWeights",
    "LoadReport",
    "WeightsSource",
    "download_weights",
    "export_weights",
    "find_sent",
    "how_to_mend",
    "hub_path",
    "import_weights",
    "imported_weights_dir",
    "is_at_hand",
    "load_weights",
    "locate_start",
    "locate_weights",
    "make_entry",
    "sent_weights_dir",
    "where_at_hand",
]
