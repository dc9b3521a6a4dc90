"""Verbs that train: run, screen, compare, train."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.begin import begin, begin_study, choose_data, executing, fetch, open_study, parse_candidates
from bakeoff.cli.options import (
    BudgetOption,
    CandidatesOption,
    ClassesOption,
    ClusterOption,
    DataArgument,
    DataDirOption,
    DeterministicOption,
    ExcludeOption,
    JsonOption,
    OutOption,
    OwnClassesOption,
    OwnSeedOption,
    PartialOption,
    RecipeOption,
    SeedOption,
    SettingsOption,
    WeighOption,
    WeightsOption,
    WorkersOption,
    with_deterministic,
)
from bakeoff.cli.output import interruptible, make_console, parse_weigh, prepare_data, print_board

__all__ = ["compare", "run", "screen", "train"]


def run(
    data: DataArgument = "digits",
    *,
    budget: BudgetOption = "10m",
    classes: ClassesOption = "all",
    seed: SeedOption = 0,
    candidates: CandidatesOption = None,
    weights: WeightsOption = None,
    partial: PartialOption = False,
    tune: Annotated[
        bool | None,
        typer.Option("--tune/--no-tune", help="Search the leader's recipe, or not.", show_default="by the budget"),
    ] = None,
    exclude: ExcludeOption = None,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
    out: OutOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do the whole job inside a budget: prepare, screen, race, tune, confirm, report, bundle.

    **Examples**

    - `bakeoff run` — handwritten digits, which need no download

    - `bakeoff run cifar100 --classes 20 --budget 10m`

    - `bakeoff run photos/ --budget 1h --candidates efficientnet-lite0,efficientnet-lite2@128`

    - `bakeoff run photos/ --budget 1h --workers 8` — on a machine with many cores; `--cluster auto` for many machines
    """
    from bakeoff.cli.console import render_end, reporting
    from bakeoff.study import run_study

    with interruptible(), executing(workers, cluster) as executor:
        chosen = choose_data(data, classes, seed, exclude)
        begun = begin_study(chosen, budget, candidates, weights, partial, out, data_dir, tune, slots=executor.slots)
        study, folder, shards = begun
        with reporting(make_console()) as watcher:
            winner = run_study(study, folder, shards, watcher, executor)
    print_board(folder, as_json)
    make_console().print(render_end(folder, winner, study), highlight=False, soft_wrap=True)


