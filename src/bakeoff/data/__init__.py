"""Pictures to shards to batches.

In: a folder of images, an archive, or a built-in data set. Out: TFRecord shards with a manifest, then uint8 batches.
May import: runs and what runs may import, cache. TensorFlow is loaded only when shards are read or written.

pixels.py         bytes to an uint8 RGB square: the one decoder, shared by training and serving
sources/          where images and labels come from
shards/           TFRecord files, their manifest, and views of some classes
augment/          augmentation of whole batches
batches.py        training batches and evaluation batches
checks/           duplicates, near-duplicates, leaks and uneven classes
contact_sheet.py  samples as one PNG
"""
