"""Does the ranking of the screen hold after fine-tuning? `bakeoff screen` and `bakeoff compare` of the same candidates.

Both commands start with one empty cache and use CIFAR-100; the comparison gives every candidate the same wall-clock
time. Agreement is the weighted Kendall tau (Vigna 2015) between the ranking of the screen and the top-1 of the
comparison; it gives differences among the best candidates the most weight. Networks whose weights do not come from a
package are added by giving their files. Writes screening.csv next to this file, and prints it.

    python benchmarks/screening.py --out FOLDER [--weights mobilenet-v2=FILE.h5] [--weights xception=FILE.keras]
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table
from scipy.stats import weightedtau

from bakeoff.report.board import rank
from bakeoff.runs.record import Stage, State, list_records
from hardware import count_cores, name_cpu
from processes import measure
from results import keep

CSV = Path(__file__).with_suffix(".csv")
PACKAGED = [
    *(f"efficientnet-lite0@{size}" for size in (64, 96, 128)),
    "efficientnet-lite1@96",
    *(f"efficientnet-lite2@{size}" for size in (64, 96, 128)),
]
SIZE_OF_OTHERS = 96
# A study spends about a third of its budget on the screen.
SCREEN_BUDGET, COMPARE_BUDGET, VAL_IMAGES = "10m", "16m", 2000


@dataclass(frozen=True)
class Row:
    """One candidate: ranks from 1, scores as fractions of 1, seconds of training or probing."""

    classes: str
    network: str
    screen_place: int
    """The last rank if the screen stopped it because it was too slow."""
    screen_top1: float | None
    screen_seconds: float
    compare_place: int
    compare_top1: float
    compare_ci95_low: float
    compare_ci95_high: float
    compare_seconds: float
    compare_images_per_second: float
    screen_wall_seconds: float
    """Of the whole screen with all candidates, including the preparation of the data."""
    tau: float
    """Of all candidates."""
    cpu: str
    cores: int
    date: str


def main() -> None:
    """Screen, compare, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the two studies")
    parser.add_argument(
        "--weights", action="append", default=[], metavar="NAME=PATH", help="weights of a further network"
    )
    parser.add_argument("--classes", default="all", help="classes of CIFAR-100, as in bakeoff's --classes")
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    arguments = parser.parse_args()

    others = [f"{choice.partition('=')[0]}@{SIZE_OF_OTHERS}" for choice in arguments.weights]
    options = ["--classes", arguments.classes, "--candidates", ",".join([*PACKAGED, *others])]
    for choice in arguments.weights:
        options += ["--weights", choice]
    if arguments.data_dir is not None:
        options += ["--data-dir", str(arguments.data_dir.resolve())]
    screened, compared = arguments.out / "screen", arguments.out / "compare"
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"BAKEOFF_CACHE_DIR": cache}
        bakeoff = [sys.executable, "-m", "bakeoff"]
        screen = [*bakeoff, "screen", "cifar100", "--budget", SCREEN_BUDGET, "--out", str(screened)]
        measure([*screen, *options], environment)
        compare = [*bakeoff, "compare", "cifar100", "--budget", COMPARE_BUDGET, "--out", str(compared)]
        compare += ["--set", f"train.val_images={VAL_IMAGES}"]
        measure([*compare, *options], environment)
    rows = read_rows(arguments.classes, screened, compared)
    keep(CSV, rows, same=("classes",))
    print_table(rows)


def read_rows(classes: str, screened: Path, compared: Path) -> list[Row]:
    """Both rankings, in the order of the comparison. Raises SystemExit for a candidate that is not in both."""
    screen = [row for row in rank(list_records(screened), stage=Stage.SCREEN) if row.state is not State.RUNNING]
    compare = [row for row in rank(list_records(compared), stage=Stage.COMPARE) if row.val_top1 is not None]
    places = {row.name: place for place, row in enumerate(screen, start=1)}
    by_name = {row.name: row for row in screen}
    if lost := places.keys() ^ {row.name for row in compare}:
        raise SystemExit(f"not in both: {', '.join(sorted(lost))}; see {screened / 'board.csv'}")
    tau = measure_agreement([places[row.name] for row in compare], [row.val_top1 or 0.0 for row in compare])
    spent = json.loads((screened / "study.json").read_text(encoding="utf-8"))["seconds"]
    rows = []
    for place, row in enumerate(compare, start=1):
        before = by_name[row.name]
        low, high = row.val_top1_ci95 or (0.0, 1.0)
        rows.append(
            Row(
                classes=classes,
                network=row.name,
                screen_place=places[row.name],
                screen_top1=None if before.val_top1 is None else round(before.val_top1, 4),
                screen_seconds=round(before.seconds_train, 1),
                compare_place=place,
                compare_top1=round(row.val_top1 or 0.0, 4),
                compare_ci95_low=round(low, 4),
                compare_ci95_high=round(high, 4),
                compare_seconds=round(row.seconds_train, 1),
                compare_images_per_second=round(row.images_per_second, 1),
                screen_wall_seconds=round(sum(spent.values()), 1),
                tau=tau,
                cpu=name_cpu(),
                cores=count_cores(),
                date=date.today().isoformat(),
            )
        )
    return rows


def measure_agreement(places: Sequence[int], top1: Sequence[float]) -> float:
    """Weighted Kendall tau between the ranks in the screen (1 is best) and the accuracies after fine-tuning."""
    return round(float(weightedtau([-place for place in places], top1).statistic), 3)


def print_table(rows: Sequence[Row]) -> None:
    """Print one line per candidate, best after fine-tuning first."""
    table = Table("network", "screen", "", "fine-tuned", "", "95 % interval", "images/s")
    for row in rows:
        table.add_row(
            row.network,
            str(row.screen_place),
            "stopped" if row.screen_top1 is None else f"{row.screen_top1:.1%}",
            str(row.compare_place),
            f"{row.compare_top1:.1%}",
            f"{row.compare_ci95_low:.1%} – {row.compare_ci95_high:.1%}",
            f"{row.compare_images_per_second:.0f}",
        )
    console = Console()
    console.print(table)
    console.print(f"weighted Kendall tau {rows[0].tau:.2f}; the whole screen took {rows[0].screen_wall_seconds:.0f} s")


if __name__ == "__main__":
    main()
