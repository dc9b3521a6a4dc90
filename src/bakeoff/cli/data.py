"""Verbs about images: data prepare, data show."""

from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.options import ClassesOption, DataArgument, DataDirOption, SeedOption
from bakeoff.cli.output import interruptible, make_console, prepare_data, print_line, print_notes

__all__ = ["prepare", "show"]


def prepare(
    data: DataArgument,
    *,
    data_dir: DataDirOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the shards; the cache if not given.")] = None,
) -> None:
    """Write TFRecord shards and manifest.json, and print where they are. A second call is instant.

    **Example**: `bakeoff data prepare cifar100 --data-dir ~/downloads`
    """
    from bakeoff.console import preparing
    from bakeoff.shards import prepare as prepare_into
    from bakeoff.shards import prepare_cached, read_manifest
    from bakeoff.sources import open_source

    with interruptible(), preparing(make_console()) as move:
        if out is None:
            out = prepare_cached(data, data_dir, progress=move)
        else:
            prepare_into(open_source(data, data_dir, move), out, progress=move)
    manifest = read_manifest(out)
    counts = ", ".join(f"{facts.count:,} {split}" for split, facts in manifest.splits.items())
    make_console().print(f"{manifest.name}: {len(manifest.class_names)} classes, {counts} images", highlight=False)
    print_notes(manifest)
    print_line(str(out))


def show(
    data: DataArgument = "digits",
    *,
    classes: ClassesOption = "all",
    seed: SeedOption = 0,
    columns: Annotated[int, typer.Option(help="Samples of each class.", min=1, max=50)] = 10,
    out: Annotated[Path | None, typer.Option(help="The PNG to write.")] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Draw a contact sheet of training images, a row a class, and print where it is.

    **Example**: `bakeoff data show cifar100 --classes coarse --columns 12`
    """
    from bakeoff.sheet import draw_sheet

    with interruptible():
        _, dataset = prepare_data(data, classes, seed, data_dir)
        path = out or Path(f"{dataset.name}.png")
        draw_sheet(dataset, path, columns=columns)
    print_line(str(path))
