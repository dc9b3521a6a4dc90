"""Verbs about images: data prepare, data show, data check."""

from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.options import ClassesOption, DataArgument, DataDirOption, ExcludeOption, JsonOption, SeedOption
from bakeoff.cli.output import interruptible, make_console, prepare_data, print_json, print_line, print_notes

__all__ = ["check", "prepare", "show"]


def prepare(
    data: DataArgument,
    *,
    data_dir: DataDirOption = None,
    exclude: ExcludeOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the shards; the cache if not given.")] = None,
) -> None:
    """Write TFRecord shards and manifest.json, and print where they are. A second call is instant.

    **Example**: `bakeoff data prepare cifar100 --data-dir ~/downloads`
    """
    from bakeoff.cli.console import preparing
    from bakeoff.data.checks import read_excluded
    from bakeoff.data.shards import prepare as prepare_into
    from bakeoff.data.shards import prepare_cached, read_manifest
    from bakeoff.data.sources import open_source

    excluded = read_excluded(exclude) if exclude else {}
    with interruptible(), preparing(make_console()) as move:
        if out is None:
            out = prepare_cached(data, data_dir, excluded=excluded, on_count=move)
        else:
            prepare_into(open_source(data, data_dir, move), out, excluded=excluded, on_count=move)
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
    from bakeoff.data.contact_sheet import draw_sheet
    from bakeoff.runs.config import Data, Run, override

    # The policy goes in as one more setting, so that a wrong one is told in the same way.
    chosen = [f"augment.policy={augment}"] if augment is not None else []
    strengths = override(Run(), [*chosen, *(settings or [])]).augment
    with interruptible():
        _, dataset = prepare_data(Data(source=data, classes=classes, seed=seed), data_dir)
        path = out or Path(f"{dataset.name}{f'-{augment}' if augment else ''}.png")
        draw_sheet(dataset, path, columns=columns, augment=strengths if augment is not None else None)
    print_line(str(path))


def check(
    data: DataArgument = "digits",
    *,
    classes: ClassesOption = "all",
    seed: SeedOption = 0,
    near: Annotated[
        bool, typer.Option("--near/--no-near", help="Compare all images across splits, pair by pair.")
    ] = True,
    exclude: ExcludeOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for findings.csv and pairs.png.")] = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for what is wrong with images and labels, and print where the list of it is. Nothing is changed.

    Unreadable files, the same image twice, in two splits or under two labels, near-duplicates across splits, images of
    one colour, tiny and uneven classes. Delete from the list what you want to keep, and give it to `--exclude`.

    **Examples**

    - `bakeoff data check cifar100`

    - `bakeoff run photos/ --exclude bakeoff-check-photos/findings.csv`
    """
    from collections import Counter

    from rich.console import Console
    from rich.table import Table

    from bakeoff.cli.console import preparing
    from bakeoff.data.checks import MIN_SIDE_PIXELS, FindingKind, examine, write_findings
    from bakeoff.data.contact_sheet import draw_pairs
    from bakeoff.runs.config import Data

    with interruptible():
        _, dataset = prepare_data(Data(source=data, classes=classes, seed=seed, exclude=str(exclude or "")), data_dir)
        with preparing(make_console()) as move:
            findings = examine(dataset, near=near, on_count=move)
        folder = out or Path(f"bakeoff-check-{dataset.name}")
        write_findings(folder / "findings.csv", findings)
        if any(finding.other_id for finding in findings):
            draw_pairs(dataset, findings, folder / "pairs.png")
    counts = Counter(finding.kind for finding in findings)
    if as_json:
        print_json({kind.value: counts[kind] for kind in FindingKind})
        return
    table = Table(box=None)
    table.add_column("found")
    table.add_column("images or classes", justify="right")
    for kind in FindingKind:
        table.add_row(kind.value, f"{counts[kind]:,}")
    Console().print(table)
    if near and dataset.side < MIN_SIDE_PIXELS:
        note = f"near-duplicates were not looked for: {dataset.side} pixels are too few to tell them from others"
        make_console().print(f"note: {note}", highlight=False, soft_wrap=True)
    print_line(str(folder / "findings.csv"))
