"""The training step compared with timm on PyTorch: images per second with the same network, batch and input size.

Each side is at its best: it takes its fastest variant, by the median of five steps after three that are not timed. For
bakeoff these are float32 and bfloat16; for PyTorch each of the two, both eager and by torch.compile (which needs a C++
compiler; its compiling is not timed), with timm's own frozen normalisations. A variant is given up if it does not
answer in time, or if a step takes three times as long as in the best one.

Both sides stay loaded and alternate (A B A B ...), so that a slower machine slows both. A pair during which other
programs took more than 5 % of the CPU time of all cores is taken again, at most twice.

PyTorch has a separate environment, which is created on the first call. Rows of other networks and other machines stay
in step.csv, and what was found of each variant is there.

    python benchmarks/step.py [--networks efficientnet-lite0,vgg-16] [--peer-python PYTHON]
"""

import argparse
import itertools
import os
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from disturbance import Measured, measure_undisturbed
from hardware import count_cores, name_cpu
from peers import make_environment
from results import keep, read
from step_side import Side, Task, Variant

HERE = Path(__file__).parent
CSV = HERE / "step.csv"
PEER_PACKAGES = ("torch==2.14.1", "torchvision==0.29.1", "timm==1.0.31")
# The name here, and timm's name of the same architecture.
NETWORKS = {
    "efficientnet-lite0": "efficientnet_lite0",
    "mobilenet-v2": "mobilenetv2_100",
    "resnet-50": "resnet50",
    "densenet-121": "densenet121",
    "vgg-16": "vgg16",
}
PRECISIONS = ("float32", "bfloat16")
OURS = [Variant(precision, "graph") for precision in PRECISIONS]
PEERS = [Variant(precision, mode) for precision, mode in itertools.product(PRECISIONS, ("eager", "compiled"))]
SIZE, BATCH = 96, 64
# A row replaces the one with the same values.
KEY = ("network", "batch_norm", "batch", "cpu", "cores")


@dataclass(frozen=True)
class Row:
    """One network in one mode: medians over all pairs in images per second, and ratios of bakeoff to PyTorch."""

    network: str
    batch_norm: str
    size: int
    batch: int
    ours_precision: str
    peer_precision: str
    peer_mode: str
    """`eager` or `compiled`."""
    peer_freezing: str
    """How normalisations are frozen: `timm`, or `eval` in rows before it was used; empty where none are frozen."""
    ours_rate: float
    peer_rate: float
    ratio: float
    """Median ratio of the pairs; a pair is a round of bakeoff and the next round of PyTorch."""
    ratio_low: float
    ratio_high: float
    pairs: int
    retaken: int
    """Rounds that were taken again, because other programs disturbed them."""
    others: float
    """Largest share of the CPU time of all cores that other programs took during a pair; disturbed if above 0.05."""
    ours_trials: str
    """Every variant with its images per second, or why it was given up."""
    peer_trials: str
    ours: str
    peer: str
    cpu: str
    """Its name, and what it multiplies matrices with: processors of one name may differ in that."""
    cores: int
    date: str


def main() -> None:
    """Time all networks and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS), help="names separated by commas")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=4, help="steps of one round")
    parser.add_argument("--batch", type=int, default=BATCH, help="images in a step")
    parser.add_argument("--peer-python", help="interpreter of an environment with timm and PyTorch")
    parser.add_argument("--table", type=Path, default=CSV, help="CSV file (default: next to this script)")
    arguments = parser.parse_args()

    if shutil.which(os.environ.get("CXX", "g++")) is None:
        Console(stderr=True).print("no C++ compiler: PyTorch is timed without torch.compile; install g++ for its best")
    ours = Side(sys.executable, HERE / "step_ours.py", OURS)
    peer = Side(arguments.peer_python or make_environment(PEER_PACKAGES), HERE / "step_peer.py", PEERS)
    for name in arguments.networks.split(","):
        # VGG has no batch normalisation.
        for batch_norm in ("frozen",) if name.startswith("vgg") else ("frozen", "train"):
            row = compare(Task(name, SIZE, arguments.batch, batch_norm), ours, peer, arguments.pairs, arguments.steps)
            keep(arguments.table, [row], same=KEY, order=_place)
    ours.close()
    peer.close()
    print_table([row for row in read(arguments.table) if _is_of_this_machine(row)])


def compare(task: Task, ours: Side, peer: Side, pairs: int, steps: int) -> Row:
    """Time one network, with batch normalisation in inference mode (the default here) or learning."""
    our_choice = ours.open_fastest(task)
    peer_choice = peer.open_fastest(replace(task, network=NETWORKS[task.network]))

    def time_pair() -> tuple[float, float]:
        return ours.time(steps), peer.time(steps)

    measured: list[Measured[tuple[float, float]]] = [measure_undisturbed(time_pair) for _ in range(pairs)]
    rates = [pair.value for pair in measured]
    ratios = [a / b for a, b in rates]
    return Row(
        network=task.network,
        batch_norm=task.batch_norm,
        size=task.size,
        batch=task.batch,
        ours_precision=our_choice.variant.precision,
        peer_precision=peer_choice.variant.precision,
        peer_mode=peer_choice.variant.mode,
        peer_freezing="timm" if task.batch_norm == "frozen" and not task.network.startswith("vgg") else "",
        ours_rate=round(statistics.median(a for a, _ in rates), 1),
        peer_rate=round(statistics.median(b for _, b in rates), 1),
        ratio=round(statistics.median(ratios), 3),
        ratio_low=round(min(ratios), 3),
        ratio_high=round(max(ratios), 3),
        pairs=pairs,
        retaken=sum(pair.retaken for pair in measured),
        others=round(max(pair.others for pair in measured), 3),
        ours_trials=our_choice.trials,
        peer_trials=peer_choice.trials,
        ours=ours.versions,
        peer=peer.versions,
        cpu=name_cpu(),
        cores=count_cores(),
        date=date.today().isoformat(),
    )


def _place(row: Mapping[str, str]) -> tuple[int, str, str]:
    return list(NETWORKS).index(row["network"]), row["batch_norm"], row["cpu"]


def _is_of_this_machine(row: Mapping[str, str]) -> bool:
    return (row["cpu"], row["cores"]) == (name_cpu(), str(count_cores()))


def print_table(rows: Sequence[Mapping[str, str]]) -> None:
    """Print the ratios, one line per network and mode, and what disturbed them."""
    table = Table(
        "network", "batch norm", "bakeoff, images/s", "timm, images/s", "ratio", "of the pairs", "others took"
    )
    for row in rows:
        table.add_row(
            row["network"],
            row["batch_norm"],
            f"{float(row['ours_rate']):.0f} {row['ours_precision']}",
            f"{float(row['peer_rate']):.0f} {row['peer_precision']} {row['peer_mode']}",
            f"{float(row['ratio']):.2f}",
            f"{float(row['ratio_low']):.2f} – {float(row['ratio_high']):.2f}",
            f"{float(row['others']):.0%}, {row['retaken']} retaken" if row["others"] else "",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
