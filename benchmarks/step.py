"""The training step compared with timm on PyTorch: images per second with the same network, batch and input size.

Both sides stay loaded and alternate (A B A B ...), so that a slower machine slows both. Each side uses the faster of
float32 and bfloat16. PyTorch has a separate environment, which is created on the first call. Rows of other networks
stay in step.csv.

    python benchmarks/step.py [--networks efficientnet-lite0,vgg-16] [--peer-python PYTHON]
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bakeoff.files import cache_dir
from bakeoff.machine import tensorflow_environment
from hardware import count_cores, name_cpu
from results import keep, read

HERE = Path(__file__).parent
CSV = HERE / "step.csv"
PEER_PACKAGES = ("torch==2.15.0", "torchvision==0.29.2", "timm==1.0.31")
# The name here, and timm's name of the same architecture.
NETWORKS = {
    "efficientnet-lite0": "efficientnet_lite0",
    "mobilenet-v2": "mobilenetv2_100",
    "resnet-50": "resnet50",
    "densenet-121": "densenet121",
    "vgg-16": "vgg16",
}
PRECISIONS = ("float32", "bfloat16")
SIZE, BATCH, TRIAL_BATCH = 96, 64, 8


@dataclass(frozen=True)
class Row:
    """One network in one mode: medians over all steps in images per second, and ratios of bakeoff to PyTorch."""

    network: str
    batch_norm: str
    size: int
    batch: int
    ours_precision: str
    peer_precision: str
    ours_rate: float
    peer_rate: float
    ratio: float
    """Median ratio of the pairs; a pair is a round of bakeoff and the next round of PyTorch."""
    ratio_low: float
    ratio_high: float
    pairs: int
    ours: str
    peer: str
    cpu: str
    cores: int
    date: str


class Side:
    """A process that takes training steps on demand."""

    def __init__(self, python: str, script: str) -> None:
        self._process = subprocess.Popen(
            [python, str(HERE / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=tensorflow_environment(onednn=True),
        )
        self.versions: str = self._answer()["versions"]

    def open(self, name: str, precision: str, batch_norm: str, batch: int = BATCH) -> None:
        """Build a network and do the first steps, which are not timed."""
        self._ask(f"open {name} {SIZE} {batch} {precision} {batch_norm}")

    def time(self, steps: int, batch: int = BATCH) -> float:
        """Images per second, from the median of these steps."""
        seconds: list[float] = self._ask(f"time {steps}")["seconds"]
        return batch / statistics.median(seconds)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def open_fastest(self, name: str, batch_norm: str) -> str:
        """Open the network in the faster precision; returns the precision."""
        rates = self._time_precisions(name, batch_norm, PRECISIONS, TRIAL_BATCH)
        # Without instructions for bfloat16, one step on a whole batch can take minutes.
        contenders = [precision for precision in PRECISIONS if rates[precision] > 0.5 * max(rates.values())]
        rates = self._time_precisions(name, batch_norm, contenders, BATCH)
        best = max(rates, key=rates.__getitem__)
        if best != contenders[-1]:
            self.open(name, best, batch_norm)
        return best

    def _time_precisions(self, name: str, batch_norm: str, precisions: Sequence[str], batch: int) -> dict[str, float]:
        rates = {}
        for precision in precisions:
            self.open(name, precision, batch_norm, batch)
            rates[precision] = self.time(1, batch)
        return rates

    def _ask(self, command: str) -> dict[str, list[float]]:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"a side of the benchmark died; run {' '.join(map(str, self._process.args))} to see why")


def main() -> None:
    """Time all networks and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--networks", default=",".join(NETWORKS), help="names separated by commas")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=4, help="steps of one round")
    parser.add_argument("--peer-python", help="interpreter of an environment with timm and PyTorch")
    arguments = parser.parse_args()

    ours = Side(sys.executable, "step_ours.py")
    peer = Side(arguments.peer_python or make_peer(), "step_peer.py")
    for name in arguments.networks.split(","):
        keep(CSV, list(compare(name, ours, peer, arguments.pairs, arguments.steps)), same=("network",), order=_place)
    ours.close()
    peer.close()
    print_table(read(CSV))


def make_peer() -> str:
    """Make an environment with the PyTorch packages in the cache; returns its interpreter."""
    folder = cache_dir() / "benchmarks" / "-".join(PEER_PACKAGES)
    python = folder / ("Scripts/python.exe" if platform.system() == "Windows" else "bin/python")
    if not (folder / "complete").is_file():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEER_PACKAGES], check=True)
        (folder / "complete").touch()
    return str(python)


def compare(name: str, ours: Side, peer: Side, pairs: int, steps: int) -> Iterator[Row]:
    """Time one network with batch normalisation in inference mode (the default here), then learning."""
    # VGG has no batch normalisation.
    for batch_norm in ("frozen",) if name.startswith("vgg") else ("frozen", "train"):
        precisions = ours.open_fastest(name, batch_norm), peer.open_fastest(NETWORKS[name], batch_norm)
        rates = [(ours.time(steps), peer.time(steps)) for _ in range(pairs)]
        ratios = [a / b for a, b in rates]
        yield Row(
            network=name,
            batch_norm=batch_norm,
            size=SIZE,
            batch=BATCH,
            ours_precision=precisions[0],
            peer_precision=precisions[1],
            ours_rate=round(statistics.median(a for a, _ in rates), 1),
            peer_rate=round(statistics.median(b for _, b in rates), 1),
            ratio=round(statistics.median(ratios), 3),
            ratio_low=round(min(ratios), 3),
            ratio_high=round(max(ratios), 3),
            pairs=pairs,
            ours=ours.versions,
            peer=peer.versions,
            cpu=name_cpu(),
            cores=count_cores(),
            date=date.today().isoformat(),
        )


def _place(row: Mapping[str, str]) -> tuple[int, str]:
    return list(NETWORKS).index(row["network"]), row["batch_norm"]


def print_table(rows: Sequence[Mapping[str, str]]) -> None:
    """Print the ratios, one line per network and mode."""
    table = Table("network", "batch norm", "bakeoff, images/s", "timm, images/s", "ratio", "of the pairs")
    for row in rows:
        table.add_row(
            row["network"],
            row["batch_norm"],
            f"{float(row['ours_rate']):.0f} {row['ours_precision']}",
            f"{float(row['peer_rate']):.0f} {row['peer_precision']}",
            f"{float(row['ratio']):.2f}",
            f"{float(row['ratio_low']):.2f} – {float(row['ratio_high']):.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
