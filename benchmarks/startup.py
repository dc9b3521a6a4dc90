"""How long is it from one run's end to the next one's first step, with and without a process started ahead?

Short runs of a network that has been seen before, with `launch` as in a study: alternately (A B A B …) in the process
that was started ahead while the run before it trained, and in a fresh one. A gap begins when a run has written its
model, and ends when the next one has done its first step, the compilation of its graph included. With --trials, also
the trials that `bakeoff tune` completes in a budget, which is 20 times what a trial trains (15m: 45 s), in both ways.
Writes startup.csv next to this file, and prints it.

    python benchmarks/startup.py [--gaps 20] [--candidate efficientnet-lite0@96] [--trials 15m] [--data-dir FOLDER]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from unittest import mock

from rich.console import Console
from rich.table import Table

import bakeoff
from bakeoff.launch import Local, Spare, launch
from bakeoff.runs.config import Candidate, Data, Run
from bakeoff.runs.events import RunProgress
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.record import RunRecord, Stage, State, list_records
from bakeoff.runs.versions import find_versions
from bakeoff.study.provide import prepare_data
from hardware import count_cores, name_cpu
from results import keep

CSV = Path(__file__).with_suffix(".csv")
AHEAD, FRESH = "started ahead", "fresh"
# Long enough that the next process has imported everything before the run ends.
TRAINING_SECONDS = 20.0


@dataclass(frozen=True)
class Row:
    """The gaps before runs in one kind of process, or the trials of a search with it."""

    measured: str
    """`gap` in seconds, or `trials` of a budget."""
    network: str
    process: str
    median: float
    """Median gap in seconds; or the number of trials."""
    fastest: float
    slowest: float
    count: int
    """Gaps; or training seconds of a trial."""
    images_per_second: float
    """Median in training, while the next process imports."""
    load: float
    """Processes that were running or waiting to, on average of the last minute before the measurement."""
    tensorflow: str
    keras: str
    bakeoff: str
    cpu: str
    cores: int
    date: str


class NoSpare(Spare):
    """Never starts a process ahead."""

    def prepare(self, environment: Mapping[str, str], reserved_bytes: int) -> None:
        """Do nothing."""


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gaps", type=int, default=20, help="gaps of each kind")
    parser.add_argument("--candidate", default="efficientnet-lite0@96", help="NAME@SIZE")
    parser.add_argument("--trials", metavar="BUDGET", help="also count the trials of a search, in both ways")
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    arguments = parser.parse_args()

    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch, mock.patch.dict(os.environ, BAKEOFF_CACHE_DIR=f"{scratch}/cache"):
        out = Path(scratch) / "studies"
        rows = measure_gaps(arguments.candidate, arguments.gaps, out, arguments.data_dir, load)
        if arguments.trials:
            for process in (FRESH, AHEAD):
                rows.append(count_trials(process, arguments, out / process, load))
    keep(CSV, rows, same=("measured", "network", "process", "cpu", "cores"))
    print_table(rows)


def measure_gaps(candidate: str, gaps: int, out: Path, data_dir: Path | None, load: float) -> list[Row]:
    """Both kinds of gaps, measured alternately."""
    name, _, size = candidate.partition("@")
    data = Data(source="cifar100")
    shards, _ = prepare_data(data, data_dir)
    run = Run(data=data).revised(
        model={"name": name, "size": int(size)},
        train={
            "seconds": TRAINING_SECONDS,
            "epochs": None,
            "evaluations": 1,
            "flip_test": False,
            "val_images": 1000,
            "probe_images": 3000,
            "count_probe": False,
        },
    )
    spare = Spare()
    executors = {AHEAD: Local(1, spare), FRESH: Local(1, NoSpare())}
    measured: dict[str, list[float]] = {AHEAD: [], FRESH: []}
    rates: dict[str, list[float]] = {AHEAD: [], FRESH: []}
    ended_at = None
    try:
        # The first two fill the cache, and start the first process ahead.
        for position in range(2 * gaps + 2):
            process = (AHEAD, FRESH)[position % 2]
            first_step, record = time_run(run.model_copy(update={"seed": position}), out, shards, executors[process])
            if position >= 2 and ended_at is not None:
                measured[process].append(first_step - ended_at)
                rates[process].append(record.images_per_second)
            ended_at = RunFolder(run_dir(out, record.id)).model.stat().st_mtime
    finally:
        spare.close()
    return [
        make_row("gap", candidate, process, measured[process], statistics.median(rates[process]), gaps, load)
        for process in (FRESH, AHEAD)
    ]


def time_run(run: Run, out: Path, shards: Path, executor: Local) -> tuple[float, RunRecord]:
    """Do a run, and return the time of day of its first step, and its record."""
    steps: list[float] = []

    def note(event: RunProgress) -> None:
        if event.doing == "train" and not steps:
            steps.append(time.time())

    record = launch(run, stage=Stage.TRAIN, out=out, data=shards, on_progress=note, executor=executor)
    if record.state is not State.COMPLETE:
        raise SystemExit(f"a run failed: {record.reason}; see {out / 'runs' / record.id / 'log.txt'}")
    return steps[0], record


def count_trials(process: str, arguments: argparse.Namespace, out: Path, load: float) -> Row:
    """The trials that a search begins in a budget, those that it stops early included."""
    spare = Spare if process == AHEAD else NoSpare
    with mock.patch("bakeoff.study.begin.Spare", spare):
        bakeoff.tune(
            "cifar100",
            candidate=arguments.candidate,
            budget=arguments.trials,
            out=out,
            data_dir=arguments.data_dir,
            progress=False,
        )
    trials = [record for record in list_records(out) if record.state in (State.COMPLETE, State.PRUNED)]
    seconds = trials[0].config.train.seconds or 0.0
    rate = statistics.median(record.images_per_second for record in trials if record.state is State.COMPLETE)
    return make_row("trials", arguments.candidate, process, [float(len(trials))], rate, round(seconds), load)


def make_row(
    measured: str, candidate: str, process: str, values: list[float], rate: float, count: int, load: float
) -> Row:
    """A row of the table."""
    versions = find_versions()
    return Row(
        measured=measured,
        network=str(Candidate(name=candidate.partition("@")[0], size=int(candidate.partition("@")[2]))),
        process=process,
        median=round(statistics.median(values), 2),
        fastest=round(min(values), 2),
        slowest=round(max(values), 2),
        count=count,
        images_per_second=round(rate, 1),
        load=round(load, 1),
        tensorflow=versions["tensorflow"],
        keras=versions["keras"],
        bakeoff=versions["bakeoff"],
        cpu=name_cpu(),
        cores=count_cores(),
        date=date.today().isoformat(),
    )


def print_table(rows: list[Row]) -> None:
    """Print one line per row."""
    table = Table("measured", "network", "process", "median", "fastest", "slowest", "count", "images/s")
    for row in rows:
        table.add_row(
            row.measured,
            row.network,
            row.process,
            f"{row.median:.2f}",
            f"{row.fastest:.2f}",
            f"{row.slowest:.2f}",
            str(row.count),
            f"{row.images_per_second:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
