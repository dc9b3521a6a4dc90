"""Where images and labels come from: CIFAR archives, scikit-learn's digits, folders of images.

source = open_source("cifar100", data_dir=None)
for record in source.records(): ...
"""

from bakeoff.data.sources.names import SOURCE_NAMES, open_source
from bakeoff.data.sources.records import BadImage, OnCount, RawImage, Source, SplitName
from bakeoff.data.sources.table import Table, read_table_file

__all__ = [
    "SOURCE_NAMES",
    "BadImage",
    "OnCount",
    "RawImage",
    "Source",
    "SplitName",
    "Table",
    "open_source",
    "read_table_file",
]
