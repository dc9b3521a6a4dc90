"""`[data]` of a recipe: which images, of which classes, and how they are read."""

import json
from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, field_validator

from bakeoff.runs.facts import Facts

__all__ = ["Data", "Fit", "FolderLayout", "Section"]


class Section(Facts):
    """A table of a recipe."""

    # `classes = 20` means the same as `classes = "20"`.
    model_config = ConfigDict(coerce_numbers_to_str=True)


class FolderLayout(StrEnum):
    """What the folders directly below a folder of images are."""

    AUTO = "auto"
    """Found out by their names and contents; refused where that is not clear."""
    CLASSES = "classes"
    SPLITS = "splits"


class Fit(StrEnum):
    """How a picture that is not square becomes square."""

    AUTO = "auto"
    """Crop, or pad where the crop would cut off more than a tenth of the median picture."""
    CROP = "crop"
    """The central square."""
    PAD = "pad"
    """The whole picture, with bars beside it or above and below it."""
    SQUASH = "squash"
    """The whole picture, resized to a square: its proportions change."""


class Data(Section):
    """`[data]`: which images, and which of their classes."""

    source: str = "digits"
    """`cifar100`, `cifar10`, `digits`, or the path of a folder or archive of images, or of a table of labels; or
    the name of data that were given in Python. The default needs no download."""
    classes: str = "all"
    """`all`, `coarse` (superclasses become the labels), a number (a random subset of that many classes), or the names
    of at least two classes: separated by commas, or as a list, which can hold any name."""
    seed: int = 0
    """Seed of the random subset of classes. It differs from the run's `seed`, so that runs with different seeds share
    their classes."""
    layout: FolderLayout = FolderLayout.AUTO
    """What the folders directly below a folder of images are: classes, or splits."""
    image_folder: str = ""
    """Path of the folder of images that a table of labels names. Empty: the table's folder."""
    label: str = ""
    """The column of labels in a table. Empty: found out by the names of the columns."""
    group: str = ""
    """What keeps images of one subject, scene or day in one split: `folder` (the folder below the class), a regular
    expression with one group, which is searched in the image's path, or a column of the table. Empty: nothing."""
    fit: Fit = Fit.AUTO
    """How pictures that are not square become square: `crop`, `pad` or `squash`. `auto` crops the centre if that cuts
    off at most a tenth of the median picture, and pads otherwise."""
    exclude: str = ""
    """Path of a CSV file written by `bakeoff data check`: the images that it lists are left out. Empty: none are."""
    relabel: str = ""
    """Path of a `suspicious_labels.csv` by `bakeoff data check`: the images that it lists get the label that it
    suggests. Empty: all images keep theirs."""

    @field_validator("classes", mode="before")
    @classmethod
    def _read_classes(cls, value: Any) -> Any:
        """A list of names as JSON; bytes of a command line that are not UTF-8 as escapes, which are text."""
        if isinstance(value, list | tuple) and all(isinstance(name, str | int) for name in value):
            value = json.dumps([str(name) for name in value], ensure_ascii=False)
        if isinstance(value, str):
            value = value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return value
