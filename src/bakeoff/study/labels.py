"""Scores for the search of suspicious labels, and how long they take here."""

from pathlib import Path

from bakeoff.data.checks import HeldOut
from bakeoff.data.shards import Dataset
from bakeoff.data.sources import OnCount
from bakeoff.launch import score_held_out
from bakeoff.networks.backbone import Backbone
from bakeoff.networks.find import find_network
from bakeoff.runs.config import Candidate, Data, Mode, WeightsChoice
from bakeoff.runs.events import RunProgress
from bakeoff.study.defaults import default_run, default_size
from bakeoff.study.forecast import Forecast

__all__ = ["UNASKED_SECONDS", "forecast_labels", "score_labels"]

# A check of the data searches for suspicious labels unasked if that takes no longer.
UNASKED_SECONDS = 120.0

# Its weights come with bakeoff, so the search needs no download.
NETWORK = "efficientnet-lite0"
# Heads that are fitted: one for each fold, and one for the test split.
HEADS = 6


def forecast_labels(dataset: Dataset, forecast: Forecast) -> float:
    """Wall-clock seconds that `score_labels` takes for features that are not in the cache."""
    images, candidate = sum(dataset.counts.values()), _candidate(dataset)
    heads = forecast.fitting(candidate, HEADS, images, len(dataset.class_names))
    return forecast.overhead(candidate, Mode.PROBE) + forecast.scoring(candidate, images) + heads


def score_labels(data: Data, shards: Path, dataset: Dataset, on_count: OnCount) -> HeldOut:
    """Score the images of all splits, each by a linear head on frozen features that has not seen it.

    Args:
        data: The classes of the view, and how images become square.
        shards: The folder of the shards.
        dataset: The view.
        on_count: Called with (doing, done, total) on the way.

    Raises:
        InputError: The data cannot be used.
        BakeoffError: The process failed.
    """
    candidate = _candidate(dataset)
    run = default_run(_spec(), candidate.size or 0, data, WeightsChoice(), seed=0)

    def count(event: RunProgress) -> None:
        on_count(f"searching suspicious labels: {event.doing}", round(1000 * event.fraction), 1000)

    probe = run.revised(model={"unfreeze": 0.0}, train={"mode": Mode.PROBE, "epochs": None})
    return score_held_out(probe, shards, count)


def _candidate(dataset: Dataset) -> Candidate:
    return Candidate(name=NETWORK, size=default_size(_spec(), dataset.largest_side))


def _spec() -> Backbone:
    return find_network(NETWORK)
