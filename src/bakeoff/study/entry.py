"""Who takes part in a study, at which input sizes, and from which weights: those are here, or on their way.

entry = enter(request, dataset, weights, forecast, watcher, started=started, slots=1)
"""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bakeoff.data.shards import Dataset
from bakeoff.launch import time_network
from bakeoff.networks.backbone import Backbone
from bakeoff.networks.find import find_network
from bakeoff.networks.weights import Downloads
from bakeoff.networks.weights.published import file_size
from bakeoff.profile import Variant, keep_variant, read_profile
from bakeoff.report.board import format_bytes
from bakeoff.runs.config import Candidate, Data, WeightsChoice
from bakeoff.runs.default_field import DefaultField
from bakeoff.runs.study_file import STUDY_FILE
from bakeoff.study.default_field import Availability
from bakeoff.study.defaults import assign_weights, choose_candidates, default_run, find_missing
from bakeoff.study.forecast import Forecast
from bakeoff.study.planning import USUAL_TRAINING_SHARE
from bakeoff.study.provide import (
    POLL_SECONDS,
    check_given_weights,
    fetch_missing,
    plan_downloads,
    require_weights,
    start_downloads,
)
from bakeoff.study.request import StudyRequest
from bakeoff.study.sizes import choose_size
from bakeoff.study.state import networks_left, planned_field, planned_networks
from bakeoff.study.unnamed import (
    find_availability,
    first_at_hand,
    unnamed_for_comparison,
    unnamed_for_job,
)
from bakeoff.study.watcher import StudyWatcher

__all__ = ["Entry", "enter"]

# Timing a network takes about ten seconds, most of them for the start of its process.
MIN_MEASURED_BUDGET_SECONDS = 120.0
# The share of the budget that it may take.
TIMING_SHARE = 0.2
# A default field is chosen again if the host has refused by then; a slow one is not waited for.
ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Entry:
    """The candidates of a study, with what was found out to choose them."""

    candidates: tuple[Candidate, ...]
    """With their input sizes."""
    weights: WeightsChoice
    forecast: Forecast
    downloads: Downloads
    field: DefaultField | None = None
    """How the candidates were chosen, if none were named."""


def enter(
    request: StudyRequest,
    dataset: Dataset,
    weights: WeightsChoice,
    forecast: Forecast,
    watcher: StudyWatcher,
    *,
    started: float,
    slots: int,
    fetch: bool = True,
) -> Entry:
    """Choose the candidates of a study and start to fetch their weights.

    If the request has a budget and this machine was not timed yet, one network is.

    Args:
        request: What is asked for.
        dataset: The prepared data.
        weights: The weights that were asked for.
        forecast: The time that runs take on this machine.
        watcher: Told what happens.
        started: When the study began, on the monotonic clock.
        slots: Runs side by side.
        fetch: Whether weights are downloaded; if not, what would be is found out and checked all the same.

    Raises:
        InputError: Names, sizes or weights cannot be used.
    """
    out, side = request.folder(dataset.name), dataset.largest_side
    begun = (out / STUDY_FILE).is_file()
    field, planned = planned_field(out)
    if wanted := request.candidates or planned:
        candidates = choose_candidates(wanted, side, weights)
        weights = assign_weights(candidates, weights)
        # Of a named field as many take part as can be had; a study that was begun may have done without others.
        required = {each.name for each in request.candidates}
        if not request.budget:
            candidates = _provide_all(request, candidates, weights, watcher, required, out, slots, fetch=fetch)
            downloads = Downloads()
        else:
            required = set() if begun else required
            downloads = _provide(request, candidates, weights, watcher, required, out, slots, fetch=fetch)
            forecast = _measure(request.budget, candidates[0], request.data, weights, forecast, watcher, begun=begun)
            size_of = _sizes_by_pace(request.budget, dataset, forecast)
            candidates = choose_candidates(wanted, side, weights, size_of)
        return Entry(tuple(candidates), weights, forecast, downloads, None if request.candidates else field)
    available = find_availability(weights)
    (first,) = choose_candidates([first_at_hand(available)], side, weights)
    weights = assign_weights([first, *(Candidate(name=name) for name in weights.named)], weights)
    if request.budget:
        forecast = _measure(request.budget, first, request.data, weights, forecast, watcher, begun=begun)
    choose = partial(_choose_unnamed, request, dataset, weights, forecast, started=started, slots=slots)
    field = choose(available)
    downloads = plan_downloads(_candidates(field), weights, watcher.counted, request.download_limit)
    if fetch:
        _try_downloads(downloads, request.budget)
    if downloads.failed and not (downloads.pending or downloads.arrived):
        # The host refuses or does not answer, so that no other file of it can be had either.
        lost = {name: Availability.UNREACHABLE for name, each in available.items() if each is Availability.DOWNLOAD}
        field, downloads = choose({**available, **lost}), Downloads()
    candidates = _candidates(field)
    if not request.budget:
        candidates = _without_failed(candidates, downloads, watcher)
    check_given_weights(candidates, weights, watcher.counted)
    return Entry(tuple(candidates), weights, forecast, downloads, field)


