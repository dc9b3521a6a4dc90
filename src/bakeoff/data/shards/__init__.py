"""Prepared images on disk: TFRecord shards, their manifest, their splits, and views of some of their classes.

folder = prepare_cached("cifar100", data_dir=None)
dataset = open_dataset(folder, classes="coarse")
for block in read_blocks(dataset, "train"): ...
"""

from bakeoff.data.shards.edits import NO_EDITS, Edits
from bakeoff.data.shards.grouping import join_groups
from bakeoff.data.shards.manifest import (
    MANIFEST,
    Manifest,
    Quarantined,
    Relabelled,
    ShardFile,
    SplitFacts,
    read_manifest,
)
from bakeoff.data.shards.reader import Block, read_blocks, read_images
from bakeoff.data.shards.splits import SPLITS
from bakeoff.data.shards.view import Dataset, find_dataset, open_dataset
from bakeoff.data.shards.writer import prepare, prepare_cached

__all__ = [
    "MANIFEST",
    "NO_EDITS",
    "SPLITS",
    "Block",
    "Dataset",
    "Edits",
    "Manifest",
    "Quarantined",
    "Relabelled",
    "ShardFile",
    "SplitFacts",
    "find_dataset",
    "join_groups",
    "open_dataset",
    "prepare",
    "prepare_cached",
    "read_blocks",
    "read_images",
    "read_manifest",
]
