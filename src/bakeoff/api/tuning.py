"""One network's recipe improved: tune."""

import time

from bakeoff.api.arguments import (
    Classes,
    DataLike,
    Names,
    Network,
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
    read_names,
    read_optional_path,
    read_optional_whole,
    read_seconds,
    read_settings,
    read_weights,
    read_whole,
    refuse_network,
)
from bakeoff.api.carry_out import carry_out
from bakeoff.api.plain import plain_arguments
from bakeoff.api.progress import ProgressOption
from bakeoff.api.results import Results
from bakeoff.errors import ConfigError
from bakeoff.launch import Executor
from bakeoff.machine import tensorflow_settings
from bakeoff.networks.find import require_known
from bakeoff.runs.config import Candidate, Run, find_length, makes_probes, pick_settings, read_run
from bakeoff.study import (
    Ablation,
    Search,
    StudyState,
    default_factors,
    default_space,
    expand_fields,
    make_ablation,
    make_search,
    read_space,
    run_ablation,
    run_tuning,
    start_from,
)
from bakeoff.study.begin import PreparedStudy, StudyRequest
from bakeoff.study.deciding import decide_by
from bakeoff.study.defaults import set_length
from bakeoff.study.watcher import StudyWatcher

__all__ = ["tune"]

DEFAULT_NETWORK = "efficientnet-lite0"