def _candidates(field: DefaultField) -> list[Candidate]:
    return [Candidate.read(entrant.candidate) for entrant in field.entrants]


def _needing(candidates: Sequence[Candidate], out: Path, slots: int) -> list[Candidate]:
    """The candidates whose weights are needed: a study that was begun may have no run of the others left."""
    left = networks_left(out, slots)
    return [each for each in candidates if left is None or each.name in left]


def _provide(
    request: StudyRequest,
    candidates: Sequence[Candidate],
    weights: WeightsChoice,
    watcher: StudyWatcher,
    required: Collection[str],
    out: Path,
    slots: int,
    *,
    fetch: bool,
) -> Downloads:
    """Begin to fetch the weights of candidates, during the screen of a whole job; without `fetch`, only plan it.

    Weights that a study that was begun in the folder `out` needs no more are not looked for.
    """
    needing = _needing(candidates, out, slots)
    check_given_weights(needing, weights, watcher.counted)
    downloads = plan_downloads(needing, weights, watcher.counted, request.download_limit, required=required)
    if fetch:
        start_downloads(downloads, required=required)
    return downloads


def _provide_all(
    request: StudyRequest,
    candidates: Sequence[Candidate],
    weights: WeightsChoice,
    watcher: StudyWatcher,
    required: Collection[str],
    out: Path,
    slots: int,
    *,
    fetch: bool,
) -> list[Candidate]:
    """Fetch the weights of candidates before a comparison or a search. Of a named field those are left out whose
    weights cannot be had, if others are left.

    Args:
        request: What is asked for.
        candidates: The candidates.
        weights: The weights that were asked for.
        watcher: Told who is left out, and without `fetch` what would be downloaded.
        required: The networks that were asked for by name.
        out: The study's folder. Weights of which a study that was begun there has no run left are not looked for: a
            finished one is shown on a machine without them.
        slots: Runs side by side.
        fetch: Whether weights are downloaded.

    Raises:
        WeightsError: Weights that are required cannot be had, or none of all.
    """
    # A comparison that was begun goes on with the networks that it has.
    if (planned := planned_networks(out)) is not None:
        candidates = [each for each in candidates if each.name in planned or each.name in required]
        required = {each.name for each in candidates}
    needing = _needing(candidates, out, slots)
    missing = find_missing(needing, weights)
    named = [spec for spec in missing if spec.name in required]
    others = [spec for spec in missing if spec.name not in required]
    limit = request.download_limit
    if fetch:
        fetch_missing(named, watcher.counted, limit)
        limit -= sum(map(file_size, named))
        downloads = plan_downloads(needing, weights, watcher.counted, limit)
        _try_downloads(downloads, request.budget)
    else:
        downloads = Downloads([*named, *others], limit)
        require_weights(downloads.failed, named)
        if downloads.pending:
            sizes = ", ".join(f"{name} ({format_bytes(size)})" for name, size in downloads.pending.items())
            watcher.noted(f"weights that are downloaded before the first run: {sizes}")
    check_given_weights(needing, weights, watcher.counted)
    left = _without_failed(candidates, downloads, watcher)
    if not left:
        require_weights(downloads.failed, others)
    return left


