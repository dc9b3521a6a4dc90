"""Options and arguments that several verbs take.

`--help` shows them in panels: what most people give first, then steps, images, weights and machines. Each panel has its
own column widths, and the words for values are short, so that the texts have room on a terminal of 80 columns.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bakeoff.runs.config import Fit, FolderLayout, Metric

__all__ = [
    "IMAGES",
    "IMAGE_FOLDER_HELP",
    "STEPS",
    "WEIGHTS",
    "BudgetOption",
    "BundleArgument",
    "CandidatesOption",
    "ClassesOption",
    "ClusterOption",
    "DataArgument",
    "DataDirOption",
    "DataSeedOption",
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
    "MinConfidenceOption",
    "MirrorOption",
    "OfflineOption",
    "OutOption",
    "PartialOption",
    "RecipeClassesOption",
    "RecipeDataArgument",
    "RecipeOption",
    "RecipeSeedOption",
    "RelabelOption",
    "SeedOption",
    "SettingsOption",
    "StudyArgument",
    "ThreadsOption",
    "WeighOption",
    "WeightsOption",
    "WorkersOption",
    "name_choices",
]


def name_choices(choices: type[StrEnum]) -> str:
    """The values of an option for its help: `auto, classes or splits`."""
    *first, last = choices
    return f"{', '.join(first)} or {last}"


DATA_HELP = (
    "cifar100, cifar10, digits; a folder or archive: class/image, or train/class/image beside test/class/image; or a"
    " table of labels, such as a CSV."
)
DataArgument = Annotated[str, typer.Argument(help=DATA_HELP, metavar="DATA", show_default=True)]
RecipeDataArgument = Annotated[
    str | None, typer.Argument(help=DATA_HELP, metavar="DATA", show_default="the recipe's, or digits")
]
StudyArgument = Annotated[Path, typer.Argument(help="Folder of a study.", metavar="OUT")]

BundleArgument = Annotated[Path, typer.Argument(help="Folder of a bundle, such as OUT/bundle.", metavar="BUNDLE")]
MinConfidenceOption = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", help="Mark answers of a lower probability as unsure, as in 0.9.", show_default="the bundle's"
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option(metavar="N", help="Threads of the model.", min=1, show_default="one for each core")
]

BudgetOption = Annotated[str, typer.Option(metavar="TIME", help="Wall clock for everything, as in 90s, 10m, 1h30m.")]
CandidatesOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="NAME or NAME@SIZE of networks, or of fields of them (study, fast, best, all), separated by commas; your"
        " own as MODULE:NETWORK.",
        show_default="different families that fit the budget",
    ),
]
MetricOption = Annotated[
    Metric | None,
    typer.Option(
        metavar="METRIC",
        help=f"The validation metric that decides: {name_choices(Metric)}.",
        show_default="top1, or balanced where the largest class has 5 times the training images of the smallest",
    ),
]
RecipeOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Recipe, as TOML or JSON; see recipes/.")]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One value of the recipe, as in model.size=128; may be repeated."),
]
WeighOption = Annotated[
    str | None,
    typer.Option(
        metavar="WEIGHTS",
        help="Weights of the criteria accuracy, memory, params and time, as in accuracy=3,memory=1.",
        show_default="accuracy alone",
    ),
]
SEED_HELP = "Draws classes, weights, data order and augmentation."
SeedOption = Annotated[int, typer.Option(metavar="N", help=SEED_HELP, min=0)]
RecipeSeedOption = Annotated[
    int | None, typer.Option(metavar="N", help=SEED_HELP, min=0, show_default="the recipe's, or 0")
]
DataSeedOption = Annotated[
    int, typer.Option(metavar="N", help="Draws the classes, where --classes is a number.", min=0)
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print the plan and stop: no weights are downloaded, no run is trained, no study is made."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder of the study; the same command resumes what is in it.",
        show_default="named after the data",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

STEPS = "Steps"
MapsOption = Annotated[
    bool,
    typer.Option(
        "--maps/--no-maps",
        help="Draw heat maps of where the model looked, beside the mistakes in the report.",
        rich_help_panel=STEPS,
    ),
]

IMAGES = "Images"
IMAGE_FOLDER_HELP = "Where the images of a table are."
CLASSES_HELP = (
    "all, coarse (superclasses), a number (drawn by --seed), or names: apple,bear or a JSON list, for any names."
)
ClassesOption = Annotated[str, typer.Option(metavar="CLASSES", help=CLASSES_HELP, rich_help_panel=IMAGES)]
RecipeClassesOption = Annotated[
    str | None,
    typer.Option(metavar="CLASSES", help=CLASSES_HELP, show_default="the recipe's, or all", rich_help_panel=IMAGES),
]
LayoutOption = Annotated[
    FolderLayout | None,
    typer.Option(
        metavar="LAYOUT",
        help=f"What the folders directly below a folder of images are: {name_choices(FolderLayout)}.",
        show_default="by their names and contents",
        rich_help_panel=IMAGES,
    ),
]
ImageFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--images",
        "--image-folder",
        metavar="FOLDER",
        help=IMAGE_FOLDER_HELP,
        show_default="beside the table",
        rich_help_panel=IMAGES,
    ),
]
LabelOption = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="The table's column of labels.", show_default="by its name", rich_help_panel=IMAGES
    ),
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="Keep images of one subject in one split. RULE is folder (below the class), a regular expression with one"
        " group for the image's path, or a column of the table.",
        rich_help_panel=IMAGES,
    ),
]
FitOption = Annotated[
    Fit | None,
    typer.Option(
        metavar="FIT",
        help=f"How pictures that are not square become square: {name_choices(Fit)}.",
        show_default="crop, or pad where the crop would cut off more than a tenth",
        rich_help_panel=IMAGES,
    ),
]
MirrorOption = Annotated[
    bool | None,
    typer.Option(
        "--mirror/--no-mirror",
        help="Mirror images left to right, in training and in scoring.",
        show_default="not if a mirror image is known to show another class",
        rich_help_panel=IMAGES,
    ),
]
ExcludeOption = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV",
        help="Leave out the images that this list of `bakeoff data check` names.",
        rich_help_panel=IMAGES,
    ),
]
RelabelOption = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV",
        help="Take the labels that suspicious_labels.csv of `bakeoff data check` suggests.",
        rich_help_panel=IMAGES,
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where the archives of CIFAR are.",
        show_default="$BAKEOFF_DATA_DIR, else the cache",
        rich_help_panel=IMAGES,
    ),
]

WEIGHTS = "Weights"
WeightsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WEIGHTS",
        help="auto (ImageNet weights), none (random, on purpose), or PATH of a Keras file with the network in it;"
        " NAME=... for one network; may be repeated.",
        show_default="auto",
        rich_help_panel=WEIGHTS,
    ),
]
PartialOption = Annotated[
    bool,
    typer.Option(
        "--partial-weights",
        help="Take a weight file that has only a part; the rest stays random.",
        rich_help_panel=WEIGHTS,
    ),
]
OfflineOption = Annotated[
    bool,
    typer.Option(
        "--offline",
        help="Download nothing, as with BAKEOFF_OFFLINE=1: only weights that are here.",
        rich_help_panel=WEIGHTS,
    ),
]
DownloadLimitOption = Annotated[
    str,
    typer.Option(
        metavar="BYTES", help="How much of weights may be downloaded, as in 500MB, 2GB.", rich_help_panel=WEIGHTS
    ),
]

MACHINES = "Machines"
DeterministicOption = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        help="The same bits every time, interrupted or not; slower, and not for a length in seconds.",
        rich_help_panel=MACHINES,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Runs side by side on this machine, its cores divided among them.",
        min=1,
        rich_help_panel=MACHINES,
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Runs on the nodes of a Ray cluster instead: auto, or HOST:PORT of its head.",
        rich_help_panel=MACHINES,
    ),
]