@plain_arguments
@tensorflow_settings()
def tune(
    data: "DataLike | None" = None,
    *,
    candidate: Network | None = None,
    strategy: str = "tpe",
    budget: str | float = "30m",
    space: PathLike | None = None,
    factors: Names | None = None,
    seeds: int = 1,
    recipe: PathLike | None = None,
    settings: Settings | None = None,
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
    """Improve one network's recipe inside a budget, as `bakeoff tune` does; a search writes it to `recipe.toml`.

    All runs train for equally long and are scored on validation; the test split stays locked. The best trial counts
    only if it beats the recipe that the search began with a second time, with another seed.

    Args:
        data: `cifar100`, `cifar10`, `digits`; a folder or archive: class/image, or train/class/image beside
            test/class/image; a table of labels as a file or a pandas DataFrame; or (images, labels): uint8 (n, height,
            width, 3) or grey (n, height, width), or a list of such images, and n labels.
            None: the recipe's, or `digits`.
        candidate: The network, as "name" or "name@size" (size in pixels along the side of the input); your own as
            "module:NETWORK", or the Backbone itself; None: the recipe's, or efficientnet-lite0.
        strategy: "tpe" searches all parameters at once; "ablate" varies one factor at a time.
        budget: Wall clock for everything, as in "30m", or in seconds.
        space: TOML file of [[parameter]] tables: the parameters and their values; None: what suits the network.
        factors: Only these keys of the space, in a list or separated by commas, as in "model.size,optim.name".
        seeds: Repetitions of every run, from 1 to 20; only for "ablate".
        recipe: TOML or JSON file that the study starts from; None: the usual settings of the network's family.
        settings: Over the recipe: ["optim.learning_rate=0.001"], or {"optim.learning_rate": 0.001}.
        classes: "all", "coarse" (superclasses), a number of classes that `seed` draws, or names; None: the recipe's.
        seed: Draws classes, weights, data order and augmentation; None: the recipe's, or 0.
        weights: "auto" (ImageNet weights), "none" (random), or the path of a Keras file with the network in it.
            None: the recipe's, or "auto".
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
        out: Folder of the study; None: `bakeoff-tune-DATA` in the current folder.
        data_dir: Where archives are; None: `$BAKEOFF_DATA_DIR`, else the cache.
        progress: True draws bars on standard error, False is silent, a function is called with a ProgressEvent.
        command: What the report names as the command that started the study; empty: this call.

    Returns:
        The study's folder, opened: `search` is what a search found, `effects` what each factor is worth.

    Raises:
        InputError: An argument, the data, the weights or a folder cannot be used; the subclass says which.
        NothingTrainedError: The recipe that the study starts from could not be trained.
    """
    command = command or describe_call(tune, locals())
    if strategy not in ("tpe", "ablate"):
        raise ConfigError(f"strategy={strategy!r}: give 'tpe' or 'ablate'")
    repetitions = read_whole("seeds", seeds, 1, 20)
    if strategy == "tpe" and repetitions > 1:
        raise ConfigError("--seeds repeats the runs of --strategy ablate; a search tries new recipes instead")
    seconds, changes, keys = read_seconds("budget", budget), read_settings(settings), read_names("factors", factors)
    refuse_network(changes, "--candidate")
    if (length := find_length(changes)) and not pick_settings([length], "train.seconds"):
        raise ConfigError(f"--set {length}: all runs train for the same seconds; leave it out, or give train.seconds")
    recipe_path, space_path = read_optional_path("recipe", recipe), read_optional_path("space", space)
    given = read_run(recipe_path) if recipe_path else None
    if makes_probes(changes, given):
        named = "--set train.mode=probe" if makes_probes(changes) else recipe_path
        raise ConfigError(f"{named}: a probe trains nothing but its head, so there is nothing to tune")
    wanted = read_candidates("candidate", candidate or DEFAULT_NETWORK)
    if len(networks := expand_fields(wanted)) != 1:
        raise ConfigError(f"--candidate {candidate!r}: name one network, as in {networks[0]}")
    if given and candidate is None:
        wanted = (Candidate.of(given),)
        require_known(given.model.name, recipe_path)
    given_space = read_space(space_path) if space_path else None
    request = StudyRequest(
        read_data(
            data,
            classes,
            seed,
            exclude,
            given or Run(),
            changes,
            relabel=relabel,
            layout=layout,
            image_folder=image_folder,
            label=label,
            group=group,
            fit=fit,
        ),
        seed=read_optional_whole("seed", seed, 0),
        candidates=wanted,
        weights=tuple(read_weights("weights", weights)),
        partial=read_flag("partial", partial),
        metric=read_metric(metric, given, changes),
        recipe=given,
        mirror=names_policy(given, changes) or None,
        out=read_optional_path("out", out),
        prefix="bakeoff-tune",
        data_dir=read_optional_path("data_dir", data_dir),
        offline=read_flag("offline", offline),
        download_limit=read_bytes("download_limit", download_limit),
        command=command,
    )

    def plan(prepared: PreparedStudy, slots: int) -> Search | Ablation:
        network, mirror = prepared.candidates[0], not prepared.unmirrored
        counts, head_start, decides = prepared.dataset.counts, given is None, prepared.decision.sentence
        start = decide_by(
            start_from(given, network, request.data, prepared.weights, prepared.seed, mirror=mirror),
            prepared.decision.metric,
        )
        # Any length will do, because that of the study's runs replaces it; a recipe of a probe has none.
        base = set_length(start, {"epochs": 1.0}, train_images=counts["train"], head_start=False, settings=changes)
        imbalance = prepared.dataset.imbalance
        parameters = given_space or (default_space(base, imbalance) if strategy == "tpe" else default_factors(base))
        if keys:
            parameters = parameters.only(keys)
        if strategy == "tpe":
            return make_search(
                base,
                parameters,
                budget=seconds,
                counts=counts,
                forecast=prepared.forecast,
                head_start=head_start,
                settings=changes,
                decides=decides,
            )
        return make_ablation(
            base,
            parameters,
            budget=seconds,
            seeds=repetitions,
            counts=counts,
            forecast=prepared.forecast,
            head_start=head_start,
            settings=changes,
            slots=slots,
            spent=time.monotonic() - prepared.started,
            decides=decides,
            begun=prepared.is_begun,
        )

    return carry_out(request, plan, _work, workers, cluster, progress, read_flag("dry_run", dry_run))


def _work(study: StudyState, prepared: PreparedStudy, watcher: StudyWatcher, executor: Executor) -> None:
    work = run_tuning if isinstance(study.plan, Search) else run_ablation
    work(study, prepared.out, prepared.shards, watcher, executor)
