"""From pixels to logits.

In: a network's name, its input size and its weights. Out: a Keras model of uint8 images.
May import: data, cache, runs and what they may import. backbone.py, families.py, table.py, hub/, find.py and
weights/ do not import TensorFlow.

backbone.py            what the package knows of a network (`Backbone`), and how it is built
families.py            what the networks of a family have in common
table.py               the networks that it knows by name
hub/                   networks from KerasHub's presets
find.py                a network by its name
lenet.py               the three small networks that are trained from scratch
efficientnet_lite.py   EfficientNet-Lite0, 1 and 2
weights/               where pretrained weights come from, and how they are loaded
model.py               one model of resizing, input scaling, backbone and head; freezing
graph.py               the operations of a model, one by one
kernels.py, fuse.py    the same model with fewer and faster operations
"""

from bakeoff.networks.backbone import Backbone, Features, Origin, Scaling

__all__ = ["Backbone", "Features", "Origin", "Scaling"]
