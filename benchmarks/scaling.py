"""What the wrong pixel scaling costs a pretrained network: a frozen probe with the correct and with a wrong scaling.

A linear head is fitted on the pooled features of a stratified sample of CIFAR-100's training images and scored on all
of validation; the test split stays locked. Writes scaling.csv next to this file, and prints it.

    python benchmarks/scaling.py --mobilenet WEIGHTS.h5 [--data-dir FOLDER]
"""

import argparse
import platform
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from bakeoff.data.batches import Split, load_split
from bakeoff.data.shards import open_dataset, prepare_cached
from bakeoff.networks.backbone import Scaling
from bakeoff.networks.find import find_network
from bakeoff.networks.model import build_network
from bakeoff.networks.weights import load_weights, locate_weights
from bakeoff.runs.config import Data, Model
from bakeoff.runs.metrics import wilson_interval
from bakeoff.training.head import fit_head
from bakeoff.training.inference import compile_forward, predict_logits
from hardware import count_cores, name_cpu
from results import write

SIZE = 96
TRAIN_IMAGES = 3000
CSV = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True)
class Row:
    """One probe: sizes in pixels, scores as fractions of 1."""

    network: str
    weights: str
    """Their origin, and the first digits of the SHA-256 of the file."""
    size: int
    train_images: int
    val_images: int
    scaling: str
    own_scaling: bool
    val_top1: float
    ci95_low: float
    ci95_high: float
    versions: str
    cpu: str


def main() -> None:
    """Probe both networks and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mobilenet", required=True, help="Keras weights file of MobileNetV2")
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    arguments = parser.parse_args()

    dataset = open_dataset(prepare_cached(Data(source="cifar100"), arguments.data_dir))
    train = load_split(dataset, "train", subset=TRAIN_IMAGES)
    val = load_split(dataset, "val")
    rows = [
        row
        for name, weights in (("efficientnet-lite0", "auto"), ("mobilenet-v2", arguments.mobilenet))
        for row in probe_both_ways(name, weights, train, val, len(dataset.class_names))
    ]
    write(CSV, rows)
    print_table(rows)


def probe_both_ways(name: str, weights: str, train: Split, val: Split, classes: int) -> Iterator[Row]:
    """Probe a network with its input scaling, then with pixels divided by 255."""
    row = find_network(name)
    source = locate_weights(row, weights)
    for scaling in (row.scaling, Scaling.UNIT):
        network = build_network(
            replace(row, scaling=scaling), Model(name=name, size=SIZE), side=train.images.shape[1], classes=classes
        )
        load_weights(network.backbone, row, source)
        forward = compile_forward(network.features(SIZE))
        head = fit_head(predict_logits(forward, train), train.labels, classes)
        named = head.logits(predict_logits(forward, val)).argmax(axis=1)
        hits = int((named == val.labels).sum())
        low, high = wilson_interval(hits, len(val))
        yield Row(
            network=name,
            weights=f"{source.origin} {source.hash[:12]}",
            size=SIZE,
            train_images=len(train),
            val_images=len(val),
            scaling=scaling.value,
            own_scaling=scaling is row.scaling,
            val_top1=hits / len(val),
            ci95_low=round(low, 4),
            ci95_high=round(high, 4),
            versions=f"python {platform.python_version()}, tensorflow {tf.__version__}, keras {keras.__version__}",
            cpu=f"{name_cpu()}, {count_cores()} cores",
        )


def print_table(rows: list[Row]) -> None:
    """Print the scores, one line per probe."""
    table = Table("network", "scaling", "val top-1", "95 % interval")
    for row in rows:
        scaling = row.scaling + (" (correct)" if row.own_scaling else "")
        interval = f"{row.ci95_low:.1%} – {row.ci95_high:.1%}"
        table.add_row(row.network, scaling, f"{row.val_top1:.1%}", interval)
    Console().print(table)


if __name__ == "__main__":
    main()
