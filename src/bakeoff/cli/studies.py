"""Verbs that choose a network: run, screen."""

from typing import Annotated

import typer

import bakeoff
from bakeoff.cli.options import (
    STEPS,
    BudgetOption,
    CandidatesOption,
    ClassesOption,
    ClusterOption,
    DataArgument,
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
    MapsOption,
    MetricOption,
    MirrorOption,
    OfflineOption,
    OutOption,
    PartialOption,
    RelabelOption,
    SeedOption,
    WeightsOption,
    WorkersOption,
)
from bakeoff.cli.output import (
    exit_on_interrupt,
    print_board,
    print_info,
    print_place,
    print_plan,
    shell_command,
    shown_path,
)

__all__ = ["run", "screen"]


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
        typer.Option(
            "--tune/--no-tune",
            help="Search for a better recipe for the leader.",
            show_default="by the budget",
            rich_help_panel=STEPS,
        ),
    ] = None,
    refit: Annotated[
        bool | None,
        typer.Option(
            "--refit/--no-refit",
            help="Train the winner once more, on training and validation images.",
            show_default="for small data",
            rich_help_panel=STEPS,
        ),
    ] = None,
    maps: MapsOption = True,
    dry_run: DryRunOption = False,
    layout: LayoutOption = None,
    image_folder: ImageFolderOption = None,
    label: LabelOption = None,
    group: GroupOption = None,
    fit: FitOption = None,
    mirror: MirrorOption = None,
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

    - `bakeoff run` — handwritten digits, which come with it

    - `bakeoff run cifar100 --classes 20 --budget 10m`

    - `bakeoff run photos/ --budget 1h --dry-run` — who would take part and why, and what would be downloaded

    - `bakeoff run photos/ --budget 1h --candidates fast,vgg-16@128`

    - `bakeoff run train.csv --images photos/` — labels in a table, beside a folder or archive of images

    - `bakeoff run photos/ --budget 1h --download-limit 2GB` — `--offline` for no downloads at all

    - `bakeoff run photos/ --budget 1h --workers 8` — on a machine with many cores; `--cluster auto` for many machines
    """
    from bakeoff.console.bars import make_console
    from bakeoff.console.data import print_warning
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
            mirror=mirror,
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
    study = read_study(results.out)
    for warning in study.data.warnings if study.data else ():
        print_warning(make_console(), warning)
    print_info("")
    print_info(render_end(shown_path(results.out), winner, study))


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
    mirror: MirrorOption = None,
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
    """Rank candidates by a quick test on frozen features; `bakeoff run` with the same options continues from there.

    **Examples**

    - `bakeoff screen cifar100 --classes 20`

    - `bakeoff screen photos/ --candidates all --dry-run`
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
            mirror=mirror,
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
    print_place("next", shell_command().replace(" screen", " run", 1))
    print_place("report", shown_path(results.out / "report.html"))
