"""Single runs: train, evaluate."""

from functools import partial as bind
from pathlib import Path
from typing import Any

from bakeoff.api.arguments import (
    Classes,
    DataLike,
    PathLike,
    Settings,
    Weights,
    names_policy,
    read_bytes,
    read_data,
    read_flag,
    read_metric,
    read_optional_path,
    read_path,
    read_settings,
    read_weights,
)
from bakeoff.api.plain import plain_arguments
from bakeoff.api.progress import ProgressOption, watch_progress
from bakeoff.api.results import Results
from bakeoff.data.mirroring import describe_unmirrored
from bakeoff.download import working_offline
from bakeoff.errors import ConfigError, NothingTrainedError, WeightsError
from bakeoff.launch import launch, open_test
from bakeoff.locks import hold, release
from bakeoff.machine import tensorflow_settings
from bakeoff.networks.find import find_network, require_known
from bakeoff.networks.weights import locate_starting_weights
from bakeoff.runs.config import (
    Candidate,
    Metric,
    Run,
    WeightsChoice,
    override,
    parse_weights,
    pick_settings,
    read_run,
)
from bakeoff.runs.metrics import TestMetrics
from bakeoff.runs.record import RunRecord, Stage, State, list_records, read_record
from bakeoff.runs.shipped import find_run
from bakeoff.study.deciding import choose_metric, decide_by
from bakeoff.study.defaults import without_mirroring
from bakeoff.study.presets import fetch_presets
from bakeoff.study.provide import check_splits, prepare_again, prepare_data, provide_networks, provide_weights

__all__ = ["evaluate", "train"]


@plain_arguments
@tensorflow_settings()
def train(
    data: "DataLike | None" = None,
    *,
    recipe: PathLike | None = None,
    settings: Settings | None = None,
    weights: Weights | None = None,
    partial: bool = False,
    metric: str | None = None,
    deterministic: bool = False,
    classes: Classes | None = None,
    layout: str | None = None,
    image_folder: PathLike | None = None,
    label: str | None = None,
    group: str | None = None,
    fit: str | None = None,
    exclude: PathLike | None = None,
    relabel: PathLike | None = None,
    offline: bool = False,
    download_limit: str | float = "500MB",
    out: PathLike | None = None,
    data_dir: PathLike | None = None,
    progress: ProgressOption = True,
) -> Results:
    """Train one network by a recipe, as `bakeoff train` does; a run that is finished is not trained again.

    Args:
        data: `cifar100`, `cifar10`, `digits`; a folder or archive: class/image, or train/class/image beside
            test/class/image; a table of labels as a file or a pandas DataFrame; or (images, labels): uint8 (n, height,
            width, 3) or grey (n, height, width), or a list of such images, and n labels.
            None: the recipe's, or `digits`.
        recipe: TOML or JSON file with the run's settings; None: the default of each, and 5 epochs.
        settings: Over the recipe: ["model.name=lenet", "train.epochs=3"], or {"model.name": "lenet", ...}.
        weights: "auto" (ImageNet weights), "none" (random), or the path of a Keras file with the network in it. None:
            the recipe's, or "auto".
        partial: Accept a weight file that has only a part of the network; the rest stays random.
        metric: The validation metric that decides: "top1", "balanced" (accuracy), "macro-f1", "log-loss" or "auroc";
            None: the
            recipe's, else top-1, or balanced accuracy where the largest class has at least 5 times the training images
            of the smallest.
        deterministic: The same bits every time, interrupted or not; slower, and not with a length in seconds.
        classes: "all", "coarse" (superclasses), a number of classes, or names; None: the recipe's.
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
        offline: Download nothing; the environment variable `BAKEOFF_OFFLINE=1` says the same.
        download_limit: How much of weights may be downloaded, as in "500MB", "2GB", or in bytes.
        out: Folder that the run is written to, as `runs/ID` in it; None: `bakeoff-DATA` in the current folder.
        data_dir: Where archives are; None: `$BAKEOFF_DATA_DIR`, else the cache.
        progress: True draws bars on standard error, False is silent, a function is called with a ProgressEvent.

    Returns:
        The folder, opened: `best` is the record of this run, `best_dir` its folder.

    Raises:
        InputError: An argument, the data, the weights or a folder cannot be used; the subclass says which.
        NothingTrainedError: The run failed; its `out` is the folder, where the record says why.
    """
    recipe_path, folder = read_optional_path("recipe", recipe), read_optional_path("out", out)
    given, changes = read_run(recipe_path) if recipe_path else None, read_settings(settings, deterministic)
    if given and not pick_settings(changes, "model.name"):
        require_known(given.model.name, recipe_path)
    config, asked = override(given or Run(), changes), read_metric(metric, given, changes)
    wanted = read_data(
        data,
        classes,
        None,
        exclude,
        config,
        changes,
        relabel=relabel,
        layout=layout,
        image_folder=image_folder,
        label=label,
        group=group,
        fit=fit,
    )
    start: dict[str, Any] = {"partial_weights": True} if read_flag("partial", partial) else {}
    if files := read_weights("weights", weights):
        choice = parse_weights(files)
        if len(files) > 1 or set(choice.named) - {config.model.name}:
            raise ConfigError(f"weights={weights!r}: give auto, none, or the path of one file, of {config.model.name}")
        start["weights"] = choice.of(config.model.name)
    config = config.revised(data=wanted.model_dump(), model=start)
    limit = read_bytes("download_limit", download_limit)
    with working_offline(read_flag("offline", offline)), watch_progress(progress, Stage.TRAIN) as watcher:
        limit = fetch_presets([config.model.name], watcher.counted, limit)
        provide_networks([config.model.name], watcher.counted)
        config = config.revised(model={"source": find_network(config.model.name).source})
        shards, dataset = prepare_data(config.data, read_optional_path("data_dir", data_dir), watcher.counted)
        decision = choose_metric(asked, dataset)
        config = override(decide_by(config, decision.metric), pick_settings(changes, "train.monitor"))
        unmirrored = "" if names_policy(given, changes) else describe_unmirrored(dataset)
        if unmirrored:
            config = without_mirroring(config)
        folder = folder or Path(f"bakeoff-{dataset.name}")
        known = _find_without_weights(config, folder, dataset.fingerprint)
        if known is None and not config.model.start:
            choice = WeightsChoice(default=config.model.weights, partial=config.model.partial_weights)
            network = Candidate.of(config)
            provide_weights([network], choice, watcher.counted, limit)
        check_splits(dataset, watcher)
        watcher.data_read(dataset)
        if decision.metric is not Metric.TOP1:
            watcher.noted(decision.sentence)
        if unmirrored:
            watcher.noted(unmirrored)
        hold(folder)
        try:
            watcher.run_began(config)
            report = bind(watcher.run_moved, config)
            record = known or launch(config, stage=Stage.TRAIN, out=folder, data=shards, on_progress=report)
            watcher.run_ended(record, {})
        finally:
            release(folder)
    if record.state is State.FAILED:
        error = NothingTrainedError(f"{record.candidate} failed: {record.reason}")
        error.out = folder.absolute()
        raise error
    return Results(folder, record.id)


