"""A million small images: preparing, then a whole study that is killed once in every stage and given again.

The data are CIFAR-100, repeated with altered bytes. Every step is a process of its own, and its memory is that of its
whole process tree. First the images are prepared at a quarter of the size and at the whole size, which shows how time
and memory grow. Then `bakeoff.run` is given again and again, in one folder and from an empty cache: it is killed while
it reads, while it writes, and in the screen, the race, the last training and the test; the last time it ends. What has
to hold is checked: the shards are those of the undisturbed preparation, all openings of the test split were counted,
and `verify` finds nothing wrong. Writes at_size.csv next to this file, and prints it. Needs 15 GB of temporary space.

    python benchmarks/at_size.py [--data-dir FOLDER] [--times 17] [--budget 1h]
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

import bakeoff
from bakeoff.data.shards import read_manifest, writer
from bakeoff.data.sources import open_source
from bakeoff.files import write_json
from growth import SHARDS, Repeated, prepare_shards
from hardware import count_cores, name_cpu
from processes import measure
from results import write

CSV = Path(__file__).with_suffix(".csv")
# The stage, and how the name of the step begins, in which a study is killed; with the share of it that is done then.
KILLS = {
    "reading": ("prepare", "reading", 0.9),
    "writing": ("prepare", "writing train", 0.9),
    "screen": ("screen", "", 0.3),
    "race": ("race", "", 0.3),
    "confirm": ("confirm", "", 0.3),
    "test": ("test", "", 0.1),
}
CANDIDATES = ("lenet", "cnn-small", "efficientnet-lite0@64")
FACTS, STUDY, KILLED = "facts.json", "study", "killed.txt"


@dataclass(frozen=True)
class Row:
    """One step: its seconds, and the peak resident memory of its processes together, in bytes."""

    step: str
    images: int
    """Images of the data set."""
    seconds: float
    peak_bytes: int
    note: str
    cpu: str
    cores: int
    date: str


def main() -> None:
    """Measure everything, or (as a child process) do one step."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    parser.add_argument("--times", type=int, default=17, help="how often the 60,000 images are repeated")
    parser.add_argument("--budget", default="1h", help="of the study")
    parser.add_argument("--only-prepare", action="store_true", help="no study")
    parser.add_argument("--child", nargs=2, metavar=("STEP", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        step, folder = arguments.child
        if step == "prepare":
            _, seconds = prepare_shards(f"cifar100#{arguments.times}", Path(folder), arguments.data_dir)
            write_json(Path(folder) / FACTS, {"seconds": seconds})
        else:
            study(Path(folder), arguments.times, arguments.data_dir, arguments.budget, step.split(","))
        return
    rows: list[Row] = []

    def do(step: str, folder: Path, times: int, codes: Sequence[int] = (0,)) -> str:
        """Do a step. A study is killed in one of several steps, whose name is returned; empty if it has ended."""
        folder.mkdir(exist_ok=True)
        command = [sys.executable, __file__, "--child", step, str(folder)]
        command += ["--times", str(times), "--budget", arguments.budget]
        command += ["--data-dir", str(arguments.data_dir.resolve())] if arguments.data_dir else []
        environment = os.environ | {"BAKEOFF_CACHE_DIR": str(folder / "cache")}
        seconds, peak = measure(command, environment, codes=codes)
        killed = (folder / KILLED).read_text(encoding="utf-8") if (folder / KILLED).exists() else ""
        (folder / KILLED).unlink(missing_ok=True)
        name = killed or (step if step in ("prepare", "verify") else "to the end")
        cpu, cores, today = name_cpu(), count_cores(), date.today().isoformat()
        rows.append(Row(name, 60_000 * times, round(seconds, 1), peak, "killed" * bool(killed), cpu, cores, today))
        write(CSV, rows)
        return killed

    with tempfile.TemporaryDirectory() as scratch:
        for times in sorted({max(1, arguments.times // 4), arguments.times}):
            do("prepare", Path(scratch) / f"prepared-{times}", times)
        manifest = read_manifest(Path(scratch) / f"prepared-{arguments.times}" / SHARDS)
        if not arguments.only_prepare:
            folder = Path(scratch) / "whole"
            left = [*KILLS, "to the end"]
            # A short budget has no race: a stage that is not there kills nothing.
            while killed := do(",".join(left), folder, arguments.times, (0, -signal.SIGKILL)):
                left.remove(killed)
            do("verify", folder, arguments.times)
            check(folder, manifest.fingerprint, openings=1 + ("test" not in left))
    print_table(rows)


def study(folder: Path, times: int, data_dir: Path | None, budget: str, steps: Sequence[str]) -> None:
    """Do a study of the repeated images, or go on with it, and kill this process in the first of some steps."""

    def watch(event: bakeoff.ProgressEvent) -> None:
        for step in KILLS.keys() & steps:
            stage, doing, share = KILLS[step]
            if event.stage == stage and event.doing.startswith(doing) and (event.fraction or 0.0) >= share:
                (folder / KILLED).write_text(step, encoding="utf-8")
                os.kill(os.getpid(), signal.SIGKILL)

    # Only the reader of an archive is repeated: the rest is what the command does.
    writer.open_source = lambda data, data_dir, on_count: Repeated(open_source(data, data_dir, on_count), times)
    if steps == ["verify"]:
        if wrong := [check for check in bakeoff.verify(folder / STUDY, data_dir=data_dir) if not check.matches]:
            raise SystemExit(f"verify: {wrong}")
        return
    bakeoff.run("cifar100", budget=budget, candidates=CANDIDATES, out=folder / STUDY, data_dir=data_dir, progress=watch)


def check(folder: Path, fingerprint: str, openings: int) -> None:
    """End with a message if the study that was killed is not what an undisturbed one is."""
    out = folder / STUDY
    found = json.loads((out / "study.json").read_text(encoding="utf-8"))
    prepared = [read_manifest(path.parent).fingerprint for path in (folder / "cache" / "data").glob("*/manifest.json")]
    best = bakeoff.load(out).best
    test = best and best.test
    if prepared != [fingerprint]:
        raise SystemExit(f"the shards are not those of the undisturbed preparation: {prepared}, not {fingerprint}")
    if test is None or test.openings != openings:
        raise SystemExit(f"the test split was opened {openings} times, and this is not what the record says: {test}")
    Console().print(f"{sum(found['seconds'].values()):.0f} s were charged to the budget; nothing was lost")


def print_table(rows: Sequence[Row]) -> None:
    """Print one line per step, and how preparing grows."""
    table = Table("step", "images", "seconds", "peak memory", "")
    for row in rows:
        table.add_row(row.step, f"{row.images:,}", f"{row.seconds:.0f}", f"{row.peak_bytes / 1e6:,.0f} MB", row.note)
    Console().print(table)
    for small, large in pairwise(row for row in rows if row.step == "prepare"):
        more = large.images - small.images
        Console().print(
            f"preparing: {1e6 * (large.seconds - small.seconds) / more:.0f} µs and"
            f" {(large.peak_bytes - small.peak_bytes) / more / 1000:.3f} kB for each image more"
        )


if __name__ == "__main__":
    main()
