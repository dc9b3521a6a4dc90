"""Small data sets that are drawn from large ones, as folders of images."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bakeoff.data.batches import Split, load_split
from bakeoff.data.shards import Dataset
from bakeoff.runs.config import Data
from bakeoff.study.provide import prepare_data

__all__ = ["Draw", "choose_sources", "write_images"]

# The most that a drawn data set has for its test split: what a choice is worth is measured to about a point.
TEST_PER_CLASS = 100


@dataclass(frozen=True)
class Draw:
    """A small data set that is drawn from a large one."""

    name: str
    source: str
    classes: str
    per_class: int
    seed: int = 0
    factor: float = 1.0
    """How many times more images the largest class has than the smallest; they fall exponentially."""

    def count(self, position: int, classes: int) -> int:
        """Training images of the class at this position."""
        return max(2, round(self.per_class * self.factor ** (-position / max(1, classes - 1))))


def choose_sources(
    parser: argparse.ArgumentParser, text: str | None, sources: Mapping[str, Draw | Path]
) -> dict[str, Draw | Path]:
    """The data sets with these names, separated by commas, in their order; all without any. Ends if one is unknown."""
    wanted = text.split(",") if text else [*sources]
    if unknown := [name for name in wanted if name not in sources]:
        parser.error(f"no data set is called {unknown[0]!r}; there are: {', '.join(sources)}")
    return {name: sources[name] for name in wanted}


def write_images(draw: Draw, folder: Path, data_dir: Path | None) -> Path:
    """Write the images of a draw as train/CLASS/ID.png and test/CLASS/ID.png, unless they are there.

    Args:
        draw: The data set.
        folder: Where to write it.
        data_dir: The folder with the archive of a source that has one.

    Returns:
        The folder.
    """
    if (folder / "complete").is_file():
        return folder
    data = Data(source=draw.source, classes=draw.classes, seed=draw.seed)
    _, dataset = prepare_data(data, data_dir)
    for name, split in (("train", load_split(dataset, "train")), ("test", load_split(dataset, "test", unlock=True))):
        for position, label in _draw(draw, split, name, dataset):
            target = folder / name / dataset.class_names[label] / f"{split.ids[position].replace('/', '-')}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(split.images[position]).save(target)
    (folder / "complete").touch()
    return folder


def _draw(draw: Draw, split: Split, name: str, dataset: Dataset) -> Iterator[tuple[int, int]]:
    """Positions and labels of the images of a split."""
    generator = np.random.default_rng(draw.seed)
    classes = len(dataset.class_names)
    for label in range(classes):
        positions = generator.permutation(np.flatnonzero(split.labels == label))
        for position in positions[: draw.count(label, classes) if name == "train" else TEST_PER_CLASS]:
            yield int(position), label
