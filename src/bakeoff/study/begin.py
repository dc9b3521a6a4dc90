"""What a study does first: prepare the data, choose candidates, fetch their weights, open the study's folder.

with open_executor(workers, cluster) as executor:
    prepared = prepare_study(StudyRequest(data, ...), watcher)
    with open_study(prepared, plan, executor.slots, watcher) as study: ...

Nothing here prints: what a person may want to see goes to a StudyWatcher, and to the logger `bakeoff`.
"""

import contextlib
import importlib.util
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from bakeoff.cache import prune
from bakeoff.data.checks import MIN_SIDE_PIXELS, find_leaks, note_excluded, read_excluded, warn_of_leaks
from bakeoff.data.shards import Dataset, open_dataset, prepare_cached
from bakeoff.data.sources import OnCount
from bakeoff.errors import ConfigError, InputError
from bakeoff.launch import Executor, Local, Spare, check_weights, connect, fetch_weights, time_network
from bakeoff.locks import hold, release
from bakeoff.machine import count_cores
from bakeoff.networks.table import NetworkSpec, find_network
from bakeoff.networks.weights import locate_weights
from bakeoff.profile import read_profile
from bakeoff.report.board import format_bytes
from bakeoff.runs.config import Candidate, Data, Run, WeightsChoice, parse_weights
from bakeoff.runs.events import RunProgress
from bakeoff.runs.study_file import STUDY_FILE, LeftOut, StudyData
from bakeoff.study.context import Watcher
from bakeoff.study.defaults import assign_weights, choose_candidates, default_run, find_missing
from bakeoff.study.forecast import Forecast
from bakeoff.study.sizes import choose_size
from bakeoff.study.state import AnyPlan, StudyState, open_state

__all__ = [
    "NO_TENSORFLOW",
    "PreparedStudy",
    "SplitFindings",
    "StudyRequest",
    "StudyWatcher",
    "check_splits",
    "fetch_missing",
    "open_executor",
    "open_study",
    "prepare_data",
    "prepare_study",
    "provide_weights",
    "require_tensorflow",
]

NO_TENSORFLOW = "TensorFlow is not installed; run pip install 'bakeoff[cpu]', or 'bakeoff[gpu]' where there is a GPU"

# Timing a network takes about ten seconds, most of them for the start of its process.
MIN_MEASURED_BUDGET_SECONDS = 120.0
# The share of a budget that the winner usually trains for.
USUAL_TRAINING_SHARE = 0.5

_log = logging.getLogger("bakeoff")


class StudyWatcher(Watcher, Protocol):
    """A Watcher that also follows what is done before the first run."""

    def counted(self, doing: str, done: int, total: int) -> None:
        """Data or weights are prepared: `done` of `total` (0: unknown), in units of the step named `doing`."""

    def noted(self, text: str) -> None:
        """Something happened that the user should know."""

    def warned(self, text: str) -> None:
        """The scores will mislead: to be told before everything else."""

    def data_read(self, dataset: Dataset) -> None:
        """The data of a single run are prepared."""

    def study_began(self, dataset: Dataset, plan: AnyPlan) -> None:
        """The data and the plan are known, and the study's folder is open."""


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
    budget: float | None = None
    """Wall-clock seconds of a whole job: with more of them for each image, inputs are larger by default."""
    out: Path | None = None
    """Folder of the study; None: a name made of `prefix` and the data's name."""
    prefix: str = "bakeoff"
    data_dir: Path | None = None
    command: str = ""
    """What started the study, as its report names it."""

    def folder(self, data: str) -> Path:
        """Folder of the study of data of this name."""
        return self.out or Path(f"{self.prefix}-{data}")


@dataclass(frozen=True)
class PreparedStudy:
    """A request whose data and weights are on this machine."""

    request: StudyRequest
    started: float
    """When the preparation began, on the monotonic clock."""
    shards: Path
    dataset: Dataset
    candidates: tuple[Candidate, ...]
    """With their input sizes."""
    weights: WeightsChoice
    seed: int
    findings: "SplitFindings"
    forecast: Forecast
    """What runs take on this machine."""

    @property
    def out(self) -> Path:
        """Folder of the study."""
        return self.request.folder(self.dataset.name)


def require_tensorflow() -> None:
    """Raise InputError at once, instead of in every worker, where TensorFlow is not installed."""
    if importlib.util.find_spec("tensorflow") is None:
        raise InputError(NO_TENSORFLOW)


def prepare_data(data: Data, data_dir: Path | None = None, on_count: OnCount | None = None) -> tuple[Path, Dataset]:
    """Write the shards of some data into the cache, unless they are there.

    Args:
        data: The images and classes.
        data_dir: Where archives are; else `$BAKEOFF_DATA_DIR`, else the cache.
        on_count: Called with (doing, done, total) on the way; a total of 0 means unknown.

    Returns:
        The folder of the shards, and the view of the classes that were asked for.

    Raises:
        DataError: The images or classes cannot be used.
        InputError: TensorFlow is not installed.
    """
    require_tensorflow()
    excluded = read_excluded(Path(data.exclude)) if data.exclude else {}
    shards = prepare_cached(data, data_dir, excluded=excluded, on_count=on_count)
    dataset = open_dataset(shards, data.classes, data.seed, data.fit)
    if data.exclude:
        dataset = replace(dataset, more_notes=note_excluded(Path(data.exclude), excluded, dataset.manifest))
    for warning in dataset.manifest.warnings:
        _log.warning("%s: %s", dataset.name, warning)
    for note in dataset.notes:
        _log.info("%s: %s", dataset.name, note)
    for bad in dataset.manifest.quarantined:
        _log.warning("%s: left out: %s: %s", dataset.name, bad.key, bad.reason)
    return shards, dataset