def screen(
    data: DataArgument = "digits",
    *,
    budget: BudgetOption = "10m",
    classes: ClassesOption = "all",
    seed: SeedOption = 0,
    candidates: CandidatesOption = None,
    weights: WeightsOption = None,
    partial: PartialOption = False,
    exclude: ExcludeOption = None,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
    out: OutOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank candidates from frozen features; `bakeoff run` with the same options goes on from there.

    **Example**: `bakeoff screen cifar100 --classes 20`
    """
    from bakeoff.cli.console import reporting
    from bakeoff.study import run_screen

    with interruptible(), executing(workers, cluster) as executor:
        chosen = choose_data(data, classes, seed, exclude)
        begun = begin_study(chosen, budget, candidates, weights, partial, out, data_dir, slots=executor.slots)
        study, folder, shards = begun
        with reporting(make_console()) as watcher:
            run_screen(study, folder, shards, watcher, executor)
    print_board(folder, as_json)


def compare(
    data: DataArgument = "digits",
    *,
    candidates: CandidatesOption = None,
    budget: Annotated[
        str | None, typer.Option(help="Wall clock for everything, split evenly; 10m unless there is another length.")
    ] = None,
    images: Annotated[int | None, typer.Option(help="Training images for each candidate instead.", min=1)] = None,
    weigh: WeighOption = None,
    recipe: RecipeOption = None,
    settings: SettingsOption = None,
    deterministic: DeterministicOption = False,
    classes: OwnClassesOption = None,
    seed: OwnSeedOption = None,
    weights: WeightsOption = None,
    partial: PartialOption = False,
    exclude: ExcludeOption = None,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
    out: OutOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train candidates at one equal budget and compare accuracy, memory, parameters and time.

    Each gets the same seconds of training (or the same images), in a process of its own. A recipe sets everything but
    the network, and may list the candidates; without one each gets its family's usual settings. Validation decides; the
    test split stays locked (`bakeoff evaluate OUT/runs/ID` opens it).

    **Examples**

    - `bakeoff compare cifar100 --candidates efficientnet-lite0,lenet --budget 5m`

    - `bakeoff compare photos/ --images 20000 --weigh accuracy=3,memory=1`

    - `bakeoff compare cifar100 --candidates lenet,mobilenet-v2 --weights mobilenet-v2=mine.h5`

    - `bakeoff compare cifar100 --recipe recipes/original-table.toml --classes 20`
    """
    from bakeoff.cli.console import render_comparison, reporting
    from bakeoff.errors import ConfigError
    from bakeoff.runs.config import parse_duration, read_comparison
    from bakeoff.study import make_comparison, planned_slots, run_comparison

    if budget is not None and images is not None:
        raise ConfigError("give --budget or --images, not both")
    weighed = parse_weigh(weigh)
    base, listed = read_comparison(recipe) if recipe else (None, [])
    if budget is None and images is None and base is None:
        budget = "10m"
    seconds = parse_duration(budget) if budget is not None else None
    with interruptible(), executing(workers, cluster) as executor:
        wanted = parse_candidates(candidates) or listed or None
        chosen = choose_data(data, classes, seed, exclude, base)
        begun = begin(chosen, seed, wanted, weights, partial, data_dir, recipe=base)
        folder = out or Path(f"bakeoff-compare-{begun.dataset.name}")
        slots = planned_slots(folder, executor.slots)
        plan = make_comparison(
            begun.candidates,
            data=begun.data,
            counts=begun.dataset.counts,
            weights=begun.weights,
            seed=begun.seed,
            budget=seconds,
            images=images,
            recipe=base,
            settings=with_deterministic(settings, deterministic),
            slots=slots,
        )
        study = open_study(begun, plan, folder, render_comparison(plan), slots=slots)
        with reporting(make_console()) as watcher:
            run_comparison(study, folder, begun.shards, watcher, executor)
    print_board(folder, as_json, weighed)


def train(
    data: DataArgument = "digits",
    *,
    recipe: RecipeOption = None,
    settings: SettingsOption = None,
    weights: Annotated[
        str | None, typer.Option(help="auto, none, or PATH of a Keras file with the network in it.")
    ] = None,
    deterministic: DeterministicOption = False,
    classes: ClassesOption = "all",
    exclude: ExcludeOption = None,
    out: OutOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train one network by a recipe and print its record's row.

    **Examples**

    - `bakeoff train digits --set model.name=lenet --set model.size=32 --set train.epochs=3`

    - `bakeoff train cifar100 --recipe recipes/cifar100.toml --set train.seconds=600`

    - `bakeoff train photos/ --set model.name=mobilenet-v2 --weights mine.h5 --set model.unfreeze=block_16`
    """
    from bakeoff.cli.console import reporting
    from bakeoff.errors import NothingTrainedError
    from bakeoff.launch import launch
    from bakeoff.locks import hold
    from bakeoff.runs.config import Candidate, Run, WeightsChoice, override, read_run
    from bakeoff.runs.record import Stage, State
    from bakeoff.study import find_missing

    with interruptible():
        config = override(read_run(recipe) if recipe else Run(), with_deterministic(settings, deterministic))
        chosen = {"source": data} | ({"classes": classes} if classes != "all" else {})
        chosen |= {"exclude": str(exclude)} if exclude else {}
        config = config.revised(data=chosen, model={"weights": weights or config.model.weights})
        shards, dataset = prepare_data(config.data, data_dir)
        if not config.model.start:
            choice = WeightsChoice(default=config.model.weights)
            fetch(find_missing([Candidate(name=config.model.name, size=config.model.size)], choice))
        folder = out or Path(f"bakeoff-{dataset.name}")
        hold(folder)
        with reporting(make_console()) as watcher:
            watcher.run_began(config)
            record = launch(
                config, stage=Stage.TRAIN, out=folder, data=shards, on_progress=partial(watcher.run_moved, config)
            )
            watcher.run_ended(record, {})
    print_board(folder, as_json)
    if record.state is State.FAILED:
        raise NothingTrainedError(f"{record.candidate} failed: {record.reason}")