def _find_without_weights(config: Run, folder: Path, fingerprint: str) -> RunRecord | None:
    """The finished run of a config in a folder whose starting weights are not on this machine any more.

    None if there is no such run, or if the weights are here: their hash says which run is the same.
    """
    try:
        locate_starting_weights(config.model, folder)
    except WeightsError:
        done = (record for record in list_records(folder) if record.state is not State.RUNNING)
        return next(
            (record for record in done if record.config == config and record.data.fingerprint == fingerprint), None
        )
    return None


@plain_arguments
@tensorflow_settings()
def evaluate(run: PathLike, *, data_dir: PathLike | None = None, progress: ProgressOption = True) -> TestMetrics:
    """Open the locked test split for one run, as `bakeoff evaluate` does. Every opening is counted in the record.

    Args:
        run: The run's folder `OUT/runs/ID`, or the folder of a study that is done, for its winner.
        data_dir: Where archives are; None: `$BAKEOFF_DATA_DIR`, else the cache.
        progress: True draws bars on standard error, False is silent, a function is called with a ProgressEvent.

    Returns:
        The scores on the test split, with intervals, and how often it has been opened for this run. Shares are in
        [0, 1].

    Raises:
        OutputError: The folder holds no such run, or no trained model.
        DataError: The data cannot be prepared again.
    """
    folder = find_run(str(read_path("run", run)))
    record = read_record(folder)
    with watch_progress(progress, "test") as watcher:
        shards, _ = prepare_again(record, read_optional_path("data_dir", data_dir), watcher.counted)
        watcher.run_began(record.config)
        test = open_test(folder, shards, bind(watcher.run_moved, record.config)).test
    assert test is not None
    return test
