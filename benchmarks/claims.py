"""The tasks of the original study on this machine: `bakeoff run` from an empty cache, its test accuracy and its cost.

One row per study. The seed draws the classes, and the test split is opened once. Memory is that of the command and all
its processes together; what they share counts in each. Rows of other tasks, seeds and CPUs stay in claims.csv. Studies
are kept in --studies, and one that is there already is not continued: its time would be that of its rest. With --budget
a task is only tried: its rows are printed, and no file is written.

    python benchmarks/claims.py 20-classes-10m --seeds 0,1,2 --studies FOLDER [--data-dir FOLDER]
"""

import argparse
import os
import platform
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bakeoff.runs.record import RunRecord, list_records
from bakeoff.runs.shipped import find_shipped
from bakeoff.runs.study_file import read_study
from hardware import count_cores, name_cpu
from processes import measure
from results import keep, read

CSV = Path(__file__).with_suffix(".csv")
# Classes and budget of each task.
WORKS = {
    "20-classes-10m": ("20", "10m"),
    "20-classes-30m": ("20", "30m"),
    "80-classes-60m": ("80", "60m"),
    "100-classes-10m": ("all", "10m"),
}


@dataclass(frozen=True)
class Row:
    """One study: accuracies as fractions of 1, seconds of wall clock, bytes resident."""

    work: str
    seed: int
    network: str
    weights: str
    test_top1: float
    ci95_low: float
    ci95_high: float
    test_images: int
    test_openings: int
    val_top1: float
    seconds: float
    """Of the whole command: preparing the data, screening, training, testing, reporting, exporting."""
    training_seconds: float
    images_per_second: float
    epochs: float
    peak_bytes: int
    """Resident memory of all processes of the command together, sampled twice a second, the shared in each."""
    run: str
    versions: str
    cpu: str
    cores: int
    date: str


def main() -> None:
    """Run the studies of a task and write their figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("--seeds", default="0,1,2", help="draws of the classes, separated by commas")
    parser.add_argument("--studies", type=Path, required=True, help="folder for the studies")
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    parser.add_argument("--budget", help="another budget than the task's, to try whether it runs")
    arguments = parser.parse_args()

    tried = []
    label = f"{arguments.work}-tried-{arguments.budget}" if arguments.budget else arguments.work
    studies = {int(seed): arguments.studies / f"{label}-{seed}" for seed in arguments.seeds.split(",")}
    if there := [str(out) for out in studies.values() if out.exists()]:
        parser.error(f"{', '.join(there)}: there is a study already; remove it, or choose another folder for --studies")
    arguments.studies.mkdir(parents=True, exist_ok=True)
    for seed, out in studies.items():
        row = run(arguments.work, seed, out, arguments.data_dir, arguments.budget)
        if arguments.budget:
            tried.append({name: str(value) for name, value in asdict(row).items()})
        else:
            keep(CSV, [row], same=("work", "seed", "cpu", "cores"), order=_place)
    print_table(tried or read(CSV))


def run(work: str, seed: int, out: Path, data_dir: Path | None, tried: str | None = None) -> Row:
    """Run one study with the command line, as a user does; with another budget if one is tried."""
    classes, budget = WORKS[work]
    command = [sys.executable, "-m", "bakeoff", "run", "cifar100", "--classes", classes, "--budget", tried or budget]
    command += ["--seed", str(seed), "--out", str(out)]
    if data_dir is not None:
        command += ["--data-dir", str(data_dir.resolve())]
    with tempfile.TemporaryDirectory() as cache:
        seconds, peak_bytes, _ = measure(command, os.environ | {"BAKEOFF_CACHE_DIR": cache})
    record = find_shipped(read_study(out), list_records(out))
    assert record is not None
    return _row(work, seed, record, seconds, peak_bytes)


def _row(work: str, seed: int, record: RunRecord, seconds: float, peak_bytes: int) -> Row:
    assert record.test is not None
    assert record.val is not None
    low, high = record.test.top1_ci95
    return Row(
        work=work,
        seed=seed,
        network=record.candidate,
        weights=f"{record.weights.origin} {record.weights.hash[:12]}",
        test_top1=round(record.test.top1, 4),
        ci95_low=round(low, 4),
        ci95_high=round(high, 4),
        test_images=record.test.n,
        test_openings=record.test.openings,
        val_top1=round(record.val.top1, 4),
        seconds=round(seconds, 1),
        training_seconds=round(record.seconds.train, 1),
        images_per_second=round(record.images_per_second, 1),
        epochs=round(record.epochs, 2),
        peak_bytes=peak_bytes,
        run=record.id,
        versions=f"python {platform.python_version()}, "
        + ", ".join(f"{name} {version}" for name, version in record.versions.items() if name != "python"),
        cpu=name_cpu(),
        cores=count_cores(),
        date=date.today().isoformat(),
    )


def _place(row: dict[str, str]) -> tuple[int, str, int]:
    return list(WORKS).index(row["work"]), row["cpu"], int(row["seed"])


def print_table(rows: list[dict[str, str]]) -> None:
    """Print one line per study, and the mean over the draws of each task on each CPU."""
    table = Table("task", "cpu", "seed", "network", "test top-1", "95 % interval", "minutes", "peak memory")
    for work, cpu in dict.fromkeys((row["work"], row["cpu"]) for row in rows):
        mine = [row for row in rows if (row["work"], row["cpu"]) == (work, cpu)]
        for row in mine:
            interval = f"{float(row['ci95_low']):.1%} – {float(row['ci95_high']):.1%}"
            table.add_row(
                work,
                cpu,
                row["seed"],
                row["network"],
                f"{float(row['test_top1']):.1%}",
                interval,
                f"{float(row['seconds']) / 60:.1f}",
                f"{int(row['peak_bytes']) / 1e9:.2f} GB",
            )
        if len(mine) > 1:
            mean = sum(float(row["test_top1"]) for row in mine) / len(mine)
            table.add_row(work, cpu, "mean", "", f"[bold]{mean:.1%}", "", "", "", end_section=True)
    Console().print(table)


if __name__ == "__main__":
    main()
