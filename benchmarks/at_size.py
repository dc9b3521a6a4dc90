"""A million small images: preparing, then a whole study that is killed once in every stage and given again.

The data are CIFAR-100, repeated with altered bytes. Every step is a process of its own, and its memory is that of its
whole process tree. First the images are prepared at a quarter of the size and at the whole size, which shows how time
and memory grow. Then `bakeoff.run` is given again and again, in one folder and from an empty cache: it is killed while
it reads, while it writes, and in the screen, the race, the last training and the test; the last time it ends. A race
and a last training are killed when they have written a checkpoint. Each of these steps lasts from the kill before it to
its own, so the first ones prepare the data anew. What has to hold is checked: every kill happened, a training went on
from its last checkpoint, the shards are those of the undisturbed preparation, all openings of the test split were
counted, and `verify` finds nothing wrong.

Everything is kept in --out, which needs 15 GB; the same command continues after its last whole step, and a step of the
study that was interrupted says that only its rest was measured. Writes at_size.csv next to this file when all is done
and holds, and prints it; with --try it prints only.

    python benchmarks/at_size.py --out FOLDER [--data-dir FOLDER] [--times 17] [--budget 1h] [--try]
"""

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import bakeoff
from bakeoff.data.shards import read_manifest, writer
from bakeoff.data.sources import open_source
from bakeoff.files import read_json, write_json
from growth import SHARDS, Repeated, prepare_shards
from hardware import count_cores, name_cpu
from processes import measure
from results import read, reserve, write

CSV = Path(__file__).with_suffix(".csv")
# The stage, and how the name of the step begins, in which a study is killed; with the share of it that is done then.
KILLS = {
    "reading": ("prepare", "reading", 0.9),
    "writing": ("prepare", "writing train", 0.9),
    "screen": ("screen", "", 0.3),
    "race": ("race", "train", 0.3),
    "confirm": ("confirm", "train", 0.3),
    "test": ("test", "", 0.1),
}
CANDIDATES = ("lenet", "efficientnet-lite0@64", "efficientnet-lite1@64")
# Stages whose training goes on from a checkpoint: it is killed when it has written one.
CONTINUED = ("race", "confirm")
# How the process of a study may end: by itself, or killed.
ENDS = (0, -signal.SIGKILL)
# In a step's folder: the study, what preparing took, the last kill, and where its training went on.
STUDY, FACTS, KILLED, WENT_ON = "study", "facts.json", "killed.json", "went-on.json"
# There while a step is done: if this command is interrupted then, the next one measures only the rest of the step.
UNDER_WAY = "under-way.json"


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

    @classmethod
    def of(cls, text: Mapping[str, str]) -> "Row":
        """A row of a file."""
        return cls(
            **{field.name: {int: int, float: float}.get(field.type, str)(text[field.name]) for field in fields(cls)}
        )


