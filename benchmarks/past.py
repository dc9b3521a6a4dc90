"""Does a search reach a good recipe sooner because of what earlier searches found?

`bakeoff tune` searches one network on several data sets, one after the other; what wins is kept in a store that is
empty in the beginning. On the last data set it searches by several seeds, each once with the store, as the searches
before have left it, and once without. The target is the best validation score of a search without the store. How many
trials do the searches of other seeds take to reach it? Those without the store tell how many it takes by luck. A search
of the same seed is not asked: it has the same first weights and much the same trials. What a search has not reached
counts as one trial more than the longest search had.

Searches decide by the clock, so nothing else may run. A search that is finished is not repeated: the same command
continues, and makes one on the last data set that was interrupted anew. If the store changes nothing on the last data
set, there is nothing to compare, and this ends. Writes past.csv next to this file, and prints it.

    python benchmarks/past.py --out FOLDER [--photos ARCHIVE …] [--data-sets "digits,cifar 20 x 50"] [--budget 6m]
        [--candidate efficientnet-lite0@64] [--seeds 0,1,2] [--data-dir FOLDER]
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import fmean

import optuna
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Table

from bakeoff.runs.study_file import read_study
from bakeoff.runs.versions import find_versions
from draws import Draw, choose_sources, write_images
from hardware import count_cores, name_cpu
from judgement import DRAWS
from results import keep, read, reserve

CSV = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True)
class Row:
    """A search on the last data set."""

    data: str
    network: str
    seed: int
    budget: str
    store: bool
    """Whether it began with what earlier searches had found."""
    past: str
    """The data sets of the earlier searches, the first one first, with what won in each."""
    first: str
    """The changes that it tried first, because they had won earlier."""
    scores: str
    """What its trials reached on validation in the metric that decides, in their order; `-`: the trial was stopped on
    the way, or failed."""
    cpu: str
    cores: int
    bakeoff: str
    date: str


def main() -> None:
    """Search, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the drawn images and the searches")
    parser.add_argument("--photos", type=Path, action="append", default=[], help="an archive of photographs")
    parser.add_argument("--data-sets", help="their names, separated by commas, the last one last; the first eight")
    parser.add_argument("--candidate", default="efficientnet-lite0@64")
    parser.add_argument("--budget", default="6m", help="of each search")
    parser.add_argument("--seeds", default="0,1,2", help="of the searches on the last data set, separated by commas")
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    arguments = parser.parse_args()

    sources = {path.stem: path for path in arguments.photos} | {draw.name: draw for draw in DRAWS}
    sources = choose_sources(parser, arguments.data_sets or ",".join([*sources][:8]), sources)
    if len(sources) < 2:
        parser.error("name at least two data sets: one to learn from, and the last one")
    out = arguments.out.resolve()
    asked = {"data sets": [*sources], "candidate": arguments.candidate, "budget": arguments.budget}
    reserve(parser, out, asked)

    def search(name: str, label: str, cache: Path, seed: int, *options: str) -> Path:
        source = sources[name]
        if isinstance(source, Draw):
            source = write_images(source, out / "images" / name, arguments.data_dir)
        study = out / "searches" / label
        command = [sys.executable, "-m", "bakeoff", "tune", str(source.resolve()), "--candidate", arguments.candidate]
        command += ["--budget", arguments.budget, "--seed", str(seed), "--out", str(study), *options]
        subprocess.run(command, env=os.environ | {"BAKEOFF_CACHE_DIR": str(cache)}, check=True)
        return study

    *earlier, last = sources
    store = out / "store"
    won = [f"{name}: {read_changes(search(name, name, store, 0)) or 'the usual recipe'}" for name in earlier]
    for seed in map(int, arguments.seeds.split(",")):
        for with_store in (True, False):
            label = f"{last}, seed {seed}, {'with' if with_store else 'without'} the store"
            cache = out / "caches" / label
            if not is_finished(out / "searches" / label):
                for folder in (out / "searches" / label, cache):
                    shutil.rmtree(folder, ignore_errors=True)
                if with_store:  # what it finds is not known to the next one
                    shutil.copytree(store / "searches", cache / "searches")
            study = search(last, label, cache, seed, *([] if with_store else ["--no-memory"]))
            first = [_describe(each["changes"]) for each in read_study(study).plan["first"]]
            if with_store and not first:
                parser.error(
                    f"on {last} nothing is tried first because of {', '.join(earlier)}; choose other data sets"
                )
            row = Row(
                data=last,
                network=arguments.candidate,
                seed=seed,
                budget=arguments.budget,
                store=with_store,
                past="; ".join(won),
                first="; ".join(first),
                scores=" ".join("-" if score is None else f"{score:.4f}" for score in read_scores(study)),
                cpu=name_cpu(),
                cores=count_cores(),
                bakeoff=find_versions()["bakeoff"],
                date=date.today().isoformat(),
            )
            keep(CSV, [row], same=("data", "network", "budget", "seed", "store", "cpu"))
    print_table(read(CSV))


def is_finished(study: Path) -> bool:
    """Whether a search is there that has ended."""
    return (study / "study.json").is_file() and read_study(study).found is not None


def read_changes(study: Path) -> str:
    """What a search chose; empty for the usual recipe."""
    found = read_study(study).found
    return _describe(found.chosen) if found else ""


def _describe(changes: Mapping[str, object]) -> str:
    return " ".join(f"{key}={value}" for key, value in changes.items())


def read_scores(study: Path) -> Iterator[float | None]:
    """The scores of a search's trials, in their order."""
    storage = f"sqlite:///{(study / 'tune.db').resolve()}"
    for trial in optuna.load_study(study_name="tune", storage=storage).trials:
        if trial.state is not TrialState.WAITING:
            yield trial.value if trial.state is TrialState.COMPLETE else None


def count_until(scores: Sequence[float | None], target: float, otherwise: int) -> int:
    """The trials until a score is reached; a number of them if it is not."""
    places = (place for place, score in enumerate(scores, 1) if score is not None and score >= target)
    return next(places, otherwise)


def print_table(rows: Sequence[dict[str, str]]) -> None:
    """Print how many trials it takes to reach the best of each search without the store: of the other seeds' searches,
    the mean and the least and most, and how many reached it."""
    table = Table(
        "data", "cpu", "seed", "best without", "its trial", "other seeds without", "other seeds with the store"
    )
    same = ("data", "network", "budget", "cpu")
    for key in dict.fromkeys(tuple(row[name] for name in same) for row in rows):
        scores = {
            (row["seed"], row["store"]): [None if word == "-" else float(word) for word in row["scores"].split()]
            for row in rows
            if tuple(row[name] for name in same) == key
        }
        otherwise = max(map(len, scores.values())) + 1
        for seed in dict.fromkeys(seed for seed, store in scores if store == "False"):
            mine = scores[seed, "False"]
            target = max(score for score in mine if score is not None)
            others = [
                [
                    count_until(each, target, otherwise)
                    for (other, of), each in scores.items()
                    if other != seed and of == store
                ]
                for store in ("False", "True")
            ]
            its = f"{count_until(mine, target, otherwise)} of {len(mine)}"
            table.add_row(key[0], key[-1], seed, f"{target:.1%}", its, *(_sum_up(each, otherwise) for each in others))
    Console(width=150).print(table)


def _sum_up(trials: Sequence[int], otherwise: int) -> str:
    if not trials:
        return ""
    reached = sum(each < otherwise for each in trials)
    return f"{fmean(trials):.1f} ({min(trials)} to {max(trials)}; {reached} of {len(trials)} reached it)"


if __name__ == "__main__":
    main()
