"""From images to shards to batches.

In: a folder of images, an archive, or a built-in data set. Out: TFRecord shards with a manifest, then uint8 batches.
May import: runs and what runs may import, cache, locks. TensorFlow is loaded only when shards are read or written.

pixels/           decodes image files to square uint8 RGB, the same for training and serving
sources/          where images and labels come from
shards/           TFRecord files, their manifest, and views of some classes
mirroring.py      whether images of some data may be mirrored
augment/          augmentation of whole batches
order.py          the order of an epoch with every class equally often
batches.py        training batches and evaluation batches
views.py          augmented views of a split, for features of frozen networks
folds.py          how many folds a cross-validation has, and which image is in which
checks/           duplicates, near-duplicates, train-test leaks, imbalanced classes, suspicious labels
fonts.py          a font for each character of a name
lettering.py      text of any script in a picture
contact_sheet/    sample images, pairs, suspicious labels as one PNG
"""
