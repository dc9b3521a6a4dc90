"""From pixels to logits.

In: a network's name, its input size and its weights. Out: a Keras model of uint8 images.
May import: data, cache, runs and what they may import. Only table.py and weights/ do not import TensorFlow.

table.py               the facts of every network, one `NetworkSpec` each
lenet.py               the three small networks that are trained from scratch
efficientnet_lite.py   EfficientNet-Lite0, 1 and 2
weights/               where pretrained weights come from, and how they are loaded
model.py               one model of resizing, input scaling, backbone and head; freezing
graph.py               the operations of a model, one by one
kernels.py, fuse.py    the same model with fewer and faster operations
"""
