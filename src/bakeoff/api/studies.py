"""Studies of several networks in one budget: run, screen."""

import time
from collections.abc import Callable
from functools import partial as bind

from bakeoff.api.arguments import (
    Candidates,
    Classes,
    DataLike,
    PathLike,
    Weights,
    describe_call,
    read_bytes,
    read_candidates,
    read_data,
    read_flag,
    read_metric,
    read_optional_flag,
    read_optional_path,
    read_optional_whole,
    read_seconds,
    read_weights,
)
from bakeoff.api.carry_out import carry_out
from bakeoff.api.plain import plain_arguments
from bakeoff.api.progress import ProgressOption
from bakeoff.api.results import Results
from bakeoff.launch import Executor
from bakeoff.machine import tensorflow_settings
from bakeoff.study import StudyPlan, StudyState, make_plan, run_screen, run_study
from bakeoff.study.arrivals import expect_downloads
from bakeoff.study.begin import PreparedStudy, StudyRequest
from bakeoff.study.watcher import StudyWatcher

__all__ = ["run", "screen"]


@plain_arguments
@tensorflow_settings()
def run(
    data: DataLike = "digits",
    *,
    budget: str | float = "10m",
    classes: Classes = "all",
    seed: int = 0,
    candidates: Candidates | None = None,
    weights: Weights | None = None,
    partial: bool = False,
    metric: str | None = None,
    tune: bool | None = None,
    refit: bool | None = None,
    maps: bool = True,
    dry_run: bool = False,
    layout: str | None = None,
    image_folder: PathLike | None = None,
    label: str | None = None,
    group: str | None = None,
    fit: str | None = None,
    mirror: bool | None = None,
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
    """Do the whole job inside a budget: prepare, screen, race, tune, confirm, report, bundle; as `bakeoff run` does.

    The same call again resumes the study where it was.

    Args:
        data: `cifar100`, `cifar10`, `digits`; a folder or archive: class/image, or train/class/image beside
            test/class/image; a table of labels as a file or a pandas DataFrame; or (images, labels): uint8 (n, height,
            width, 3) or grey (n, height, width), or a list of such images, and n labels.
        budget: Wall clock for everything, as in "90s", "10m", "1h30m", in seconds, or a timedelta.
        classes: "all", "coarse" (superclasses), a number of classes that `seed` draws, or names.
        seed: Draws classes, weights, data order and augmentation.
        candidates: Networks as "name" or "name@size" (size in pixels along the side of the input), your own as
            "module:NETWORK" or as the Backbone itself, or fields of networks by name ("study", "fast", "best", "all"),
            in a list or separated by commas; None chooses networks of different families that fit the budget.
        weights: "auto" (ImageNet weights), "none" (random), or the path of a Keras file with the network in it;
            "name=..." for one network; a list of these; or a dict of files by name. None means "auto".
        partial: Accept a weight file that has only a part of the network; the rest stays random.
        metric: The validation metric that decides: "top1", "balanced" (accuracy), "macro-f1", "log-loss" or "auroc";
            None: top-1, or balanced accuracy where the largest class has at least 5 times the training images of the
            smallest.
        tune: Search the leader's recipe, or do not; None decides by the budget.
        refit: Train the winner's recipe once more, on training and validation images together, or do not; None does it
            for small data: up to 5,000 training images and about 1,000 for validation.
        maps: Draw heat maps of where the model looked, beside the mistakes in the report.
        dry_run: Show the plan and stop: no weights are downloaded, no run is trained, `out` is not made. The images are
            prepared all the same, and a new machine is timed. `plan` of the results has it.
        layout: "classes" or "splits": what the folders directly below a folder of images are; None: found out by their
            names and contents.
        image_folder: Where the images of a table are; None: beside the table.
        label: The table's column of labels; None: found out by the names of its columns.
        group: What keeps images of one subject in one split: "folder" (the folder below the class), a regular
            expression with one group, which is searched in the image's path, or a column of the table.
        fit: "crop", "pad" or "squash": how pictures that are not square become square; None: the centre is cropped
            where that cuts off at most a tenth of the median picture, else they are padded.
        mirror: Mirror images left to right, in training and in scoring, or do not; None: not if a mirror image is known
            to show another class, as in `digits`, or with the classes `turn-left` and `turn-right`.
        exclude: CSV that `check` wrote: the images that it lists are left out.
        relabel: `suspicious_labels.csv` that `check` wrote: the images that it lists get the label that it suggests.
        workers: Runs side by side on this machine, its cores divided among them; None means one.
        cluster: "auto" or "host:port": do the runs on the nodes of a Ray cluster instead.
        offline: Download nothing; the environment variable `BAKEOFF_OFFLINE=1` says the same.
        download_limit: How much of weights may be downloaded, as in "500MB", "2GB", or in bytes.
        out: Folder of the study; None: `bakeoff-DATA` in the current folder.
        data_dir: Where archives are; None: `$BAKEOFF_DATA_DIR`, else the cache.
        progress: True draws bars on standard error, False is silent, a function is called with a ProgressEvent.
        command: What the report names as the command that started the study; empty: this call.

    Returns:
        The study's folder, opened: `best` is the winner, its test split opened once; `board`, `bundle`, `report()`.

    Raises:
        InputError: An argument, the data, the weights or a folder cannot be used; the subclass says which. Input that
            is wrong is refused before anything is trained.
        NothingTrainedError: Every candidate failed.
    """
    request = StudyRequest(
        read_data(
            data,
            classes,
            seed,
            exclude,
            relabel=relabel,
            layout=layout,
            image_folder=image_folder,
            label=label,
            group=group,
            fit=fit,
        ),
        seed=read_optional_whole("seed", seed, 0),
        candidates=read_candidates("candidates", candidates),
        weights=tuple(read_weights("weights", weights)),
        partial=read_flag("partial", partial),
        mirror=read_optional_flag("mirror", mirror),
        metric=read_metric(metric),
        budget=read_seconds("budget", budget),
        out=read_optional_path("out", out),
        data_dir=read_optional_path("data_dir", data_dir),
        offline=read_flag("offline", offline),
        download_limit=read_bytes("download_limit", download_limit),
        command=command or describe_call(run, locals()),
    )
    return carry_out(
        request,
        _planner(read_optional_flag("tune", tune), read_optional_flag("refit", refit)),
        _worker(bind(run_study, maps=read_flag("maps", maps))),
        workers,
        cluster,
        progress,
        read_flag("dry_run", dry_run),
    )


@plain_arguments
@tensorflow_settings()
def screen(
    data: DataLike = "digits",
    *,
    budget: str | float = "10m",
    classes: Classes = "all",
    seed: int = 0,
    candidates: Candidates | None = None,
    weights: Weights | None = None,
    partial: bool = False,
    metric: str | None = None,
    dry_run: bool = False,
    layout: str | None = None,
    image_folder: PathLike | None = None,
    label: str | None = None,
    group: str | None = None,
    fit: str | None = None,
    mirror: bool | None = None,
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
    """Rank candidates from frozen features, as `bakeoff screen` does; `run` with the same arguments continues it.

    Args:
        data: `cifar100`, `cifar10`, `digits`; a folder or archive: class/image, or train/class/image beside
            test/class/image; a table of labels as a file or a pandas DataFrame; or (images, labels): uint8 (n, height,
            width, 3) or grey (n, height, width), or a list of such images, and n labels.
        budget: Wall clock of the whole job, of which the screen is a part, as in "90s", "10m", or in seconds.
        classes: "all", "coarse" (superclasses), a number of classes that `seed` draws, or names.
        seed: Draws classes, weights, data order and augmentation.
        candidates: Networks as "name" or "name@size" (size in pixels along the side of the input), your own as
            "module:NETWORK" or as the Backbone itself, or fields of networks by name ("study", "fast", "best", "all"),
            in a list or separated by commas; None chooses networks of different families that fit the budget.
        weights: "auto" (ImageNet weights), "none" (random), or the path of a Keras file with the network in it;
            "name=..." for one network; a list of these; or a dict of files by name. None means "auto".
        partial: Accept a weight file that has only a part of the network; the rest stays random.
        metric: The validation metric that decides: "top1", "balanced" (accuracy), "macro-f1", "log-loss" or "auroc";
            None: top-1, or balanced accuracy where the largest class has at least 5 times the training images of the
            smallest.
        dry_run: Show the plan and stop: no weights are downloaded, no run is trained, `out` is not made. The images are
            prepared all the same, and a new machine is timed. `plan` of the results has it.
        layout: "classes" or "splits": what the folders directly below a folder of images are; None: found out by their
            names and contents.
        image_folder: Where the images of a table are; None: beside the table.
        label: The table's column of labels; None: found out by the names of its columns.
        group: What keeps images of one subject in one split: "folder" (the folder below the class), a regular
            expression with one group, which is searched in the image's path, or a column of the table.
        fit: "crop", "pad" or "squash": how pictures that are not square become square; None: the centre is cropped
            where that cuts off at most a tenth of the median picture, else they are padded.
        mirror: Mirror images left to right, in training and in scoring, or do not; None: not if a mirror image is known
            to show another class, as in `digits`, or with the classes `turn-left` and `turn-right`.
        exclude: CSV that `check` wrote: the images that it lists are left out.
        relabel: `suspicious_labels.csv` that `check` wrote: the images that it lists get the label that it suggests.
        workers: Runs side by side on this machine, its cores divided among them; None means one.
        cluster: "auto" or "host:port": do the runs on the nodes of a Ray cluster instead.
        offline: Download nothing; the environment variable `BAKEOFF_OFFLINE=1` says the same.
        download_limit: How much of weights may be downloaded, as in "500MB", "2GB", or in bytes.
        out: Folder of the study; None: `bakeoff-DATA` in the current folder.
        data_dir: Where archives are; None: `$BAKEOFF_DATA_DIR`, else the cache.
        progress: True draws bars on standard error, False is silent, a function is called with a ProgressEvent.
        command: What the report names as the command that started the study; empty: this call.

    Returns:
        The study's folder, opened; `board` has a row for each candidate.

    Raises:
        InputError: An argument, the data, the weights or a folder cannot be used; the subclass says which.
        NothingTrainedError: Every candidate failed.
    """
    request = StudyRequest(
        read_data(
            data,
            classes,
            seed,
            exclude,
            relabel=relabel,
            layout=layout,
            image_folder=image_folder,
            label=label,
            group=group,
            fit=fit,
        ),
        seed=read_optional_whole("seed", seed, 0),
        candidates=read_candidates("candidates", candidates),
        weights=tuple(read_weights("weights", weights)),
        partial=read_flag("partial", partial),
        mirror=read_optional_flag("mirror", mirror),
        metric=read_metric(metric),
        budget=read_seconds("budget", budget),
        out=read_optional_path("out", out),
        data_dir=read_optional_path("data_dir", data_dir),
        offline=read_flag("offline", offline),
        download_limit=read_bytes("download_limit", download_limit),
        command=command or describe_call(screen, locals()),
    )
    return carry_out(
        request, _planner(), _worker(run_screen), workers, cluster, progress, read_flag("dry_run", dry_run)
    )


def _planner(tune: bool | None = None, refit: bool | None = None) -> Callable[[PreparedStudy, int], StudyPlan]:
    """What makes the plan of a whole job."""

    def plan_job(prepared: PreparedStudy, slots: int) -> StudyPlan:
        request = prepared.request
        assert request.budget is not None
        failed = prepared.downloads.failed
        here = [each for each in prepared.candidates if each.name not in failed]
        plan = make_plan(
            request.budget,
            data=request.data,
            counts=prepared.dataset.counts,
            # If all have failed, the study leaves them out when it begins, and says why.
            candidates=here or prepared.candidates,
            weights=prepared.weights,
            seed=prepared.seed,
            forecast=prepared.forecast,
            tune=tune,
            refit=refit,
            slots=slots,
            spent=time.monotonic() - prepared.started,
            side=prepared.dataset.largest_side,
            decision=prepared.decision,
            mirror=not prepared.unmirrored,
            classes=len(prepared.dataset.class_names),
            field=prepared.field,
        )
        return expect_downloads(plan, prepared.candidates, prepared.downloads)

    return plan_job


def _worker(work: Callable[..., object]) -> Callable[[StudyState, PreparedStudy, StudyWatcher, Executor], object]:
    """What does a whole job, or its screen, while weights arrive."""

    def do(study: StudyState, prepared: PreparedStudy, watcher: StudyWatcher, executor: Executor) -> None:
        work(study, prepared.out, prepared.shards, watcher, executor, downloads=prepared.downloads)

    return do
