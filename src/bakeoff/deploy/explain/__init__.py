"""Where a model looked: a heat map for each image that the report shows, of the class that was predicted.

grad_cam.py    from the last feature map of the network
occlusion.py   from predictions for the image with a part of it covered, where that map is too small
heat_maps.py   the maps of a run, in a worker process

The maps are of the model that is shipped: in float32, at its input size, and with its mirrored pass.
"""
