"""Verbs that train: run, screen, train."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import (
    BudgetOption,
    CandidatesOption,
    ClassesOption,
    DataArgument,
    DataDirOption,
    JsonOption,
    OutOption,
    SeedOption,
    WeightsOption,
)
from bakeoff.cli.output import interruptible, make_console, prepare_data, print_board, print_notes

if TYPE_CHECKING:
    from bakeoff.config import Candidate
    from bakeoff.study import Ledger

__all__ = ["run", "screen", "train"]


def run(
    data: DataArgument = "digits",
    *,
    budget: BudgetOption = "10m",
    classes: ClassesOption = "all",
    seed: SeedOption = 0,
    candidates: CandidatesOption = None,
    weights: WeightsOption = "auto",
    out: OutOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do the whole job inside a budget: prepare, screen, race, confirm, report, bundle.

    **Examples**

    - `bakeoff run` — handwritten digits, which need no download

    - `bakeoff run cifar100 --classes 20 --budget 10m`

    - `bakeoff run photos/ --budget 1h --candidates efficientnet-lite0,efficientnet-lite2@128`
    """
    from bakeoff.console import render_end, reporting
    from bakeoff.study import run_study

    with interruptible():
        ledger, folder, shards = begin_study(data, budget, classes, seed, candidates, weights, out, data_dir)
        with reporting(make_console()) as watcher:
            winner = run_study(ledger, folder, shards, watcher)
    print_board(folder, as_json)
    make_console().print(render_end(folder, winner, ledger), highlight=False, soft_wrap=True)


def screen(
    data: DataArgument = "digits",
    *,
    budget: BudgetOption = "10m",
    classes: ClassesOption = "all",
    seed: SeedOption = 0,
    candidates: CandidatesOption = None,
    weights: WeightsOption = "auto",
    out: OutOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank candidates from frozen features; `bakeoff run` with the same options goes on from there.

    **Example**: `bakeoff screen cifar100 --classes 20`
    """
    from bakeoff.console import reporting
    from bakeoff.study import run_screen

    with interruptible():
        ledger, folder, shards = begin_study(data, budget, classes, seed, candidates, weights, out, data_dir)
        with reporting(make_console()) as watcher:
            run_screen(ledger, folder, shards, watcher)
    print_board(folder, as_json)


def train(
    data: DataArgument = "digits",
    *,
    recipe: Annotated[Path | None, typer.Option(help="TOML or JSON file; see recipes/.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, as in model.size=128.")] = None,
    classes: ClassesOption = "all",
    out: OutOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train one network by a recipe and print its record's row.

    **Examples**

    - `bakeoff train digits --set model.name=lenet --set model.size=32 --set train.epochs=3`

    - `bakeoff train cifar100 --recipe recipes/cifar100.toml --set train.seconds=600`
    """
    from bakeoff.config import Run, override, read_run
    from bakeoff.console import reporting
    from bakeoff.errors import NothingTrainedError
    from bakeoff.launch import launch
    from bakeoff.runs import Stage, State

    with interruptible():
        config = override(read_run(recipe) if recipe else Run(), settings or [])
        chosen = {"source": data} | ({"classes": classes} if classes != "all" else {})
        config = config.revised(data=chosen)
        shards, dataset = prepare_data(data, config.data.classes, config.data.seed, data_dir)
        folder = out or Path(f"bakeoff-{dataset.name}")
        with reporting(make_console()) as watcher:
            watcher.run_began(config)
            record = launch(config, stage=Stage.TRAIN, out=folder, data=shards, on_event=watcher.run_moved)
            watcher.run_ended(record)
    print_board(folder, as_json)
    if record.state is State.FAILED:
        raise NothingTrainedError(f"{record.candidate} failed: {record.reason}")


def begin_study(
    data: str,
    budget: str,
    classes: str,
    seed: int,
    candidates: str | None,
    weights: str,
    out: Path | None,
    data_dir: Path | None,
) -> "tuple[Ledger, Path, Path]":
    """Check the arguments, prepare the data, show the plan: (ledger, the study's folder, the shards' folder)."""
    started = time.monotonic()
    from bakeoff.config import Data, parse_duration
    from bakeoff.console import render_plan
    from bakeoff.study import choose_candidates, make_plan, open_ledger

    seconds = parse_duration(budget)
    wanted = _parse_candidates(candidates)
    shards, dataset = prepare_data(data, classes, seed, data_dir)
    plan = make_plan(
        seconds,
        data=Data(source=data, classes=classes, seed=seed),
        counts=dataset.counts,
        candidates=choose_candidates(wanted, dataset.side, weights),
        weights=weights,
        seed=seed,
    )
    folder = out or Path(f"bakeoff-{dataset.name}")
    facts = {
        "name": dataset.name,
        "counts": dataset.counts,
        "classes": len(dataset.class_names),
        "fingerprint": dataset.fingerprint,
        "notes": list(dataset.manifest.notes),
        "quarantined": [bad.model_dump() for bad in dataset.manifest.quarantined],
    }
    ledger = open_ledger(folder, plan, data=facts, command=" ".join(["bakeoff", *sys.argv[1:]]))
    ledger.spend("prepare", time.monotonic() - started)
    ledger.write(folder)
    counts = ", ".join(f"{count:,} {split}" for split, count in dataset.counts.items())
    console = make_console()
    console.print(f"{dataset.name}: {len(dataset.class_names)} classes, {counts} images", highlight=False)
    print_notes(dataset.manifest)
    console.print(render_plan(plan), highlight=False)
    return ledger, folder, shards


def _parse_candidates(text: str | None) -> "list[Candidate] | None":
    from bakeoff.config import parse_candidate

    return [parse_candidate(part) for part in text.split(",") if part.strip()] if text else None
