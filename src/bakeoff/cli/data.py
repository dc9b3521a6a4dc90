"""Verbs about images: data prepare, data show, data check."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import bakeoff
from bakeoff.api.arguments import read_data, read_optional_path, read_path
from bakeoff.cli.options import (
    ClassesOption,
    DataArgument,
    DataDirOption,
    DataSeedOption,
    ExcludeOption,
    FitOption,
    GroupOption,
    ImageFolderOption,
    JsonOption,
    LabelOption,
    LayoutOption,
    RelabelOption,
)
from bakeoff.cli.output import exit_on_interrupt, print_json, print_line, print_place, shown_path

if TYPE_CHECKING:
    from bakeoff.data.shards import Dataset

__all__ = ["check", "prepare", "show"]


def prepare(
    data: DataArgument,
    *,
    data_dir: DataDirOption = None,
    layout: LayoutOption = None,
    image_folder: ImageFolderOption = None,
    label: LabelOption = None,
    group: GroupOption = None,
    fit: FitOption = None,
    exclude: ExcludeOption = None,
    relabel: RelabelOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder for the shards.", show_default="in the cache")
    ] = None,
) -> None:
    """Write TFRecord shards and manifest.json, and print where they are. A second call is instant.

    **Example**: `bakeoff data prepare cifar100 --data-dir ~/downloads`
    """
    from bakeoff.console.bars import draw_bars
    from bakeoff.study.provide import prepare_data

    wanted = read_data(
        data,
        None,
        None,
        exclude,
        relabel=relabel,
        layout=layout,
        image_folder=image_folder,
        label=label,
        group=group,
        fit=fit,
    )
    with exit_on_interrupt(), draw_bars() as move:
        shards, dataset = prepare_data(
            wanted, read_optional_path("data_dir", data_dir), move, read_optional_path("out", out)
        )
    _print_data(dataset)
    print_line(str(shards))


def show(
    data: DataArgument = "digits",
    *,
    classes: ClassesOption = "all",
    seed: DataSeedOption = 0,
    layout: LayoutOption = None,
    image_folder: ImageFolderOption = None,
    label: LabelOption = None,
    group: GroupOption = None,
    fit: FitOption = None,
    columns: Annotated[int, typer.Option(metavar="N", help="Samples of each class.", min=1, max=50)] = 10,
    augment: Annotated[
        str | None, typer.Option(metavar="POLICY", help="Show what a policy makes of one image of each class.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A strength of that policy, as in augment.cutout=0.5."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The PNG to write.", show_default="named after the data")
    ] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Draw samples of the training images as one picture, a row for each class, and print where it is.

    **Examples**

    - `bakeoff data show cifar100 --classes coarse --columns 12`

    - `bakeoff data show --augment flip-crop-cutout --set augment.cutout=0.5`
    """
    from bakeoff.console.bars import draw_bars, make_console
    from bakeoff.console.data import print_note
    from bakeoff.data.contact_sheet import choose_path, draw_sheet
    from bakeoff.runs.config import Run, override
    from bakeoff.study.provide import prepare_data

    # The policy is one more setting, so that a wrong one gets the same error.
    chosen = [f"augment.policy={augment}"] if augment is not None else []
    wanted = read_data(
        data, classes, seed, None, layout=layout, image_folder=image_folder, label=label, group=group, fit=fit
    )
    strengths = override(Run(), [*chosen, *(settings or [])]).augment
    with exit_on_interrupt(), draw_bars() as move:
        _, dataset = prepare_data(wanted, read_optional_path("data_dir", data_dir), move)
        move("drawing the sheet", 0, 0)
        usual = Path(f"{dataset.name}{f'-{augment}' if augment else ''}.png")
        path, beside = choose_path(usual) if out is None else (read_path("out", out), [])
        notes = draw_sheet(dataset, path, columns=columns, augment=strengths if augment is not None else None)
    _print_data(dataset)
    for note in (*notes, *beside):
        print_note(make_console(), note)
    print_line(str(path))


def check(
    data: DataArgument = "digits",
    *,
    classes: ClassesOption = "all",
    seed: DataSeedOption = 0,
    near: Annotated[
        bool,
        typer.Option("--near/--no-near", help="Search for near-duplicates across splits, pair by pair."),
    ] = True,
    labels: Annotated[
        bool | None,
        typer.Option(
            "--labels/--no-labels",
            help="Search for labels that are probably wrong, by a linear head on frozen features.",
            show_default="if that takes less than about two minutes",
        ),
    ] = None,
    layout: LayoutOption = None,
    image_folder: ImageFolderOption = None,
    label: LabelOption = None,
    group: GroupOption = None,
    fit: FitOption = None,
    exclude: ExcludeOption = None,
    relabel: RelabelOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the lists and their pictures. A list in it that differs is not replaced.",
            show_default="bakeoff-check-DATA, or a numbered one",
        ),
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for what is wrong with images and labels, and print where the list of it is. Nothing is changed.

    It finds unreadable files, the same image twice, in two splits or under two labels, near-duplicates across splits,
    images of one colour, tiny and uneven classes, and labels that are probably wrong.

    Delete from a list what you want to keep, and give it to `--exclude`; or give `suspicious_labels.csv` to
    `--relabel`.

    **Examples**

    - `bakeoff data check cifar100`

    - `bakeoff run photos/ --exclude bakeoff-check-photos/findings.csv`

    - `bakeoff run photos/ --relabel bakeoff-check-photos/suspicious_labels.csv`
    """
    from rich.console import Console

    from bakeoff.console.bars import make_console
    from bakeoff.console.data import print_note
    from bakeoff.report.board import Column, FittingTable

    with exit_on_interrupt():
        found = bakeoff.check(
            data,
            classes=classes,
            seed=seed,
            near=near,
            labels=labels,
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
    _print_data(found.dataset)
    for note in found.notes:
        print_note(make_console(), note)
    if as_json:
        print_json(found.counts)
        return
    columns = [Column("found", left=True), Column("images or classes")]
    Console().print(FittingTable(columns, [([kind, f"{count:,}"], "") for kind, count in found.counts.items()]))
    if found.suspicious_table:
        print_line(str(shown_path(found.suspicious_table)))
    print_line(str(shown_path(found.table)))
    if not found.findings:
        return
    options = {
        "--classes": None if classes == "all" else classes,
        "--seed": seed or None,
        "--layout": layout,
        "--images": image_folder,
        "--label": label,
        "--group": group,
        "--fit": fit,
        "--relabel": relabel,
        "--data-dir": data_dir,
        "--exclude": exclude or shown_path(found.table),
    }
    given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    # A run takes one list, and the new one is of the images that the earlier one leaves, unless that left out none.
    is_further = exclude and exclude.resolve() != found.table.resolve()
    merge = f"copy the rows of {shown_path(found.table)} into {exclude}, then " if is_further else ""
    print_place("next", f"{merge}{shlex.join(['bakeoff', 'run', data, *given])}")


def _print_data(dataset: "Dataset") -> None:
    """Print what data are, after a warning if many test images are known to be in training, too."""
    from bakeoff.console.bars import make_console
    from bakeoff.console.data import print_data, print_warning
    from bakeoff.data.checks import read_leaks, warn_of_leaks

    if warning := warn_of_leaks(dataset, read_leaks(dataset)):
        print_warning(make_console(), warning)
    print_data(make_console(), dataset)
