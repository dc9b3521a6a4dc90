"""Verbs that train: run, screen, compare, train."""

from pathlib import Path
from typing import Annotated

import typer

import bakeoff
from bakeoff.cli.options import (
    IMAGE_FOLDER_HELP,
    BudgetOption,
    CandidatesOption,
    ClassesOption,
    ClusterOption,
    DataArgument,
    DataDirOption,
    DeterministicOption,
    DownloadLimitOption,
    DryRunOption,
    ExcludeOption,
    FitOption,
    GroupOption,
    ImageFolderOption,
    JsonOption,
    LabelOption,
    LayoutOption,
    MapsOption,
    MetricOption,
    OfflineOption,
    OutOption,
    PartialOption,
    RecipeClassesOption,
    RecipeOption,
    RecipeSeedOption,
    RelabelOption,
    SeedOption,
    SettingsOption,
    WeighOption,
    WeightsOption,
    WorkersOption,
)
from bakeoff.cli.output import (
    exit_on_interrupt,
    parse_weigh,
    print_board,
    print_info,
    print_plan,
    shell_command,
    shown_path,
)
from bakeoff.errors import NothingTrainedError

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
    metric: MetricOption = None,
    tune: Annotated[
        bool | None,
        typer.Option("--tune/--no-tune", help="Search the leader's recipe, or not.", show_default="by the budget"),
    ] = None,
    refit: Annotated[
        bool | None,
        typer.Option(
            "--refit/--no-refit",
            help="Train the winner once more, on training and validation images.",
            show_default="for small data",
        ),
    ] = None,
    maps: MapsOption = True,
    dry_run: DryRunOption = False,
    layout: LayoutOption = None,
    image_folder: ImageFolderOption = None,
    label: LabelOption = None,
    group: GroupOption = None,
    fit: FitOption = None,
    exclude: ExcludeOption = None,
    relabel: RelabelOption = None,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
    offline: OfflineOption = False,
    download_limit: DownloadLimitOption = "500MB",
    out: OutOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do the whole job inside a budget: prepare, screen, race, tune, confirm, report, bundle.

    **Examples**

    - `bakeoff run` — handwritten digits, which need no download

    - `bakeoff run cifar100 --classes 20 --budget 10m`

    - `bakeoff run photos/ --budget 1h --dry-run` — who would take part and why, and what would be downloaded

    - `bakeoff run photos/ --budget 1h --candidates fast,vgg-16@128`

    - `bakeoff run train.csv --images photos/` — labels in a table, beside a folder or archive of images

    - `bakeoff run photos/ --budget 1h --download-limit 2GB` — `--offline` for no downloads at all

    - `bakeoff run photos/ --budget 1h --workers 8` — on a machine with many cores; `--cluster auto` for many machines
    """
    from bakeoff.console.results import render_end
    from bakeoff.runs.study_file import read_study

    with exit_on_interrupt():
        results = bakeoff.run(
            data,
            budget=budget,
            classes=classes,
            seed=seed,
            candidates=candidates,
            weights=weights,
            partial=partial,
            metric=metric,
            tune=tune,
            refit=refit,
            maps=maps,
            dry_run=dry_run,
            layout=layout,
            image_folder=image_folder,
            label=label,
            group=group,
            fit=fit,
            exclude=exclude,
            relabel=relabel,
            workers=workers,
            cluster=cluster,
            offline=offline,
            download_limit=download_limit,
            out=out,
            data_dir=data_dir,
            command=shell_command(),
        )
    if dry_run:
        print_plan(results.plan, as_json)
        return
    print_board(results.out, as_json)
    winner = results.best
    assert winner is not None
    print_info(render_end(shown_path(results.out), winner, read_study(results.out)))


def screen(
    data: DataArgument = "digits",
    *,
    budget: BudgetOption = "10m",
    classes: ClassesOption = "all",
    seed: SeedOption = 0,
    candidates: CandidatesOption = None,
    weights: WeightsOption = None,
    partial: PartialOption = False,
    metric: MetricOption = None,
    dry_run: DryRunOption = False,
    layout: LayoutOption = None,
    image_folder: ImageFolderOption = None,
    label: LabelOption = None,
    group: GroupOption = None,
    fit: FitOption = None,
    exclude: ExcludeOption = None,
    relabel: RelabelOption = None,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
    offline: OfflineOption = False,
    download_limit: DownloadLimitOption = "500MB",
    out: OutOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank candidates from frozen features; `bakeoff run` with the same options continues from there.

    **Example**: `bakeoff screen cifar100 --classes 20`
    """
    with exit_on_interrupt():
        results = bakeoff.screen(
            data,
            budget=budget,
            classes=classes,
            seed=seed,
            candidates=candidates,
            weights=weights,
            partial=partial,
            metric=metric,
            dry_run=dry_run,
            layout=layout,
            image_folder=image_folder,
            label=label,
            group=group,
            fit=fit,
            exclude=exclude,
            relabel=relabel,
            workers=workers,
            cluster=cluster,
            offline=offline,
            download_limit=download_limit,
            out=out,
            data_dir=data_dir,
            command=shell_command(),
        )
    if dry_run:
        print_plan(results.plan, as_json)
        return
    print_board(results.out, as_json)


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
    classes: RecipeClassesOption = None,
    seed: RecipeSeedOption = None,
    weights: WeightsOption = None,
    partial: PartialOption = False,
    metric: MetricOption = None,
    dry_run: DryRunOption = False,
    layout: LayoutOption = None,
    image_folder: Annotated[Path | None, typer.Option(help=IMAGE_FOLDER_HELP)] = None,
    label: LabelOption = None,
    group: GroupOption = None,
    fit: FitOption = None,
    exclude: ExcludeOption = None,
    relabel: RelabelOption = None,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
    offline: OfflineOption = False,
    download_limit: DownloadLimitOption = "500MB",
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

    - `bakeoff compare cifar100 --recipe recipes/original-table.toml --download-limit 2GB`
    """
    weights_of_criteria = parse_weigh(weigh)
    with exit_on_interrupt():
        results = bakeoff.compare(
            data,
            candidates=candidates,
            budget=budget,
            images=images,
            recipe=recipe,
            settings=settings,
            deterministic=deterministic,
            classes=classes,
            seed=seed,
            weights=weights,
            partial=partial,
            metric=metric,
            dry_run=dry_run,
            layout=layout,
            image_folder=image_folder,
            label=label,
            group=group,
            fit=fit,
            exclude=exclude,
            relabel=relabel,
            workers=workers,
            cluster=cluster,
            offline=offline,
            download_limit=download_limit,
            out=out,
            data_dir=data_dir,
            command=shell_command(),
        )
    if dry_run:
        print_plan(results.plan, as_json)
        return
    print_board(results.out, as_json, weights_of_criteria)


def train(
    data: DataArgument = "digits",
    *,
    recipe: RecipeOption = None,
    settings: SettingsOption = None,
    weights: Annotated[
        str | None, typer.Option(help="auto, none, or PATH of a Keras file with the network in it.")
    ] = None,
    metric: MetricOption = None,
    deterministic: DeterministicOption = False,
    classes: ClassesOption = "all",
    layout: LayoutOption = None,
    image_folder: ImageFolderOption = None,
    label: LabelOption = None,
    group: GroupOption = None,
    fit: FitOption = None,
    exclude: ExcludeOption = None,
    relabel: RelabelOption = None,
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
    try:
        with exit_on_interrupt():
            results = bakeoff.train(
                data,
                recipe=recipe,
                settings=settings,
                weights=weights,
                metric=metric,
                deterministic=deterministic,
                classes=classes,
                layout=layout,
                image_folder=image_folder,
                label=label,
                group=group,
                fit=fit,
                exclude=exclude,
                relabel=relabel,
                out=out,
                data_dir=data_dir,
            )
    except NothingTrainedError as error:
        if error.out:
            print_board(error.out, as_json)
        raise
    print_board(results.out, as_json)