class SplitFindings(NamedTuple):
    """What a comparison of the splits found before training, for the terminal and the report."""

    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check_splits(dataset: Dataset, watcher: StudyWatcher) -> SplitFindings:
    """Look for validation and test images that are nearly the same as training images, and tell the watcher.

    Takes about ten seconds at most, once for the same data. Raises DataError if a shard is damaged.
    """
    leaks = find_leaks(dataset, watcher.counted)
    warnings = (warning,) if (warning := warn_of_leaks(dataset, leaks)) else ()
    for warning in warnings:
        watcher.warned(warning)
    if leaks is not None or dataset.side < MIN_SIDE_PIXELS:
        return SplitFindings(warnings)
    note = (
        "test and validation images that are nearly the same as training images were not searched for, because that"
        " would take long; `bakeoff data check` does"
    )
    watcher.noted(note)
    return SplitFindings(warnings, (note,))


def fetch_missing(networks: Sequence[NetworkSpec], on_count: OnCount) -> None:
    """Download the pretrained weights of networks. Raises WeightsError if that fails."""
    for spec in networks:
        doing = f"downloading the weights of {spec.name}"
        _log.info(doing)
        on_count(doing, 0, 0)

        def count(event: RunProgress, doing: str = doing) -> None:
            on_count(doing, round(1000 * event.fraction), 1000)

        fetch_weights(spec, count)


def provide_weights(candidates: Sequence[Candidate], weights: WeightsChoice, on_count: OnCount) -> None:
    """Download the pretrained weights that are missing, and check the files that the user has given.

    Raises WeightsError if weights cannot be had, or if a file does not fit its network.
    """
    fetch_missing(find_missing(candidates, weights), on_count)
    for candidate in candidates:
        spec = find_network(candidate.name)
        source = locate_weights(spec, weights.of(spec.name)) if weights.of(spec.name) != "auto" else None
        if source and source.path:
            on_count(f"checking the weights of {spec.name}", 0, 0)
            check_weights(spec, candidate.size or spec.native_size, source.path, partial=weights.partial)


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


def prepare_study(request: StudyRequest, watcher: StudyWatcher, threads: int | None = None) -> PreparedStudy:
    """Prepare the data of a request, choose its candidates and fetch their weights; nothing is trained.

    If the request has a budget and nothing was measured on this machine yet, one network is timed.

    Args:
        request: What is asked for.
        watcher: Told what happens.
        threads: CPU threads of each run; None for all of this machine.

    Raises:
        InputError: Names, sizes, data or weights cannot be used.
    """
    started = time.monotonic()
    recipe = request.recipe or Run()
    partial = request.partial or recipe.model.partial_weights
    weights = parse_weights(request.weights or [recipe.model.weights], partial=partial)
    if request.candidates:
        # A wrong name is refused before the data are prepared, which can take minutes.
        choose_candidates(request.candidates, 32, weights)
    shards, dataset = prepare_data(request.data, request.data_dir, watcher.counted)
    findings = check_splits(dataset, watcher)
    candidates = choose_candidates(request.candidates or None, dataset.largest_side, weights)
    weights = assign_weights(candidates, weights)
    provide_weights(candidates, weights, watcher.counted)
    forecast = Forecast(read_profile(), threads or count_cores())
    if request.budget:
        if not (request.folder(dataset.name) / STUDY_FILE).is_file():  # a study that was begun has its plan
            first = candidates[0]
            base = default_run(find_network(first.name), first.size or 0, request.data, weights, seed=0)
            forecast = _measure_if_new(forecast, base, request.budget, watcher)
        size_of = _sizes_by_pace(request.budget, dataset, forecast)
        candidates = choose_candidates(request.candidates or None, dataset.largest_side, weights, size_of)
    seed = recipe.seed if request.seed is None else request.seed
    return PreparedStudy(request, started, shards, dataset, tuple(candidates), weights, seed, findings, forecast)


def _measure_if_new(forecast: Forecast, base: Run, budget: float, watcher: StudyWatcher) -> Forecast:
    """The forecast after timing one network, if this machine's profile is empty and the budget has the time."""
    if forecast.profile.observations or budget < MIN_MEASURED_BUDGET_SECONDS:
        return forecast
    watcher.counted(f"timing {base.candidate} on this machine, once", 0, 0)
    time_network(base, forecast.threads)
    return Forecast(read_profile(), forecast.threads)


def _sizes_by_pace(budget: float, dataset: Dataset, forecast: Forecast) -> Callable[[NetworkSpec, int], int]:
    """The input size of a network for a budget, by the pace of this machine."""

    def choose(spec: NetworkSpec, side: int) -> int:
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
