"""Options and arguments that several verbs take."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "BudgetOption",
    "CandidatesOption",
    "ClassesOption",
    "DataArgument",
    "DataDirOption",
    "JsonOption",
    "OutOption",
    "SeedOption",
    "StudyArgument",
    "WeightsOption",
]

DATA_HELP = "cifar100, cifar10, digits, or a folder: class/image, or train/class/image beside test/class/image."
DataArgument = Annotated[str, typer.Argument(help=DATA_HELP, show_default=True)]
ClassesOption = Annotated[
    str, typer.Option(help="all, coarse (superclasses), a number (drawn by --seed), or names separated by commas.")
]
SeedOption = Annotated[int, typer.Option(help="Draws classes, weights, data order and augmentation.", min=0)]
DataDirOption = Annotated[Path | None, typer.Option(help="Where archives are; else $BAKEOFF_DATA_DIR, else the cache.")]
OutOption = Annotated[Path | None, typer.Option(help="Folder of the study; the same command resumes what is in it.")]
BudgetOption = Annotated[str, typer.Option(help="Wall clock for everything, as in 90s, 10m, 1h30m.")]
CandidatesOption = Annotated[
    str | None, typer.Option(help="NAME or NAME@SIZE, separated by commas; else every network whose weights are here.")
]
WeightsOption = Annotated[str, typer.Option(help="auto (ImageNet weights), or none (random, on purpose).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
StudyArgument = Annotated[Path, typer.Argument(help="Folder of a study.", metavar="OUT")]