def _try_downloads(downloads: Downloads, budget: float | None) -> None:
    """Start the downloads of a field and wait for the host's answer; for a comparison, for all files."""
    start_downloads(downloads)
    end = time.monotonic() + (ANSWER_SECONDS if budget else math.inf)
    try:
        while downloads.pending and time.monotonic() < end and not (budget and downloads.has_begun):
            downloads.wait(POLL_SECONDS)
    except BaseException:
        downloads.stop()
        raise


def _without_failed(candidates: Sequence[Candidate], downloads: Downloads, watcher: StudyWatcher) -> list[Candidate]:
    """The candidates without those whose weights could not be downloaded; the watcher is told of them."""
    for name, why in downloads.failed.items():
        watcher.noted(f"{name} does not take part: its weights could not be downloaded ({why})")
    return [candidate for candidate in candidates if candidate.name not in downloads.failed]


def _choose_unnamed(
    request: StudyRequest,
    dataset: Dataset,
    weights: WeightsChoice,
    forecast: Forecast,
    available: Mapping[str, Availability],
    *,
    started: float,
    slots: int,
) -> DefaultField:
    """The default field of a whole job, or of a comparison."""
    limit = request.download_limit
    if not request.budget:
        return unnamed_for_comparison(
            request.shared, dataset, weights, forecast, available, slots=slots, download_limit=limit
        )
    spent = time.monotonic() - started
    return unnamed_for_job(
        request.budget, dataset, weights, forecast, available, spent=spent, slots=slots, download_limit=limit
    )


def _measure(
    budget: float,
    candidate: Candidate,
    data: Data,
    weights: WeightsChoice,
    forecast: Forecast,
    watcher: StudyWatcher,
    *,
    begun: bool,
) -> Forecast:
    """The forecast after timing one network, if this machine was not timed yet and the budget has the time.

    The watcher is told if that took longer than a share of the budget, and was stopped.
    """
    # A study that was begun has its plan.
    if begun or forecast.profile.is_timed or budget < MIN_MEASURED_BUDGET_SECONDS:
        return forecast
    base = default_run(find_network(candidate.name), candidate.size or 0, data, weights, seed=0)
    watcher.counted(f"timing {base.candidate} on this machine, once", 0, 0)
    limit = TIMING_SHARE * budget
    was_timed, profile = time_network(base, forecast.threads, limit), read_profile()
    if not was_timed and not profile.observations:
        watcher.noted(
            f"{base.candidate} was not timed, because that took longer than {limit:.0f} s: the paces of the plan are"
            " assumed until runs have measured them"
        )
    elif not was_timed:
        watcher.noted(f"other precisions and XLA are not used, because trying them took longer than {limit:.0f} s")
        keep_variant(Variant())  # else every study would try them
    elif profile.device.gpus and profile.variant is None:
        watcher.noted(f"TensorFlow does not find {', '.join(profile.device.gpus)}, so runs are done on the CPU")
    return Forecast(profile, forecast.threads)


def _sizes_by_pace(budget: float, dataset: Dataset, forecast: Forecast) -> Callable[[Backbone, int], int]:
    """The input size of a network for a budget, by the pace of this machine."""
    alone = forecast.for_stage(1)  # as the winner is trained

    def choose(spec: Backbone, side: int) -> int:
        seconds, images = USUAL_TRAINING_SHARE * budget, dataset.counts["train"]
        return choose_size(spec, side, seconds=seconds, images=images, forecast=alone)

    return choose
