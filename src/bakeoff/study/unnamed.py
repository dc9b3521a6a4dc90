"""The candidates of a study that names none: the default field for its data, its budget and this machine."""

import math
from collections.abc import Iterable, Mapping
from functools import partial

from bakeoff.data.shards import Dataset
from bakeoff.download import is_offline
from bakeoff.networks.backbone import Backbone
from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE
from bakeoff.networks.weights import is_available_locally, needs_download
from bakeoff.runs.config import Candidate, WeightsChoice
from bakeoff.runs.default_field import DefaultField
from bakeoff.study.compare import RUNS_SHARE, least_seconds
from bakeoff.study.default_field import MAX_NETWORKS, Availability, Terms, choose_field
from bakeoff.study.defaults import default_size
from bakeoff.study.forecast import Forecast
from bakeoff.study.planning import USUAL_TRAINING_SHARE, begin_screen, limit_screen

__all__ = [
    "find_availability",
    "first_at_hand",
    "unnamed_for_comparison",
    "unnamed_for_job",
]

# The length of a comparison by which slow networks are judged, if it has no limit of time.
USUAL_COMPARISON_SECONDS = 600.0


def find_availability(weights: WeightsChoice) -> dict[str, Availability]:
    """Whether the pretrained weights of each network that can be a candidate by default can be had.

    With `--weights none` that are only the networks whose weights are given by name.
    """
    networks = TABLE if weights.default == "auto" else ()
    found = {network.name: _find(network) for network in networks if not network.from_scratch}
    return found | dict.fromkeys(weights.named, Availability.AT_HAND)


def _find(network: Backbone) -> Availability:
    if is_available_locally(network):
        return Availability.AT_HAND
    if not needs_download(network):
        return Availability.NOT_INSTALLED
    return Availability.OFFLINE if is_offline() else Availability.DOWNLOAD


def _networks(available: Iterable[str]) -> list[Backbone]:
    scratch = (network for network in TABLE if network.from_scratch)
    return list(dict.fromkeys((*map(find_network, available), *scratch)))


def _required(weights: WeightsChoice) -> list[str]:
    return [name for name in weights.named if not find_network(name).from_scratch]


def first_at_hand(available: Mapping[str, Availability]) -> Candidate:
    """The smallest network with pretrained weights on this machine, else the smallest one from scratch."""
    here = [
        network
        for network in _networks(available)
        if network.from_scratch or available[network.name] is Availability.AT_HAND
    ]
    return Candidate(name=min(here, key=lambda each: (each.from_scratch, each.params_total)).name)


def unnamed_for_job(
    budget: float,
    dataset: Dataset,
    weights: WeightsChoice,
    forecast: Forecast,
    available: Mapping[str, Availability],
    *,
    spent: float = 0.0,
    slots: int = 1,
    download_limit: float = 0,
) -> DefaultField:
    """The default field of a whole job: as many networks as there is time to screen.

    Args:
        budget: Wall-clock seconds of the job.
        dataset: The prepared data.
        weights: The weights that were asked for.
        forecast: The time that runs take on this machine.
        available: Whether the weights of networks can be had; others are no candidates.
        spent: Seconds of the budget that are used already.
        slots: Runs side by side.
        download_limit: Bytes that may be downloaded.
    """
    screen = begin_screen(budget, forecast, weights, dataset.counts, len(dataset.class_names))
    seconds = limit_screen(budget, spent)
    terms = Terms(
        available=available,
        side=dataset.largest_side,
        images=dataset.counts["train"],
        forecast=forecast.for_stage(1),
        seconds=seconds,
        price=screen.least_seconds,
        slots=slots,
        training_seconds=USUAL_TRAINING_SHARE * budget,
        download_limit=download_limit,
        download_seconds=seconds,
    )
    return choose_field(_networks(available), terms, _required(weights))


def unnamed_for_comparison(
    budget: float | None,
    dataset: Dataset,
    weights: WeightsChoice,
    forecast: Forecast,
    available: Mapping[str, Availability],
    *,
    slots: int = 1,
    download_limit: float = 0,
) -> DefaultField:
    """The default field of a comparison: as many networks as can train for a while in the time that they share.

    Args:
        budget: Wall-clock seconds of the comparison; None for no limit.
        dataset: The prepared data.
        weights: The weights that were asked for.
        forecast: The time that runs take on this machine.
        available: Whether the weights of networks can be had; others are no candidates.
        slots: Runs side by side.
        download_limit: Bytes that may be downloaded.
    """
    seconds = math.inf if budget is None else RUNS_SHARE * budget
    terms = Terms(
        available=available,
        side=dataset.largest_side,
        images=dataset.counts["train"],
        forecast=forecast,
        seconds=seconds,
        price=partial(least_seconds, forecast=forecast),
        slots=slots,
        training_seconds=RUNS_SHARE * (budget or USUAL_COMPARISON_SECONDS) / MAX_NETWORKS,
        sizes=lambda network, side: (default_size(network, side),),
        download_limit=download_limit,
        download_seconds=seconds,
        waits=False,
    )
    return choose_field(_networks(available), terms, _required(weights))
