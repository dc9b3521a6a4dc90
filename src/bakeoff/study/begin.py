"""What a study does first: prepare the data, choose candidates, fetch their weights, open the study's folder.

with open_executor(workers, cluster) as executor:
    prepared = prepare_study(StudyRequest(data, ...), watcher)
    with open_study(prepared, plan, executor.slots, watcher) as study: ...

Nothing here prints: what a person may want to see goes to a StudyWatcher, and to the logger `bakeoff`.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bakeoff.cache import prune
from bakeoff.data.folds import choose_folds
from bakeoff.data.shards import Dataset
from bakeoff.errors import ConfigError
from bakeoff.launch import Executor, Local, Spare, connect, time_network
from bakeoff.locks import hold, release
from bakeoff.machine import count_cores
from bakeoff.networks.backbone import Backbone
from bakeoff.networks.find import find_network
from bakeoff.networks.weights import Downloads
from bakeoff.profile import read_profile
from bakeoff.report.board import format_bytes
from bakeoff.runs.config import Candidate, Data, Metric, Run, WeightsChoice, parse_weights
from bakeoff.runs.study_file import STUDY_FILE, LeftOut, StudyData
from bakeoff.study.deciding import Decision, choose_metric
from bakeoff.study.defaults import assign_weights, choose_candidates, default_run
from bakeoff.study.forecast import Forecast
from bakeoff.study.provide import (
    SplitFindings,
    begin_downloads,
    check_given_weights,
    check_splits,
    prepare_data,
    provide_weights,
)
from bakeoff.study.sizes import choose_size
from bakeoff.study.state import AnyPlan, StudyState, check_place, open_state, planned_metric
from bakeoff.study.watcher import StudyWatcher

__all__ = ["PreparedStudy", "StudyRequest", "open_executor", "open_study", "prepare_study"]

# Timing a network takes about ten seconds, most of them for the start of its process.
MIN_MEASURED_BUDGET_SECONDS = 120.0
# The share of a budget that the winner usually trains for.
USUAL_TRAINING_SHARE = 0.5


@dataclass(frozen=True)
class StudyRequest:
    """What the user asks of a study, before the data are read."""

    data: Data
    seed: int | None = None
    """Seed of the runs; None: the recipe's."""
    candidates: tuple[Candidate, ...] = ()
    """Empty: every network that can start on this machine."""
    weights: tuple[str, ...] = ()
    """`auto`, `none`, PATH or NAME=PATH each; empty: the recipe's."""
    partial: bool = False
    """Whether weight files may hold only a part of their network."""
    recipe: Run | None = None
    metric: Metric | None = None
    """What decides; None: chosen by the classes."""
    budget: float | None = None
    """Wall-clock seconds of a whole job: with more of them for each image, inputs are larger by default."""
    out: Path | None = None
    """Folder of the study; None: a name made of `prefix` and the data's name."""
    prefix: str = "bakeoff"
    data_dir: Path | None = None
    offline: bool = False
    """Whether nothing may be downloaded."""
    download_limit: float = math.inf
    """Bytes of weights that may be downloaded."""
    command: str = ""
    """What started the study, as its report names it."""

    def folder(self, data: str) -> Path:
        """Folder of the study of data of this name."""
        return self.out or Path(f"{self.prefix}-{data}")


@dataclass(frozen=True)
class PreparedStudy:
    """A request whose data are on this machine, and whose weights are there or on their way."""

    request: StudyRequest
    started: float
    """When the preparation began, on the monotonic clock."""
    shards: Path
    dataset: Dataset
    candidates: tuple[Candidate, ...]
    """With their input sizes."""
    weights: WeightsChoice
    seed: int
    decision: Decision
    """The metric that decides."""
    findings: SplitFindings
    forecast: Forecast
    """What runs take on this machine."""
    downloads: Downloads = field(default_factory=Downloads)
    """Weights that are on their way; only in whole jobs. Others wait for them."""

    @property
    def out(self) -> Path:
        """Folder of the study."""
        return self.request.folder(self.dataset.name)


@contextlib.contextmanager
def open_executor(workers: int | None, cluster: str | None) -> Iterator[Executor]:
    """Yield what runs are done on: this machine, or the nodes of a Ray cluster.

    Args:
        workers: Runs side by side on this machine; None means one.
        cluster: `auto` or HOST:PORT of a Ray cluster; None means this machine.

    Raises:
        ConfigError: Both are given, or there are fewer cores than workers.
        InputError: Ray is not installed, or the cluster cannot be reached.
    """
    if workers is not None and cluster is not None:
        raise ConfigError(
            "give --workers or --cluster, not both: a cluster's nodes say how many runs they have room for"
        )
    if workers is not None and workers > (cores := count_cores()):
        raise ConfigError(f"--workers {workers}: bakeoff may use {cores} cores here; give at most {cores}")
    executor: Executor = Local(workers or 1, Spare()) if cluster is None else connect(cluster)
    try:
        yield executor
    finally:
        executor.close()


