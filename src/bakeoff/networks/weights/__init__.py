"""Where a network's starting weights come from, and how they are loaded.

torch_file.py  reads the tensors of a PyTorch checkpoint without PyTorch; runs no code from the file
transfer.py    exports weights into a folder, and imports them on a machine without internet
hdf5_bytes.py  checks the bytes of an HDF5 file before HDF5 reads it
hdf5.py        reads HDF5 files from strangers, within bounds
joined.py      joins weights that Keras divided into several files
locate.py      finds weights on this machine: in a package, imported, in Keras' cache, in a given file
keras_file.py  reads the models and layers in a Keras file; runs no code from the file
order.py       the order of layers in a file that divides them into those that train and frozen ones
known.py       recognises the network in a file, for error messages
match.py       matches the layers of a network with those in a file
preset.py      whether the weights of a preset fit its configuration
load.py        loads a located file into a network: every tensor, or none and an error
published.py   where Keras publishes its files, and their hashes
fetch.py       downloads them in the background

    source = locate_weights(spec, "auto")
    report = load_weights(backbone, spec, source)     # not for source.origin == "random"
"""

from bakeoff.files import imported_weights_dir
from bakeoff.networks.weights.fetch import DOWNLOAD_LIMIT, Downloads, can_download, needs_download
from bakeoff.networks.weights.load import LoadReport, load_weights, renew_copies
from bakeoff.networks.weights.locate import (
    WeightsSource,
    describe_for_export,
    find_sent_weights,
    hint_to_get_weights,
    hub_path,
    is_available_locally,
    is_given,
    local_weights_origin,
    locate_starting_weights,
    locate_weights,
    sent_weights_dir,
)
from bakeoff.networks.weights.preset import is_known_to_fit, note_fit
from bakeoff.networks.weights.transfer import PRESET, ExportedWeights, export_weights, import_weights

__all__ = [
    "DOWNLOAD_LIMIT",
    "PRESET",
    "Downloads",
    "ExportedWeights",
    "LoadReport",
    "WeightsSource",
    "can_download",
    "describe_for_export",
    "export_weights",
    "find_sent_weights",
    "hint_to_get_weights",
    "hub_path",
    "import_weights",
    "imported_weights_dir",
    "is_available_locally",
    "is_given",
    "is_known_to_fit",
    "load_weights",
    "local_weights_origin",
    "locate_starting_weights",
    "locate_weights",
    "needs_download",
    "note_fit",
    "renew_copies",
    "sent_weights_dir",
]
