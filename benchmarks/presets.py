"""Presets of timm compared with timm itself: the features of the same images with the same random weights.

timm writes checkpoints (`config.json`, `model.safetensors`) and its features, averaged over the last map, in an
environment of its own, which is created on the first call. bakeoff opens the folders as `hub:FOLDER` and computes the
features of the same images. presets.csv has the largest difference, and the largest feature.

    python benchmarks/presets.py [--networks resnet18,densenet121] [--peer-python PYTHON]
"""

import argparse
import os
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from peers import make_environment
from results import keep

HERE = Path(__file__).parent
CSV = HERE / "presets.csv"
PEER_PACKAGES = ("torch==2.14.1", "torchvision==0.29.1", "timm==1.0.31")
NETWORKS = (
    "resnet18",
    "resnet50",
    "resnetv2_50",
    "densenet121",
    "vgg11",
    "efficientnet_b0",
    "efficientnet_lite0",
    "mobilenetv3_small_100",
    "mobilenetv3_large_100",
    "hgnetv2_b0",
    "cspresnet50",
)
WITHIN = 1e-4


@dataclass(frozen=True)
class Row:
    """One network: the largest absolute difference of a feature, and the largest feature."""

    network: str
    family: str
    parameters: int
    largest_difference: float
    largest_feature: float
    versions: str
    date: str


def compare(folder: Path, versions: str) -> Row:
    """The features of a checkpoint as bakeoff computes them, compared with those that timm wrote."""
    from bakeoff.networks.find import find_network
    from bakeoff.networks.model import build_network
    from bakeoff.networks.weights import load_weights, locate_weights
    from bakeoff.runs.config import Model

    with np.load(folder / "features.npz") as file:
        images, expected = file["images"], file["features"]
    side = images.shape[1]
    spec = find_network(f"hub:{folder}")
    network = build_network(spec, Model(name=spec.name, size=side), side=side, classes=2)
    load_weights(network.backbone, spec, locate_weights(spec, "auto"))
    found = network.features(side).predict(images, verbose=0)
    return Row(
        network=folder.name,
        family=spec.family,
        parameters=network.backbone.count_params(),
        largest_difference=float(np.abs(found - expected).max()),
        largest_feature=float(np.abs(expected).max()),
        versions=versions,
        date=date.today().isoformat(),
    )


def main() -> None:
    """Measure, print a table, and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS), help="timm's names, separated by commas")
    parser.add_argument("--peer-python", help="a Python with timm and safetensors; by default one is made")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    networks = arguments.networks.split(",")
    python = arguments.peer_python or make_environment(PEER_PACKAGES)
    with tempfile.TemporaryDirectory() as temporary:
        command = [str(python), str(HERE / "presets_peer.py"), temporary, *networks]
        versions = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        rows = [compare(Path(temporary) / name, versions) for name in networks]
    table = Table("network", "parameters", "largest difference", "largest feature")
    for row in rows:
        style = "" if row.largest_difference <= WITHIN * max(1.0, row.largest_feature) else "red"
        cells = (f"{row.parameters:,}", f"{row.largest_difference:.1e}", f"{row.largest_feature:.2f}")
        table.add_row(row.network, *cells, style=style)
    Console().print(table)
    keep(CSV, rows, same=("network",))


if __name__ == "__main__":
    main()
