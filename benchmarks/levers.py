"""What each change of the default recipe gains or loses on 20 classes, one change at a time, at equal seconds.

Every row is a `bakeoff train` in a separate process with the same seconds of training (the probe of the head is not
included), scored on validation; the test split stays locked. Runs are kept in --studies, so an interrupted call
continues. Writes levers.csv next to this file, and prints it.

    python benchmarks/levers.py --studies FOLDER [--seconds 240] [--levers size-96,no-ema] [--data-dir FOLDER]
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bakeoff.runs.record import RunRecord, State, list_records
from hardware import count_cores, name_cpu
from results import keep, read

CSV = Path(__file__).with_suffix(".csv")
# A draw of the classes that is not used for any claim.
BASE = (
    "data.seed=11 model.name=efficientnet-lite0 model.size=128 model.unfreeze=1 model.batch_norm=frozen "
    "optim.learning_rate=5e-4 optim.ema=0.98 train.probe_images=3000 train.count_probe=false "
    "train.evaluations=1 train.flip_test=true"
)
LEVERS = {
    "base": "",
    "size-96": "model.size=96",
    "size-160": "model.size=160",
    "sizes-96-128": "train.sizes=[96]",
    "sizes-64-96-128": "train.sizes=[64,96]",
    "lite2": "model.name=efficientnet-lite2",
    "lite2-size-96": "model.name=efficientnet-lite2 model.size=96",
    "from-block4": "model.unfreeze=block4",
    "batch-statistics": "model.batch_norm=train",
    "no-probe": "train.probe_images=0",
    "probe-of-all": "train.probe_images=9000",
    "no-ema": "optim.ema=0",
    "no-flip-test": "train.flip_test=false",
    "no-smoothing": "optim.label_smoothing=0",
    "no-augmentation": "augment.policy=none",
    "rate-2e-4": "optim.learning_rate=2e-4",
    "rate-1e-3": "optim.learning_rate=1e-3",
    "batch-32": "train.batch=32",
    "batch-32-sizes-96-128": "train.batch=32 train.sizes=[96]",
    "batch-32-sizes-96-128-160": "train.batch=32 model.size=160 train.sizes=[96,128]",
    "bfloat16": "train.precision=mixed_bfloat16",
    "sizes-96-128-lite2": "train.sizes=[96] model.name=efficientnet-lite2",
    "sizes-96-128-cutmix": "train.sizes=[96] augment.policy=flip-crop-cutmix",
    "sizes-128-160": "model.size=160 train.sizes=[128]",
    "sizes-128-160-lite2": "model.size=160 train.sizes=[128] model.name=efficientnet-lite2",
    "sizes-96-128-layers": "train.sizes=[96] optim.first_layer=0.1 optim.learning_rate=1e-3",
}


@dataclass(frozen=True)
class Row:
    """One run: scores as fractions of 1."""

    lever: str
    settings: str
    """The settings that differ from the base recipe."""
    seconds: float
    """Allowed seconds of training."""
    val_top1: float
    ci95_low: float
    ci95_high: float
    images_seen: int
    images_per_second: float
    wall_seconds: float
    peak_bytes: int
    run: str
    versions: str
    cpu: str
    cores: int
    date: str


def main() -> None:
    """Train with each change, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--studies", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--levers", default=",".join(LEVERS), help="names separated by commas")
    parser.add_argument("--seconds", type=float, default=240.0, help="training seconds of each run")
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    arguments = parser.parse_args()

    for lever in arguments.levers.split(","):
        record = train(lever, arguments.seconds, arguments.studies / lever, arguments.data_dir)
        keep(CSV, [_row(lever, arguments.seconds, record)], same=("lever", "seconds", "cpu", "cores"), order=_place)
    print_table(read(CSV))


def train(lever: str, seconds: float, out: Path, data_dir: Path | None) -> RunRecord:
    """Train one run with the command line. Raises SystemExit if it fails."""
    settings = [*BASE.split(), f"train.seconds={seconds}", *LEVERS[lever].split()]
    command = [sys.executable, "-m", "bakeoff", "train", "cifar100", "--classes", "20", "--out", str(out)]
    for setting in settings:
        command += ["--set", setting]
    if data_dir is not None:
        command += ["--data-dir", str(data_dir.resolve())]
    subprocess.run(command, check=True)
    # Runs of other lengths may be in the folder, and those of other settings if a lever was changed.
    record, *others = (each for each in list_records(out) if each.config.train.seconds == seconds)
    if others:
        raise SystemExit(f"{out} has several runs of {seconds:.0f} s; choose another folder for --studies")
    if record.state is not State.COMPLETE:
        raise SystemExit(f"{lever}: {record.reason}")
    return record


def _row(lever: str, seconds: float, record: RunRecord) -> Row:
    assert record.val is not None
    low, high = record.val.top1_ci95
    return Row(
        lever=lever,
        settings=LEVERS[lever],
        seconds=seconds,
        val_top1=round(record.val.top1, 4),
        ci95_low=round(low, 4),
        ci95_high=round(high, 4),
        images_seen=record.images_seen,
        images_per_second=round(record.images_per_second, 1),
        wall_seconds=round(record.seconds.total, 1),
        peak_bytes=record.memory_peak_bytes,
        run=record.id,
        versions=", ".join(f"{name} {version}" for name, version in record.versions.items()),
        cpu=name_cpu(),
        cores=count_cores(),
        date=date.today().isoformat(),
    )


def _place(row: Mapping[str, str]) -> tuple[float, int]:
    return float(row["seconds"]), list(LEVERS).index(row["lever"])


def print_table(rows: Sequence[dict[str, str]]) -> None:
    """Print one line per run."""
    table = Table("lever", "seconds", "val top-1", "95 % interval", "images seen", "images/s", "peak memory")
    for row in rows:
        table.add_row(
            row["lever"],
            f"{float(row['seconds']):.0f}",
            f"{float(row['val_top1']):.1%}",
            f"{float(row['ci95_low']):.1%} – {float(row['ci95_high']):.1%}",
            f"{int(row['images_seen']):,}",
            f"{float(row['images_per_second']):.0f}",
            f"{int(row['peak_bytes']) / 1e6:,.0f} MB",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
