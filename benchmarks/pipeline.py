"""The input pipeline, from shards to augmented batches, compared with the training speed of two networks.

There are two stages: reading and decoding the shards of CIFAR-100's training split, then drawing batches from memory
and augmenting them with each policy. One of the networks is the smallest that is trained from scratch, at the stored
size. Writes pipeline.csv next to this file, and prints it.

    python benchmarks/pipeline.py [--data-dir FOLDER]
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bakeoff.data.batches import Split, load_split, train_batches
from bakeoff.data.shards import open_dataset, prepare_cached
from bakeoff.networks.find import find_network
from bakeoff.networks.model import build_network
from bakeoff.runs.config import Augment, AugmentStep, Data, Model, Optim
from bakeoff.training.optimizer import build_optimizer
from bakeoff.training.step import compile_step
from bakeoff.training.weight_copies import MovingAverage
from hardware import count_cores, name_cpu
from results import write

CSV = Path(__file__).with_suffix(".csv")
BATCH = 64
DEFAULT, ORIGINAL = "flip-crop", "flip-rotate-zoom-contrast"
FASTEST, PRETRAINED = "lenet", "efficientnet-lite0"
SECONDS = 2.0
TURNS = 5


@dataclass(frozen=True)
class Row:
    """Images per second of one stage, and the ratios to the training speed of two networks."""

    stage: str
    images_per_second: float
    over_lenet: float
    over_efficientnet_lite0: float
    cpu: str
    cores: int
    date: str


def main() -> None:
    """Measure the stages and both networks alternately, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    arguments = parser.parse_args()

    dataset = open_dataset(prepare_cached(Data(source="cifar100"), arguments.data_dir))
    split = load_split(dataset, "train")
    stages: dict[str, Callable[[], float]] = {
        "read and decode shards": lambda: time_once(lambda: len(load_split(dataset, "train")))
    }
    classes = len(dataset.class_names)
    for policy in (DEFAULT, "none", *AugmentStep, ORIGINAL):
        batches = train_batches(split, classes, BATCH, Augment(policy=policy), seed=0)
        stages[f"batches, {policy}"] = lambda batches=batches: rate(batches, lambda images, _: len(images))
    for name, size in ((FASTEST, 32), (PRETRAINED, 96)):
        batches = train_batches(split, classes, BATCH, Augment(policy="none"), seed=0)
        step = make_step(name, size, split, classes)
        stages[f"train {name}@{size}"] = lambda batches=batches, step=step: rate(batches, step)
    for stage in stages.values():
        stage()  # the first round compiles and fills caches
    turns = [{name: stage() for name, stage in stages.items()} for _ in range(TURNS)]
    medians = {name: statistics.median(turn[name] for turn in turns) for name in stages}
    rows = [
        Row(
            stage=name,
            images_per_second=round(value),
            over_lenet=round(value / medians[f"train {FASTEST}@32"], 2),
            over_efficientnet_lite0=round(value / medians[f"train {PRETRAINED}@96"], 1),
            cpu=name_cpu(),
            cores=count_cores(),
            date=date.today().isoformat(),
        )
        for name, value in medians.items()
    ]
    write(CSV, rows)
    table = Table("stage", "images/s", f"x {FASTEST}", f"x {PRETRAINED}")
    for row in rows:
        table.add_row(
            row.stage, f"{row.images_per_second:,.0f}", f"{row.over_lenet:.1f}", f"{row.over_efficientnet_lite0:.0f}"
        )
    Console().print(table)


def make_step(name: str, size: int, split: Split, classes: int) -> Callable[..., int]:
    """A training step of a network with random weights: (images, targets) -> number of images."""
    network = build_network(
        find_network(name), Model(name=name, size=size), side=split.images.shape[1], classes=classes
    )
    model = network.model(size)
    optimizer = build_optimizer(Optim())
    optimizer.build(model.trainable_variables)
    step = compile_step(model, optimizer, MovingAverage(model, 0.99), 0.1, BATCH)

    def train(images: object, targets: object) -> int:
        step(images, targets, 1e-4, 0.99)
        return BATCH

    return train


def rate(batches: Iterator[tuple], work: Callable[..., int]) -> float:
    """Images per second over some seconds of batches."""
    started, images = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        for batch in islice(batches, 8):
            images += work(*batch)
    return images / (time.perf_counter() - started)


def time_once(work: Callable[[], int]) -> float:
    """Images per second of one call."""
    started = time.perf_counter()
    images = work()
    return images / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
