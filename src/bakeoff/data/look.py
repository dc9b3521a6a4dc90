"""What the images of a data set look like, in two numbers by which photographs, drawings and scans differ."""

import os
from pathlib import Path

import numpy as np

from bakeoff.data.checks import without_bars
from bakeoff.data.shards import Dataset, read_blocks
from bakeoff.files import read_json, write_json
from bakeoff.runs.facts import Facts

__all__ = ["Look", "measure_look"]

# Training images that are looked at. Shards are shuffled, so the first ones are a random sample.
SAMPLE = 256


class Look(Facts):
    """Two shares in [0, 1]."""

    flat: float
    """Of pixels and their right neighbours, those that are equal: few in photographs, most in drawings."""
    grey: float
    """Of images, those without colour."""


def measure_look(dataset: Dataset) -> Look:
    """Look at some training images, or read what was found before: it is kept beside the shards.

    Raises DataError if a shard is damaged.
    """
    path = dataset.folder / f"look-{dataset.fingerprint[:12]}.json"
    if (found := _read(path)) is not None:
        return found
    # Bars are flat whatever the images are.
    images = next(read_blocks(without_bars(dataset), "train", SAMPLE)).images
    equal = (images[:, :, 1:] == images[:, :, :-1]).all(axis=3)
    grey = (np.ptp(images, axis=3) <= 1).all(axis=(1, 2))
    look = Look(flat=round(float(equal.mean()), 4), grey=round(float(grey.mean()), 4))
    if os.access(dataset.folder, os.W_OK):
        write_json(path, look.model_dump(mode="json"))
    return look


def _read(path: Path) -> Look | None:
    """What was found before; None if the file is missing or damaged."""
    try:
        return Look.model_validate(read_json(path))
    except (OSError, ValueError):
        return None
