"""Pixels to logits.

In: a network's name, its input size and its weights. Out: a Keras model of uint8 images.
May import: data, cache, runs and what they may import. Only table and weights/ are free of TensorFlow.

table.py               one row of facts per network
lenet.py               the three networks that are trained from scratch
efficientnet_lite.py   EfficientNet-Lite
weights/               where pretrained weights come from, and how they are read
model.py               resize, scaling, backbone, head; freezing
graph.py               the operations of a model, one by one
kernels.py, fuse.py    faster depthwise convolutions with the same results
"""
