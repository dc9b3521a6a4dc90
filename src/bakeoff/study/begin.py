"""What a study does first: prepare the data, choose candidates, fetch their weights, open the study's folder.

with open_executor(workers, cluster) as executor:
    prepared = prepare_study(StudyRequest(data, ...), watcher)
    with open_study(prepared, plan, executor.slots, watcher) as study: ...

Nothing here prints: what a person may want to see goes to a StudyWatcher, and to the logger `bakeoff`.
"""

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bakeoff.cache import prune
from bakeoff.data.folds import choose_folds
from bakeoff.data.mirroring import describe_unmirrored
from bakeoff.data.shards import Dataset
from bakeoff.errors import ConfigError
from bakeoff.launch import Executor, Local, Spare, connect
from bakeoff.locks import hold, release
from bakeoff.machine import count_cores
from bakeoff.networks.weights import Downloads
from bakeoff.profile import read_profile
from bakeoff.report.board import format_bytes
from bakeoff.runs.config import Candidate, Run, WeightsChoice, parse_weights
from bakeoff.runs.default_field import DefaultField
from bakeoff.runs.study_file import STUDY_FILE, LeftOut, StudyData
from bakeoff.study.deciding import Decision, choose_metric
from bakeoff.study.defaults import choose_candidates
from bakeoff.study.entry import enter
from bakeoff.study.forecast import Forecast
from bakeoff.study.presets import fetch_presets
from bakeoff.study.provide import SplitFindings, check_splits, prepare_data, provide_networks
from bakeoff.study.request import StudyRequest
from bakeoff.study.state import AnyPlan, StudyState, check_place, open_state, planned_metric, planned_mirroring
from bakeoff.study.watcher import StudyWatcher
from bakeoff.text import counted

__all__ = ["PreparedStudy", "StudyRequest", "open_executor", "open_study", "prepare_study"]

# The share of a budget that each of two searches for near-duplicates may take.
SEARCH_SHARE = 0.05

_log = logging.getLogger("bakeoff")


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
    downloads: Downloads
    """Weights that are on their way; only in whole jobs. Others wait for them."""
    field: DefaultField | None = None
    """How the candidates were chosen, if none were named."""
    unmirrored: str = ""
    """Why images are not mirrored; empty if they may be."""

    @property
    def out(self) -> Path:
        """Folder of the study."""
        return self.request.folder(self.dataset.name)

    @property
    def is_begun(self) -> bool:
        """Whether the folder holds a study: it goes on by the plan that it has."""
        return (self.out / STUDY_FILE).is_file()

    @property
    def facts(self) -> StudyData:
        """The data, as `study.json` describes them."""
        dataset, findings = self.dataset, self.findings
        return StudyData(
            name=dataset.name,
            counts=dataset.counts,
            classes=len(dataset.class_names),
            imbalance=round(dataset.imbalance, 2),
            fingerprint=dataset.fingerprint,
            warnings=(*findings.warnings, *dataset.manifest.warnings),
            notes=(*dataset.notes, *findings.notes),
            quarantined=tuple(LeftOut(**bad.model_dump()) for bad in dataset.manifest.quarantined),
        )


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
        raise ConfigError(f"--workers {workers}: bakeoff may use {counted(cores, 'core')} here; give at most {cores}")
    executor: Executor = Local(workers or 1, Spare()) if cluster is None else connect(cluster)
    try:
        yield executor
    finally:
        executor.close()


def prepare_study(
    request: StudyRequest,
    watcher: StudyWatcher,
    threads: int | None = None,
    spare: Spare | None = None,
    slots: int = 1,
    *,
    fetch: bool = True,
) -> PreparedStudy:
    """Prepare the data of a request, choose its candidates and fetch their weights; nothing is trained.

    If the request has a budget and this machine was not timed yet, one network is.

    Args:
        request: What is asked for.
        watcher: Told what happens.
        threads: CPU threads of each run; None for all of this machine.
        spare: Where the process of the first run is started ahead, while the data are prepared.
        slots: Runs side by side.
        fetch: Whether weights are downloaded.

    Raises:
        InputError: Names, sizes, data, weights or the study's folder cannot be used.
    """
    started = time.monotonic()
    recipe = request.recipe or Run()
    partial = request.partial or recipe.model.partial_weights
    weights = parse_weights(request.weights or [recipe.model.weights], partial=partial)
    provide_networks([*(each.name for each in request.candidates), *weights.named], watcher.counted)
    if request.candidates:
        if fetch:
            names = (candidate.name for candidate in request.candidates)
            left = fetch_presets(names, watcher.counted, request.download_limit)
            request = replace(request, download_limit=left)
        # A wrong name is refused before the data are prepared, which can take minutes.
        choose_candidates(request.candidates, 32, weights)
    if request.out:  # and so is a folder
        check_place(request.out)
    if spare is not None and read_profile().is_timed:  # else it would run while a network is timed
        spare.prepare({}, 0)
    shards, dataset = prepare_data(request.data, request.data_dir, watcher.counted)
    out = request.folder(dataset.name)
    check_place(out)
    decision = choose_metric(request.metric, dataset, planned_metric(out))
    folds = request.budget and choose_folds(dataset.counts["val"], dataset.counts["train"] + dataset.counts["val"])
    searching = SEARCH_SHARE * request.budget if request.budget else math.inf
    findings = check_splits(dataset, watcher, folded=bool(folds), seconds=searching)
    if unmirrored := _explain_unmirrored(request, dataset, planned_mirroring(out)):
        _log.info("%s: %s", dataset.name, unmirrored)
        dataset = replace(dataset, more_notes=(*dataset.more_notes, unmirrored))
    forecast = Forecast(read_profile(), threads or count_cores())
    entry = enter(request, dataset, weights, forecast, watcher, started=started, slots=slots, fetch=fetch)
    return PreparedStudy(
        request,
        started,
        shards,
        dataset,
        entry.candidates,
        entry.weights,
        recipe.seed if request.seed is None else request.seed,
        decision,
        findings,
        entry.forecast,
        entry.downloads,
        entry.field,
        unmirrored,
    )


def _explain_unmirrored(request: StudyRequest, dataset: Dataset, planned: bool | None) -> str:
    """Why images are not mirrored, by the request, by the study that goes on, or by the data; empty if they are."""
    if request.mirror is False:
        return describe_unmirrored(dataset, "as was asked for")
    if request.mirror or planned:
        return ""
    return describe_unmirrored(dataset, "" if planned is None else "as when this study was begun")


@contextlib.contextmanager
def open_study(prepared: PreparedStudy, plan: AnyPlan, slots: int, watcher: StudyWatcher) -> Iterator[StudyState]:
    """Hold a study's folder for the block, new or begun before; if it does anything, it is charged the preparation.

    Args:
        prepared: Data, candidates and weights.
        plan: What the study will do; one that was begun goes on by its own plan.
        slots: Runs side by side that the plan is for.
        watcher: Shown the data and the plan that holds.

    Raises:
        OutputError: The folder holds another study or other files, or another process is using it.
    """
    out = prepared.out
    study = open_state(out, plan, data=prepared.facts, command=prepared.request.command, slots=slots)
    hold(out)
    try:
        study.note_preparation(time.monotonic() - prepared.started)
        if deleted := prune(watcher.noted):
            freed = format_bytes(sum(entry.bytes for entry in deleted))
            watcher.noted(f"deleted {freed} from the cache that had not been used for long")
        watcher.study_began(prepared.dataset, study.plan)
        yield study
    finally:
        # A Python process outlives its studies.
        release(out)
