"""Networks from KerasHub's presets: `hub:NAME`, `hub:FOLDER`, `hf://OWNER/NAME`, `kaggle://OWNER/MODEL/keras/NAME`.

A preset is a folder with a network's configuration and its weights, as KerasHub, timm or Transformers write it. Facts
are read from its files without KerasHub and without TensorFlow. No code of a preset is ever run: its configuration is
checked before KerasHub sees it.

transformer.py  vision transformers with layers of Keras alone
families.py     the families of networks that can be used, and what is known of each
places.py       where a preset is on this machine
formats.py      the three forms of its configuration
files.py        its files, checked
facts.py        the preset as a `Backbone`
copied.py       the weights of KerasHub's vision transformers by the layers of `transformer.py`
opened.py       KerasHub's convolutional networks with layers of Keras alone
unused.py       weights of a larger network, which KerasHub leaves unread
build.py        a preset's network, and its weights
packed.py       a preset as one file, for other machines
fetch.py        downloads a preset
saved.py        which saved models need KerasHub
"""

from bakeoff.networks.hub.facts import find_preset
from bakeoff.networks.hub.fetch import download_preset, find_lack, require_kerashub
from bakeoff.networks.hub.packed import hash_preset, pack_preset, unpack_preset
from bakeoff.networks.hub.places import find_folder, is_preset, list_names
from bakeoff.networks.hub.saved import explain_missing, needs_kerashub

__all__ = [
    "download_preset",
    "explain_missing",
    "find_folder",
    "find_lack",
    "find_preset",
    "hash_preset",
    "is_preset",
    "list_names",
    "needs_kerashub",
    "pack_preset",
    "require_kerashub",
    "unpack_preset",
]
