"""Verbs that train what is named: compare, train."""

from pathlib import Path
from typing import Annotated

import typer

import bakeoff
from bakeoff.cli.options import (
    IMAGE_FOLDER_HELP,
    IMAGES,
    WEIGHTS,
    CandidatesOption,
    ClusterOption,
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
    MetricOption,
    OfflineOption,
    OutOption,
    PartialOption,
    RecipeClassesOption,
    RecipeDataArgument,
    RecipeOption,
    RecipeSeedOption,
    RelabelOption,
    SettingsOption,
    WeighOption,
    WeightsOption,
    WorkersOption,
)
from bakeoff.cli.output import (
    exit_on_interrupt,
    parse_weigh,
    print_board,
    print_place,
    print_plan,
    print_uses,
    shell_command,
    shown_path,
)
from bakeoff.errors import NothingTrainedError
from bakeoff.runs.folder import run_dir

__all__ = ["compare", "train"]


def compare(
    data: RecipeDataArgument = None,
    *,
    candidates: CandidatesOption = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Wall clock for everything, split evenly.",
            show_default="10m unless --images or a recipe gives another length",
        ),
    ] = None,
    images: Annotated[
        int | None, typer.Option(metavar="N", help="Training images for each candidate, instead of a budget.", min=1)
    ] = None,
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
    image_folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help=IMAGE_FOLDER_HELP, show_default="beside the table", rich_help_panel=IMAGES),
    ] = None,
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
    the network, and may list the candidates; without one each gets its family's usual settings.

    Validation decides; the test split stays locked (`bakeoff evaluate OUT/runs/ID` opens it).

    **Examples**

    - `bakeoff compare cifar100 --candidates efficientnet-lite0,lenet --budget 5m`

    - `bakeoff compare photos/ --images 20000 --weigh accuracy=3,memory=1`

    - `bakeoff compare photos/ --candidates lenet,vgg-16 --weights vgg-16=mine.h5`

    - `bakeoff compare cifar100 --recipe recipes/original-table.toml` — the weights are larger than the
      usual limit: add `--download-limit 2GB`
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
    first = print_board(results.out, as_json, weights_of_criteria)
    print_uses(run_dir(results.out, first), data_dir)
    print_place("report", shown_path(results.out / "report.html"))


def train(
    data: RecipeDataArgument = None,
    *,
    recipe: RecipeOption = None,
    settings: SettingsOption = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            help="auto (ImageNet weights), none (random), or PATH of a Keras file with the network in it.",
            show_default="the recipe's, or auto",
            rich_help_panel=WEIGHTS,
        ),
    ] = None,
    partial: PartialOption = False,
    metric: MetricOption = None,
    deterministic: DeterministicOption = False,
    classes: RecipeClassesOption = None,
    layout: LayoutOption = None,
    image_folder: ImageFolderOption = None,
    label: LabelOption = None,
    group: GroupOption = None,
    fit: FitOption = None,
    exclude: ExcludeOption = None,
    relabel: RelabelOption = None,
    offline: OfflineOption = False,
    download_limit: DownloadLimitOption = "500MB",
    out: OutOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train one network by a recipe and print how it did.

    Without a recipe and a length in `--set`, it trains for 5 epochs.

    **Examples**

    - `bakeoff train --set model.name=lenet --set train.epochs=3`

    - `bakeoff train cifar100 --recipe recipes/cifar100.toml`

    - `bakeoff train photos/ --set model.name=mobilenet-v2 --weights mine.h5`
    """
    try:
        with exit_on_interrupt():
            results = bakeoff.train(
                data,
                recipe=recipe,
                settings=settings,
                weights=weights,
                partial=partial,
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
                offline=offline,
                download_limit=download_limit,
                out=out,
                data_dir=data_dir,
            )
    except NothingTrainedError as error:
        if error.out:
            print_board(error.out, as_json)
        raise
    print_board(results.out, as_json)
    print_uses(results.best_dir, data_dir)
