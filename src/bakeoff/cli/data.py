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
    augment: Annotated[
        str | None, typer.Option(metavar="POLICY", help="Show what a policy makes of one image of each class.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="A strength, as in augment.cutout=0.5.")] = None,
    out: Annotated[Path | None, typer.Option(help="The PNG to write.")] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Draw a contact sheet of training images, a row a class, and print where it is.

    **Examples**

    - `bakeoff data show cifar100 --classes coarse --columns 12`

    - `bakeoff data show cifar100 --classes 20 --augment flip-crop-cutout --set augment.cutout=0.5`
    """
    from bakeoff.config import Run, override
    from bakeoff.sheet import draw_sheet

    # The policy goes in as one more setting, so that a wrong one is told in the same way.
    chosen = [f"augment.policy={augment}"] if augment is not None else []
    strengths = override(Run(), [*chosen, *(settings or [])]).augment
    with interruptible():
        _, dataset = prepare_data(data, classes, seed, data_dir)
        path = out or Path(f"{dataset.name}{f'-{augment}' if augment else ''}.png")
        draw_sheet(dataset, path, columns=columns, augment=strengths if augment is not None else None)
    print_line(str(path))
