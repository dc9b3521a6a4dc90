"""The verb that improves one network's recipe: tune."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import bakeoff
from bakeoff.cli.options import (
    BudgetOption,
    ClusterOption,
    DataDirOption,
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
    WeightsOption,
    WorkersOption,
)
from bakeoff.cli.output import exit_on_interrupt, print_json, print_place, print_plan, shell_command, shown_path

__all__ = ["Strategy", "tune"]


class Strategy(StrEnum):
    """How a recipe is improved."""

    TPE = "tpe"
    ABLATE = "ablate"


def tune(
    data: RecipeDataArgument = None,
    *,
    candidate: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The network: NAME or NAME@SIZE.", show_default="the recipe's, or efficientnet-lite0"
        ),
    ] = None,
    strategy: Annotated[
        Strategy,
        typer.Option(
            metavar="STRATEGY", help="tpe searches all parameters at once; ablate varies one factor at a time."
        ),
    ] = Strategy.TPE,
    budget: BudgetOption = "30m",
    space: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="TOML file of `[[parameter]]` tables.", show_default="what suits the network"
        ),
    ] = None,
    factors: Annotated[
        str | None,
        typer.Option(
            metavar="KEYS", help="Only these keys of the space, separated by commas, as in model.size,optim.name."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", help="Repetitions of every run (ablate).", min=1, max=20)] = 1,
    recipe: RecipeOption = None,
    settings: SettingsOption = None,
    classes: RecipeClassesOption = None,
    seed: RecipeSeedOption = None,
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
    """Improve one network's recipe inside a budget; a search writes the best one to OUT/recipe.toml.

    All runs train for equally long and are scored on validation; the test split stays locked. The best trial counts
    only if it beats the recipe that the search began with a second time, with another seed.

    **Examples**

    - `bakeoff tune cifar100 --candidate efficientnet-lite0 --budget 30m`

    - `bakeoff tune photos/ --strategy ablate --factors model.size --seeds 3`

    - `bakeoff tune cifar100 --recipe recipes/cifar100.toml --space mine.toml`
    """
    with exit_on_interrupt():
        results = bakeoff.tune(
            data,
            candidate=candidate,
            strategy=strategy,
            budget=budget,
            space=space,
            factors=factors,
            seeds=seeds,
            recipe=recipe,
            settings=settings,
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
    else:
        _print_result(results, as_json, data_dir)


def _print_result(results: "bakeoff.Results", as_json: bool, data_dir: Path | None) -> None:
    """Print what a search found, or what each factor is worth."""
    from rich.console import Console

    from bakeoff.console.results import render_effects, render_search_result
    from bakeoff.runs.findings import SearchResult

    found = results.search or results.effects
    assert found is not None
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    recipe = shown_path(results.out / "recipe.toml")
    if isinstance(found, SearchResult):
        # Its lines have paths and a command, which a terminal must not break.
        Console().print(render_search_result(found, recipe, data_dir), highlight=False, soft_wrap=True)
    else:
        Console().print(render_effects(found), highlight=False)
    print_place("report", shown_path(results.out / "report.html"))
