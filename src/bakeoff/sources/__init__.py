"""From the name of some data to its raw records: CIFAR archives, scikit-learn's digits, folders of images.

source = open_source("cifar100", data_dir=None)
for record in source.records(): ...
"""

from bakeoff.sources.names import SOURCE_NAMES, open_source
from bakeoff.sources.records import BadImage, Progress, RawImage, Source, Split

__all__ = ["SOURCE_NAMES", "BadImage", "Progress", "RawImage", "Source", "Split", "open_source"]
