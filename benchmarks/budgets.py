"""Does `bakeoff run` keep to its budget? Wall clock of whole commands, alone and beside another program.

Each budget is tried on CIFAR-100 with 20 classes, in one cache that keeps the data and the profile of the machine: the
first study, which fills both, is not counted. `disturbed` means that other processes are busy on half of the cores all
the time. Rows of other machines stay in budgets.csv.

    python benchmarks/budgets.py [--budgets 1m,2m,5m,10m,30m] [--only idle|disturbed] [--data-dir FOLDER]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

import bakeoff
from bakeoff.machine import tensorflow_environment
from bakeoff.runs.config import parse_duration
from bakeoff.runs.record import Stage, State, list_records
from bakeoff.runs.shipped import find_shipped
from bakeoff.runs.study_file import read_study
from bakeoff.runs.versions import find_versions
from hardware import count_cores, name_cpu
from results import keep, read

CSV = Path(__file__).with_suffix(".csv")
IDLE, DISTURBED = "idle", "disturbed"
BUSY = "while True: pass"


@dataclass(frozen=True)
class Row:
    """One study."""

    budget: float
    """Seconds of wall clock that were asked for."""
    beside: str
    """`idle`, or `disturbed` by processes on half of the cores."""
    seconds: float
    """Seconds of wall clock of the command."""
    share: float
    """Seconds taken, as a share of the budget."""
    screened: int
    """Candidates that were screened, further input sizes included."""
    cut: int
    """Candidates for which there was no time."""
    raced: int
    trained: float
    """Training seconds of the winner."""
    winner: str
    test_top1: float
    load: float
    """Processes that were running or waiting to, on average of the last minute before the study."""
    tensorflow: str
    keras: str
    bakeoff: str
    cpu: str
    cores: int
    date: str


def main() -> None:
    """Run the studies and write their figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--budgets", default="1m,2m,5m,10m,30m", help="separated by commas")
    parser.add_argument("--only", choices=(IDLE, DISTURBED), help="one of the two ways")
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bakeoff-budgets-") as folder:
        run_study(Path(folder), "2m", IDLE, arguments.data_dir)
        for beside in (IDLE, DISTURBED) if arguments.only is None else (arguments.only,):
            for budget in arguments.budgets.split(","):
                row = run_study(Path(folder), budget, beside, arguments.data_dir)
                keep(CSV, [row], same=("budget", "beside", "cpu", "cores"))
                print_table()


def run_study(folder: Path, budget: str, beside: str, data_dir: Path | None) -> Row:
    """One study in an own folder, in the cache that all of them share."""
    out = folder / f"{beside}-{budget}-{time.time_ns()}"
    environment = tensorflow_environment() | {"BAKEOFF_CACHE_DIR": str(folder / "cache")}
    if data_dir is not None:
        environment["BAKEOFF_DATA_DIR"] = str(data_dir)
    load = os.getloadavg()[0]
    command = [sys.executable, "-m", "bakeoff", "run", "cifar100", "--classes", "20", "--budget", budget, "--out", out]
    with busy(count_cores() // 2 if beside == DISTURBED else 0):
        started = time.monotonic()
        subprocess.run(list(map(str, command)), env=environment, check=True, stderr=subprocess.DEVNULL)
        seconds = time.monotonic() - started
    records, plan = list_records(out), read_study(out).plan
    done = [record for record in records if record.state is State.COMPLETE]
    winner = find_shipped(read_study(out), records)
    assert winner is not None
    versions = find_versions()
    asked = parse_duration(budget)
    return Row(
        budget=asked,
        beside=beside,
        seconds=round(seconds, 1),
        share=round(seconds / asked, 3),
        screened=sum(record.stage is Stage.SCREEN for record in done),
        cut=len(plan["cut"]),
        raced=sum(record.stage is Stage.RACE for record in done),
        trained=round(winner.seconds.train, 1),
        winner=winner.candidate,
        test_top1=round(winner.test.top1, 4) if winner.test else 0.0,
        load=round(load, 2),
        tensorflow=versions["tensorflow"],
        keras=versions["keras"],
        bakeoff=bakeoff.__version__,
        cpu=name_cpu(),
        cores=count_cores(),
        date=date.today().isoformat(),
    )


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep this many processes busy for the block."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def print_table() -> None:
    """Print all rows, and the median share of the budgets."""
    rows = read(CSV)
    table = Table("budget", "beside", "taken", "share", "screened", "cut", "raced", "trained", "winner", "test", "cpu")
    for row in rows:
        table.add_row(
            f"{float(row['budget']):.0f} s",
            row["beside"],
            f"{float(row['seconds']):.0f} s",
            f"{float(row['share']):.1%}",
            row["screened"],
            row["cut"],
            row["raced"],
            f"{float(row['trained']):.0f} s",
            row["winner"],
            f"{float(row['test_top1']):.1%}",
            row["cpu"],
        )
    Console().print(table)
    Console().print(f"median {statistics.median(float(row['share']) for row in rows):.1%} of the budget")


if __name__ == "__main__":
    main()
