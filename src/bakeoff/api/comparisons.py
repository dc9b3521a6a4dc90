"""Comparisons of several networks at one equal budget."""

import time

from bakeoff.api.arguments import (
    Candidates,
    Classes,
    DataLike,
    PathLike,
    Settings,
    Weights,
    describe_call,
    names_policy,
    read_bytes,
    read_candidates,
    read_data,
    read_flag,
    read_metric,
    read_optional_path,
    read_optional_whole,
    read_seconds,
    read_settings,
    read_weights,
    refuse_network,
)
from bakeoff.api.carry_out import carry_out
from bakeoff.api.plain import plain_arguments
from bakeoff.api.progress import ProgressOption
from bakeoff.api.results import Results
from bakeoff.launch import Executor
from bakeoff.machine import tensorflow_settings
from bakeoff.networks.find import require_known
from bakeoff.runs.config import Run, read_comparison
from bakeoff.study import Comparison, StudyState, make_comparison, run_comparison
from bakeoff.study.begin import PreparedStudy, StudyRequest
from bakeoff.study.compare import has_length, require_one_length
from bakeoff.study.watcher import StudyWatcher

__all__ = ["compare"]


@plain_arguments
@tensorflow_settings()
def compare(
    data: "DataLike | None" = None,
    *,
    candidates: Candidates | None = None,
    budget: str | float | None = None,
    images: int | None = None,
    recipe: PathLike | None = None,
    settings: Settings | None = None,
    deterministic: bool = False,
    classes: Classes | None = None,
    seed: int | None = None,
    weights: Weights | None = None,
    partial: bool = False,
    metric: str | None = None,
    dry_run: bool = False,
    layout: str | None = None,
    image_folder: PathLike | None = None,
    label: str | None = None,
    group: str | None = None,
    fit: str | None = None,
    exclude: PathLike | None = None,
    relabel: PathLike | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    offline: bool = False,
    download_limit: str | float = "500MB",
    out: PathLike | None = None,
    data_dir: PathLike | None = None,
    progress: ProgressOption = True,
    command: str = "",
) -> Results:
    """Train candidates at one equal budget and compare accuracy, memory, parameters and time; as `bakeoff compare`.

    Each candidate gets the same seconds of training (or the same images), in a process of its own. Validation decides;
    the test split stays locked. The same call again resumes the comparison.

    Args:
        data: `cifar100`, `cifar10`, `digits`; a folder or archive: class/image, or train/class/image beside
            test/class/image; a table of labels as a file or a pandas DataFrame; or (images, labels): uint8 (n, height,
            width, 3) or grey (n, height, width), or a list of such images, and n labels.
            None: the recipe's, or `digits`.
        candidates: Networks as "name" or "name@size" (size in pixels along the side of the input), your own as
            "module:NETWORK" or as the Backbone itself, or fields of networks by name ("study", "fast", "best", "all"),
            in a list or separated by commas; None takes the recipe's, else networks of different families that fit the
            budget.
        budget: Wall clock for everything, split evenly, as in "10m", or in seconds; None: 10 minutes, unless `images`
            or a recipe gives another length.
        images: Training images for each candidate instead of a budget, repeats counted.
        recipe: TOML or JSON file with the settings of everything but the network, and perhaps `candidates`; None gives
            each network the usual settings of its family.
        settings: Over the recipe: ["optim.learning_rate=0.001"], or {"optim.learning_rate": 0.001}.
        deterministic: The same bits every time, interrupted or not; slower, and only with a length in `images`.
        classes: "all", "coarse" (superclasses), a number of classes that `seed` draws, or names; None: the recipe's.
        seed: Draws classes, weights, data order and augmentation; None: the recipe's, or 0.
        weights: "auto" (ImageNet weights), "none" (random), or the path of a Keras file with the network in it;
            "name=..." for one network; a list of these; or a dict of files by name. None: the recipe's, or "auto".
        partial: Accept a weight file that has only a part of the network; the rest stays random.
        metric: The validation metric that decides: "top1", "balanced" (accuracy), "macro-f1", "log-loss" or "auroc";
            None: the
            recipe's, else top-1, or balanced accuracy where the largest class has at least 5 times the training images
            of the smallest.
        dry_run: Show the plan and stop: no weights are downloaded, no run is trained, `out` is not made. The images are
            prepared all the same. `plan` of the results has it.
        layout: "classes" or "splits": what the folders directly below a folder of images are; None: found out by their
            names and contents.
        image_folder: Where the images of a table are; None: beside the table.
        label: The table's column of labels; None: found out by the names of its columns.
        group: What keeps images of one subject in one split: "folder" (the folder below the class), a regular
            expression with one group, which is searched in the image's path, or a column of the table.
        fit: "crop", "pad" or "squash": how pictures that are not square become square; None: the centre is cropped
            where that cuts off at most a tenth of the median picture, else they are padded.
        exclude: CSV that `check` wrote: the images that it lists are left out.
        relabel: `suspicious_labels.csv` that `check` wrote: the images that it lists get the label that it suggests.
        workers: Runs side by side on this machine, its cores divided among them; None means one.
        cluster: "auto" or "host:port": do the runs on the nodes of a Ray cluster instead.
        offline: Download nothing; the environment variable `BAKEOFF_OFFLINE=1` says the same.
        download_limit: How much of weights may be downloaded, as in "500MB", "2GB", or in bytes.
        out: Folder of the study; None: `bakeoff-compare-DATA` in the current folder.
        data_dir: Where archives are; None: `$BAKEOFF_DATA_DIR`, else the cache.
        progress: True draws bars on standard error, False is silent, a function is called with a ProgressEvent.
        command: What the report names as the command that started the study; empty: this call.

    Returns:
        The study's folder, opened: `board`, `best`, `rank(weigh)` for other weights of the criteria.

    Raises:
        InputError: An argument, the data, the weights or a folder cannot be used; the subclass says which.
        NothingTrainedError: Every candidate failed.
    """
    command = command or describe_call(compare, locals())
    recipe_path = read_optional_path("recipe", recipe)
    base, listed = read_comparison(recipe_path) if recipe_path else (None, [])
    for each in listed if candidates is None else []:
        require_known(each.name, recipe_path)
    changes = read_settings(settings, deterministic)
    if budget is None and images is None and not has_length(base, changes):
        budget = "10m"
    seconds = None if budget is None else read_seconds("budget", budget)
    image_count = read_optional_whole("images", images, 1)
    refuse_network(changes, "--candidates")
    require_one_length(seconds, image_count, base, changes)
    request = StudyRequest(
        read_data(
            data,
            classes,
            seed,
            exclude,
            base or Run(),
            changes,
            relabel=relabel,
            layout=layout,
            image_folder=image_folder,
            label=label,
            group=group,
            fit=fit,
        ),
        seed=read_optional_whole("seed", seed, 0),
        candidates=read_candidates("candidates", candidates) or tuple(listed),
        weights=tuple(read_weights("weights", weights)),
        partial=read_flag("partial", partial),
        metric=read_metric(metric, base, changes),
        recipe=base,
        mirror=names_policy(base, changes) or None,
        shared=seconds,
        out=read_optional_path("out", out),
        prefix="bakeoff-compare",
        data_dir=read_optional_path("data_dir", data_dir),
        offline=read_flag("offline", offline),
        download_limit=read_bytes("download_limit", download_limit),
        command=command,
    )

    def plan(prepared: PreparedStudy, slots: int) -> Comparison:
        return make_comparison(
            prepared.candidates,
            data=request.data,
            counts=prepared.dataset.counts,
            weights=prepared.weights,
            seed=prepared.seed,
            forecast=prepared.forecast,
            budget=seconds,
            images=image_count,
            recipe=base,
            settings=changes,
            slots=slots,
            spent=time.monotonic() - prepared.started,
            decision=prepared.decision,
            mirror=not prepared.unmirrored,
            field=prepared.field,
            begun=prepared.is_begun,
        )

    def work(study: StudyState, prepared: PreparedStudy, watcher: StudyWatcher, executor: Executor) -> None:
        run_comparison(study, prepared.out, prepared.shards, watcher, executor)

    return carry_out(request, plan, work, workers, cluster, progress, read_flag("dry_run", dry_run))
