"""How well does a machine learn what its runs take in memory? Reads the records of runs, and makes none.

The runs below a folder are taken in the order in which they ended, as on a machine that has made nothing before: each
is predicted from those before it, and then added to the profile. Writes memory_order.csv next to this file, and prints
the errors of the first run of each network and mode, and of the later ones. Rows of other folders are replaced.

    python benchmarks/memory_order.py FOLDER
"""

import argparse
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bakeoff.networks.find import find_network
from bakeoff.profile import Profile, correct_memory, find_device, observe
from bakeoff.runs.config import Mode
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.record import RunRecord, State, read_record
from hardware import count_cores, name_cpu
from results import write

CSV = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True)
class Row:
    """One run. Bytes above what the framework and the images take."""

    network: str
    size: int
    mode: str
    batch: int
    images: int
    """Training images."""
    basis: str
    """What the prediction rests on: `measured`, `scaled`, `related` or `assumed`."""
    modelled_bytes: int
    predicted_bytes: int
    measured_bytes: int
    error_percent: float
    within: bool
    """Whether the run took at most the margin more that was said: so should 39 of 40."""
    tensorflow: str
    keras: str
    bakeoff: str
    cpu: str
    cores: int
    date: str


def main() -> None:
    """Predict each run from those before it, and write the errors."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a folder with studies or runs, at any depth")
    rows = list(follow(read_in_order(parser.parse_args().folder)))
    write(CSV, rows)
    print_errors(rows)


def read_in_order(folder: Path) -> list[tuple[date, RunRecord]]:
    """The finished runs with a measured peak below a folder, in the order in which their records were written."""
    written = [(path.stat().st_mtime, path) for path in folder.rglob(RunFolder(Path()).record.name)]
    records = [(date.fromtimestamp(seconds), read_record(path.parent)) for seconds, path in sorted(written)]
    return [(day, each) for day, each in records if each.state is State.COMPLETE and each.memory_peak_bytes]


def follow(records: Sequence[tuple[date, RunRecord]]) -> Iterator[Row]:
    """A row for each run, predicted from those before it."""
    profile = Profile(device=find_device())
    for day, record in records:
        run, measured = record.config, record.memory_peak_bytes
        estimate = correct_memory(
            profile, find_network(run.model.name), run.train.mode, record.precision, record.memory_modelled_bytes
        )
        yield Row(
            network=run.model.name,
            size=run.model.size,
            mode=run.train.mode,
            batch=run.train.batch,
            images=record.data.counts["train"],
            basis=estimate.basis,
            modelled_bytes=record.memory_modelled_bytes,
            predicted_bytes=estimate.value,
            measured_bytes=measured,
            error_percent=round(100 * (estimate.value / measured - 1), 1),
            within=measured <= estimate.value * (1 + estimate.margin),
            tensorflow=record.versions["tensorflow"],
            keras=record.versions["keras"],
            bakeoff=record.versions["bakeoff"],
            cpu=name_cpu(),
            cores=count_cores(),
            date=day.isoformat(),
        )
        if (observation := observe(record, count_cores())) is not None:
            profile = profile.with_observation(observation)


def print_errors(rows: Sequence[Row]) -> None:
    """Print the errors by mode, of runs of a network that was measured before and of the others."""
    table = Table("mode", "runs", "number", "median error", "lowest", "highest", "within the margin")
    for mode in Mode:
        for title, known in (("first of a network", False), ("later", True)):
            found = [row for row in rows if row.mode == mode and (row.basis in ("measured", "scaled")) == known]
            if found:
                errors = [row.error_percent for row in found]
                median = statistics.median(map(abs, errors))
                within = f"{sum(row.within for row in found)} of {len(found)}"
                extremes = f"{min(errors):+.0f} %", f"{max(errors):+.0f} %"
                table.add_row(mode, title, f"{len(found)}", f"{median:.1f} %", *extremes, within)
    Console().print(table)


if __name__ == "__main__":
    main()
