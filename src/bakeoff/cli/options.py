"""Options and arguments that several verbs take."""

from pathlib import Path
from typing import Annotated

import typer

from bakeoff.runs.config import Fit, FolderLayout, Metric

__all__ = [
    "BudgetOption",
    "CandidatesOption",
    "ClassesOption",
    "ClusterOption",
    "DataArgument",
    "DataDirOption",
    "DeterministicOption",
    "DownloadLimitOption",
    "DryRunOption",
    "ExcludeOption",
    "FitOption",
    "GroupOption",
    "ImageFolderOption",
    "JsonOption",
    "LabelOption",
    "LayoutOption",
    "MapsOption",
    "MetricOption",
    "OfflineOption",
    "OutOption",
    "PartialOption",
    "RecipeClassesOption",
    "RecipeOption",
    "RecipeSeedOption",
    "RelabelOption",
    "SeedOption",
    "SettingsOption",
    "StudyArgument",
    "WeighOption",
    "WeightsOption",
    "WorkersOption",
]

DATA_HELP = (
    "cifar100, cifar10, digits; a folder or archive: class/image, or train/class/image beside test/class/image; or a"
    " table of labels, such as a CSV."
)
DataArgument = Annotated[str, typer.Argument(help=DATA_HELP, show_default=True)]
CLASSES_HELP = (
    "all, coarse (superclasses), a number (drawn by --seed), or names: apple,bear or a JSON list, for any names."
)
ClassesOption = Annotated[str, typer.Option(help=CLASSES_HELP)]
RecipeClassesOption = Annotated[str | None, typer.Option(help=f"{CLASSES_HELP} Else the recipe's, or all.")]
SEED_HELP = "Draws classes, weights, data order and augmentation."
SeedOption = Annotated[int, typer.Option(help=SEED_HELP, min=0)]
RecipeSeedOption = Annotated[int | None, typer.Option(help=f"{SEED_HELP} Else the recipe's, or 0.", min=0)]
DataDirOption = Annotated[Path | None, typer.Option(help="Where archives are; else $BAKEOFF_DATA_DIR, else the cache.")]
LayoutOption = Annotated[
    FolderLayout | None,
    typer.Option(
        help="What the folders directly below a folder of images are.", show_default="by their names and contents"
    ),
]
IMAGE_FOLDER_HELP = "Where the images of a table are; else beside the table."
ImageFolderOption = Annotated[Path | None, typer.Option("--images", "--image-folder", help=IMAGE_FOLDER_HELP)]
LabelOption = Annotated[str | None, typer.Option(help="The table's column of labels.", show_default="by its name")]
GroupOption = Annotated[
    str | None,
    typer.Option(
        help="Keeps images of one subject in one split: folder (below the class), a regular expression with one group"
        " for the image's path, or a column of the table."
    ),
]
FitOption = Annotated[
    Fit | None,
    typer.Option(
        help="How pictures that are not square become square.",
        show_default="crop, or pad where the crop would cut off more than a tenth",
    ),
]
ExcludeOption = Annotated[
    Path | None, typer.Option(help="CSV by `bakeoff data check`: leave out the images that it lists.")
]
RelabelOption = Annotated[
    Path | None,
    typer.Option(help="suspicious_labels.csv by `bakeoff data check`: give its images the labels that it suggests."),
]
OutOption = Annotated[Path | None, typer.Option(help="Folder of the study; the same command resumes what is in it.")]
BudgetOption = Annotated[str, typer.Option(help="Wall clock for everything, as in 90s, 10m, 1h30m.")]
CandidatesOption = Annotated[
    str | None,
    typer.Option(
        help="NAME or NAME@SIZE of networks, or of fields of them (study, fast, best, all), separated by commas; your"
        " own as MODULE:NETWORK; else different families that fit the budget."
    ),
]
WeightsOption = Annotated[
    list[str] | None,
    typer.Option(
        help="auto (ImageNet weights), none (random, on purpose), or PATH of a Keras file with the network in it;"
        " NAME=... for one network; may be repeated.",
        show_default="auto",
    ),
]
PartialOption = Annotated[
    bool, typer.Option("--partial-weights", help="Take a weight file that has only a part; the rest stays random.")
]
MetricOption = Annotated[
    Metric | None,
    typer.Option(
        help="The validation metric that decides.",
        show_default="top1, or balanced where the largest class has 5 times the training images of the smallest",
    ),
]
RecipeOption = Annotated[Path | None, typer.Option(help="TOML or JSON file; see recipes/.")]
SettingsOption = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, as in model.size=128.")]
WeighOption = Annotated[
    str | None,
    typer.Option(
        help="Weights of the criteria accuracy, memory, params, time: accuracy=3,memory=1; else accuracy alone."
    ),
]
DeterministicOption = Annotated[
    bool,
    typer.Option("--deterministic", help="The same bits every time, interrupted or not; slower, and not for seconds."),
]
WorkersOption = Annotated[
    int | None, typer.Option(help="Runs side by side on this machine, its cores divided among them.", min=1)
]
ClusterOption = Annotated[
    str | None, typer.Option(help="Runs on the nodes of a Ray cluster instead: auto, or HOST:PORT of its head.")
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Download nothing, as with BAKEOFF_OFFLINE=1: only weights that are here.")
]
DownloadLimitOption = Annotated[str, typer.Option(help="How much of weights may be downloaded, as in 500MB, 2GB.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan and stop: nothing is downloaded, trained or written.")
]
MapsOption = Annotated[
    bool,
    typer.Option(
        "--maps/--no-maps", help="Heat maps of where the model looked, beside the mistakes in the report, or none."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
StudyArgument = Annotated[Path, typer.Argument(help="Folder of a study.", metavar="OUT")]