def main() -> None:
    """Measure everything, or (as a child process) do one step."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help="folder for the shards and the study")
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    parser.add_argument("--times", type=int, default=17, help="how often the 60,000 images are repeated")
    parser.add_argument("--budget", default="1h", help="of the study")
    parser.add_argument("--try", action="store_true", dest="tried", help="leave at_size.csv as it is")
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
    if arguments.out is None:
        parser.error("--out is missing: the folder for the shards and the study")
    out = arguments.out.resolve()
    reserve(parser, out, {"times": arguments.times, "budget": arguments.budget})
    steps = out / "steps.csv"
    rows = [Row.of(row) for row in read(steps)]

    def do(step: str, folder: Path, times: int, codes: Sequence[int] = (0,)) -> str:
        """Do a step. A study is killed in one of several steps, whose name is returned; empty if it has ended."""
        folder.mkdir(exist_ok=True)
        for file in (KILLED, WENT_ON) if step not in ("prepare", "verify") else ():
            if (folder / file).exists():
                (folder / file).replace(folder / f"last-{file}")
        note = "its rest, after an interruption; " if (folder / UNDER_WAY).exists() and step != "prepare" else ""
        write_json(folder / UNDER_WAY, {"step": step})
        command = [sys.executable, __file__, "--child", step, str(folder)]
        command += ["--times", str(times), "--budget", arguments.budget]
        command += ["--data-dir", str(arguments.data_dir.resolve())] if arguments.data_dir else []
        environment = os.environ | {"BAKEOFF_CACHE_DIR": str(folder / "cache")}
        seconds, peak, code = measure(command, environment, codes=codes)
        killed = read_json(folder / KILLED)["step"] if (folder / KILLED).exists() else ""
        if bool(code) != bool(killed):
            raise SystemExit(f"{step}: code {code}, and {killed or 'nothing'} was to be killed: lack of memory?")
        name = f"until killed: {killed}" if killed else step if step in ("prepare", "verify") else "to the end"
        cpu, cores, today = name_cpu(), count_cores(), date.today().isoformat()
        note = (note + describe(folder)).removesuffix("; ")
        rows.append(Row(name, 60_000 * times, round(seconds, 1), peak, note, cpu, cores, today))
        write(steps, rows)
        (folder / UNDER_WAY).unlink()
        return killed

    done = [(row.step, row.images) for row in rows]
    for times in sorted({max(1, arguments.times // 4), arguments.times}):
        if ("prepare", 60_000 * times) not in done:
            do("prepare", out / f"prepared-{times}", times)
    folder, names = out / "whole", [name for name, _ in done]
    left = [kill for kill in KILLS if f"until killed: {kill}" not in names]
    while "to the end" not in names and (killed := do(",".join([*left, "to the end"]), folder, arguments.times, ENDS)):
        left.remove(killed)
    if left:
        raise SystemExit(f"never killed, because it did not come to it: {', '.join(left)}; see {steps}")
    if "verify" not in names:
        do("verify", folder, arguments.times)
    check(folder, read_manifest(out / f"prepared-{arguments.times}" / SHARDS).fingerprint, openings=2)
    if not arguments.tried:
        write(CSV, rows)
    print_table(rows)


def read_last_kill(folder: Path) -> dict[str, Any]:
    """Where the step before was killed; empty if it was not."""
    file = folder / f"last-{KILLED}"
    return read_json(file) if file.exists() else {}


def describe(folder: Path) -> str:
    """Where the training that was killed last went on. Ends this process if it did too much again."""
    last = read_last_kill(folder)
    if last.get("stage") not in CONTINUED:
        return ""
    if not (folder / WENT_ON).exists():
        raise SystemExit(f"{folder}: the training of {last['candidate']} that was killed did not go on")
    before, kept, after = last["fraction"], last["kept"], read_json(folder / WENT_ON)["fraction"]
    if after < kept:
        raise SystemExit(f"{folder}: a training that had kept {kept:.0%} when it was killed went on at {after:.0%}")
    return f"killed at {before:.0%} of the training, went on at {after:.0%}"


class Kept:
    """How far the training that is under way has surely come in its last checkpoint: as its last event before said."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._training: tuple[str, ...] = ()
        self._newest = 0
        self._before = self._kept = 0.0

    def read(self, event: bakeoff.ProgressEvent) -> float:
        """The share of it that is kept, for each event; 0 as long as it has written no checkpoint."""
        training, newest = (event.stage, event.doing, event.candidate), self._find_newest()
        if training != self._training:
            self._training, self._kept = training, 0.0
        elif newest > self._newest:
            self._kept = self._before
        self._newest, self._before = newest, event.fraction or 0.0
        return self._kept

    def _find_newest(self) -> int:
        """When the last checkpoint was written; there is one of each run that has not ended."""
        times = [0]
        for path in self._runs.glob("*/checkpoint.npz"):
            with contextlib.suppress(FileNotFoundError):  # the run has just ended
                times.append(path.stat().st_mtime_ns)
        return max(times)


def study(folder: Path, times: int, data_dir: Path | None, budget: str, steps: Sequence[str]) -> None:
    """Do a study of the repeated images, or go on with it, and kill this process in the first of some steps."""
    last, checkpoints = read_last_kill(folder), Kept(folder / STUDY / "runs")

    def watch(event: bakeoff.ProgressEvent) -> None:
        kept = checkpoints.read(event)
        same = all(last.get(name) == getattr(event, name) for name in ("stage", "doing", "candidate"))
        if same and event.fraction and event.stage in CONTINUED and not (folder / WENT_ON).exists():
            write_json(folder / WENT_ON, {"fraction": event.fraction})
        for step in KILLS.keys() & steps:
            stage, doing, share = KILLS[step]
            if event.stage != stage or not event.doing.startswith(doing) or (event.fraction or 0.0) < share:
                continue
            if kept or stage not in CONTINUED:
                names = ("stage", "doing", "candidate", "fraction")
                facts = {name: getattr(event, name) for name in names}
                write_json(folder / KILLED, {"step": step, "kept": kept} | facts)
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
