"""From pixels to logits.

In: a network's name, its input size and its weights. Out: a Keras model of uint8 images.
May import: data, cache, runs and what they may import. backbone.py, families.py, table.py, hub/, find.py and
weights/ do not import TensorFlow.

backbone.py            what the package knows of a network (`Backbone`), and how it is built
families.py            what the networks of a family have in common
table.py               the networks that it knows by name
hub/                   networks from KerasHub's presets
plugin/                networks of the user's own and of installed packages
find.py                a network by its name
custom_objects.py      which layers in a saved model are not Keras' own
lenet.py               the three small networks that are trained from scratch
efficientnet_lite.py   EfficientNet-Lite0, 1 and 2
weights/               where pretrained weights come from, and how they are loaded
model.py               one model of resizing, input scaling, backbone and head
count.py               the multiplications of a model
saved.py               opens models that bakeoff saved
examine.py             looks at a plug-in network, in a process of its own
graph.py               the operations of a model, one by one, and the layers inside layers
blocks.py              which layers are trained; of a transformer, which blocks
lora.py                low-rank adaptation of attention layers
kernels.py, fuse.py    the same model with fewer and faster operations
"""

from bakeoff.networks.backbone import Backbone, Features, Origin, Scaling

__all__ = ["Backbone", "Features", "Origin", "Scaling"]