def prepare_study(
    request: StudyRequest, watcher: StudyWatcher, threads: int | None = None, spare: Spare | None = None
) -> PreparedStudy:
    """Prepare the data of a request, choose its candidates and fetch their weights; nothing is trained.

    If the request has a budget and nothing was measured on this machine yet, one network is timed.

    Args:
        request: What is asked for.
        watcher: Told what happens.
        threads: CPU threads of each run; None for all of this machine.
        spare: Where the process of the first run is started ahead, while the data are prepared.

    Raises:
        InputError: Names, sizes, data, weights or the study's folder cannot be used.
    """
    started = time.monotonic()
    recipe = request.recipe or Run()
    partial = request.partial or recipe.model.partial_weights
    weights = parse_weights(request.weights or [recipe.model.weights], partial=partial)
    if request.candidates:
        # A wrong name is refused before the data are prepared, which can take minutes.
        choose_candidates(request.candidates, 32, weights)
    if request.out:  # and so is a folder
        check_place(request.out)
    if spare is not None and read_profile().observations:  # else it would run while a network is timed
        spare.prepare({}, 0)
    shards, dataset = prepare_data(request.data, request.data_dir, watcher.counted)
    check_place(request.folder(dataset.name))
    decision = choose_metric(request.metric, dataset, planned_metric(request.folder(dataset.name)))
    folds = request.budget and choose_folds(dataset.counts["val"], dataset.counts["train"] + dataset.counts["val"])
    findings = check_splits(dataset, watcher, folded=bool(folds))
    candidates = choose_candidates(request.candidates or None, dataset.largest_side, weights)
    weights = assign_weights(candidates, weights)
    is_new = not (request.folder(dataset.name) / STUDY_FILE).is_file()
    forecast, downloads = Forecast(read_profile(), threads or count_cores()), Downloads()
    if not request.budget:
        provide_weights(candidates, weights, watcher.counted, request.download_limit)
    else:
        check_given_weights(candidates, weights, watcher.counted)
        # A study that was begun may have done without what it asked for.
        required = {candidate.name for candidate in request.candidates} if is_new else set()
        downloads = begin_downloads(candidates, weights, watcher.counted, request.download_limit, required=required)
        if is_new:  # a study that was begun has its plan
            first = candidates[0]
            base = default_run(find_network(first.name), first.size or 0, request.data, weights, seed=0)
            forecast = _measure_if_new(forecast, base, request.budget, watcher)
        size_of = _sizes_by_pace(request.budget, dataset, forecast)
        candidates = choose_candidates(request.candidates or None, dataset.largest_side, weights, size_of)
    seed = recipe.seed if request.seed is None else request.seed
    return PreparedStudy(
        request, started, shards, dataset, tuple(candidates), weights, seed, decision, findings, forecast, downloads
    )


def _measure_if_new(forecast: Forecast, base: Run, budget: float, watcher: StudyWatcher) -> Forecast:
    """The forecast after timing one network, if this machine's profile is empty and the budget has the time."""
    if forecast.profile.observations or budget < MIN_MEASURED_BUDGET_SECONDS:
        return forecast
    watcher.counted(f"timing {base.candidate} on this machine, once", 0, 0)
    time_network(base, forecast.threads)
    return Forecast(read_profile(), forecast.threads)


def _sizes_by_pace(budget: float, dataset: Dataset, forecast: Forecast) -> Callable[[Backbone, int], int]:
    """The input size of a network for a budget, by the pace of this machine."""

    def choose(spec: Backbone, side: int) -> int:
        seconds, images = USUAL_TRAINING_SHARE * budget, dataset.counts["train"]
        return choose_size(spec, side, seconds=seconds, images=images, forecast=forecast)

    return choose


@contextlib.contextmanager
def open_study(prepared: PreparedStudy, plan: AnyPlan, slots: int, watcher: StudyWatcher) -> Iterator[StudyState]:
    """Hold a study's folder for the block, new or begun before; the preparation is charged to the study.

    Args:
        prepared: Data, candidates and weights.
        plan: What the study will do.
        slots: Runs side by side that the plan is for.
        watcher: Shown the data and the plan.

    Raises:
        OutputError: The folder holds another study or other files, or another process is using it.
    """
    dataset, out = prepared.dataset, prepared.out
    facts = StudyData(
        name=dataset.name,
        counts=dataset.counts,
        classes=len(dataset.class_names),
        imbalance=round(dataset.imbalance, 2),
        fingerprint=dataset.fingerprint,
        warnings=(*prepared.findings.warnings, *dataset.manifest.warnings),
        notes=(*dataset.notes, *prepared.findings.notes),
        quarantined=tuple(LeftOut(**bad.model_dump()) for bad in dataset.manifest.quarantined),
    )
    study = open_state(out, plan, data=facts, command=prepared.request.command, slots=slots)
    hold(out)
    try:
        study.spend("prepare", time.monotonic() - prepared.started)
        study.write(out)
        if deleted := prune():
            freed = format_bytes(sum(entry.bytes for entry in deleted))
            watcher.noted(f"deleted {freed} from the cache that had not been used for long")
        watcher.study_began(dataset, plan)
        yield study
    finally:
        # A Python process outlives its studies.
        release(out)
