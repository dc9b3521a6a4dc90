"""What every command needs before it trains: the data as shards, a comparison of their splits, and weights that fit."""

import importlib.util
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bakeoff.data.checks import MIN_SIDE_PIXELS, Deadline, find_alike, find_leaks, note_edits, read_edits, warn_of_leaks
from bakeoff.data.shards import Dataset, open_dataset, prepare, prepare_cached
from bakeoff.data.sources import OnCount, open_source
from bakeoff.download import is_offline
from bakeoff.errors import DataError, InputError, WeightsError
from bakeoff.launch import check_weights
from bakeoff.networks.backbone import Backbone
from bakeoff.networks.find import find_network, is_known, is_plugin
from bakeoff.networks.plugin import forget_plugins
from bakeoff.networks.weights import Downloads, hint_to_get_weights, is_given, locate_weights
from bakeoff.report.board import format_seconds
from bakeoff.runs.config import Candidate, Data, FolderLayout, WeightsChoice
from bakeoff.runs.record import RunRecord
from bakeoff.study.defaults import find_missing
from bakeoff.study.watcher import StudyWatcher

__all__ = [
    "NO_TENSORFLOW",
    "SplitFindings",
    "check_given_weights",
    "check_splits",
    "fetch_missing",
    "plan_downloads",
    "prepare_again",
    "prepare_data",
    "provide_networks",
    "provide_weights",
    "require_tensorflow",
    "require_weights",
    "start_downloads",
]

NO_TENSORFLOW = "TensorFlow is not installed; run pip install 'bakeoff[cpu]', or 'bakeoff[gpu]' where there is a GPU"

# How often the bars of downloads move.
POLL_SECONDS = 0.2

_log = logging.getLogger("bakeoff")


def require_tensorflow() -> None:
    """Raise InputError at once, instead of in every worker, where TensorFlow is not installed."""
    if importlib.util.find_spec("tensorflow") is None:
        raise InputError(NO_TENSORFLOW)


def provide_networks(names: Sequence[str], on_count: OnCount) -> None:
    """Look at the networks of the user's own that are new or were edited, each in a process of its own.

    Raises ConfigError if one cannot be used.
    """
    forget_plugins()
    for name in filter(is_plugin, dict.fromkeys(names)):
        if not is_known(name):
            require_tensorflow()
            on_count(f"looking at {name}", 0, 0)
        find_network(name)


def prepare_data(
    data: Data, data_dir: Path | None = None, on_count: OnCount | None = None, out: Path | None = None
) -> tuple[Path, Dataset]:
    """Write the shards of some data, unless they are there.

    Args:
        data: The images and classes.
        data_dir: Where archives are; else `$BAKEOFF_DATA_DIR`, else the cache.
        on_count: Called with (doing, done, total) on the way; a total of 0 means unknown.
        out: Folder for the shards; the cache if not given.

    Returns:
        The folder of the shards, and the view of the classes that were asked for.

    Raises:
        DataError: The images or classes cannot be used.
        InputError: TensorFlow is not installed.
    """
    require_tensorflow()
    edits = read_edits(data)
    if out is None:
        out = prepare_cached(data, data_dir, edits=edits, on_count=on_count)
    else:
        prepare(open_source(data, data_dir, on_count), out, edits=edits, on_count=on_count)
    dataset = open_dataset(out, data.classes, data.seed, data.fit)
    dataset = replace(dataset, more_notes=note_edits(data, edits, dataset.manifest))
    for warning in dataset.manifest.warnings:
        _log.warning("%s: %s", dataset.name, warning)
    for note in dataset.notes:
        _log.info("%s: %s", dataset.name, note)
    for bad in dataset.manifest.quarantined:
        _log.warning("%s: left out: %s: %s", dataset.name, bad.key, bad.reason)
    return out, dataset


def prepare_again(
    record: RunRecord, data_dir: Path | None = None, on_count: OnCount | None = None
) -> tuple[Path, Dataset]:
    """Write the shards of the data of a run, unless they are there.

    Folders of which some are called like splits were all read as classes before that was refused: those of a run of
    that time are read as they were.

    Args:
        record: The run.
        data_dir: As of `prepare_data`, as are `on_count`, what is returned, and the errors.
        on_count: Called on the way.
    """
    view = record.view
    try:
        return prepare_data(view, data_dir, on_count)
    except DataError:
        as_then = view.model_copy(update={"layout": FolderLayout.CLASSES})
        if view.layout is FolderLayout.AUTO and (found := _prepare_if_same(as_then, record, data_dir, on_count)):
            return found
        raise


def _prepare_if_same(
    data: Data, record: RunRecord, data_dir: Path | None, on_count: OnCount | None
) -> tuple[Path, Dataset] | None:
    """The shards of some data, if these are the data of a run."""
    try:
        shards, dataset = prepare_data(data, data_dir, on_count)
    except InputError:
        return None
    return (shards, dataset) if dataset.fingerprint == record.data.fingerprint else None


class SplitFindings(NamedTuple):
    """What a comparison of the splits found before training, for the terminal and the report."""

    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check_splits(
    dataset: Dataset, watcher: StudyWatcher, *, folded: bool = False, seconds: float = math.inf
) -> SplitFindings:
    """Look for validation and test images that are nearly the same as training images, and tell the watcher.

    Takes about ten seconds at most, once for the same data.

    Args:
        dataset: The prepared data.
        watcher: Told what is found.
        folded: Whether training and validation images will be divided into folds: then they are compared with each
            other too, so that the first run need not do it.
        seconds: Wall-clock seconds after which each of the two searches is stopped.

    Raises:
        DataError: A shard is damaged.
    """
    if folded:
        find_alike(dataset, watcher.counted, deadline=Deadline(seconds))
    leaks = find_leaks(dataset, watcher.counted, deadline=Deadline(seconds))
    warnings = (warning,) if (warning := warn_of_leaks(dataset, leaks)) else ()
    for warning in warnings:
        watcher.warned(warning)
    if leaks is not None or dataset.side < MIN_SIDE_PIXELS:
        return SplitFindings(warnings)
    note = (
        "test and validation images that are nearly the same as training images were not searched for, because that"
        f" would take {'long' if math.isinf(seconds) else f'more than {format_seconds(seconds)}'};"
        " `bakeoff data check` does"
    )
    watcher.noted(note)
    return SplitFindings(warnings, (note,))


def require_weights(failed: Mapping[str, str], networks: Sequence[Backbone]) -> None:
    """Raise WeightsError if the weights of a network cannot be had.

    Args:
        failed: By name of a network: why not.
        networks: The networks that are needed.
    """
    for spec in networks:
        if why := failed.get(spec.name):
            raise WeightsError(f"cannot download the weights of {spec.name} ({why}); {hint_to_get_weights(spec)}")


def fetch_missing(networks: Sequence[Backbone], on_count: OnCount, limit_bytes: float = math.inf) -> None:
    """Download the pretrained weights of networks, and wait for all of them.

    Args:
        networks: Networks whose weights are not on this machine.
        on_count: Called with (what is being done, bytes done, bytes in all).
        limit_bytes: Bytes that may be downloaded.

    Raises:
        WeightsError: The weights of a network cannot be had.
        OutputError: The disk is full.
    """
    downloads = Downloads(networks, limit_bytes, on_count)
    require_weights(downloads.failed, networks)
    downloads.start()
    try:
        while downloads.pending and not downloads.failed:
            downloads.wait(POLL_SECONDS)
        if downloads.disk_error:
            raise downloads.disk_error
        require_weights(downloads.failed, networks)
    finally:
        downloads.stop()


def provide_weights(
    candidates: Sequence[Candidate], weights: WeightsChoice, on_count: OnCount, limit_bytes: float = math.inf
) -> None:
    """Download the pretrained weights that are missing, and check the files that the user has given.

    Raises WeightsError if weights cannot be had, or if a file does not fit its network.
    """
    fetch_missing(find_missing(candidates, weights), on_count, limit_bytes)
    check_given_weights(candidates, weights, on_count)


def plan_downloads(
    candidates: Sequence[Candidate],
    weights: WeightsChoice,
    on_count: OnCount,
    limit_bytes: float,
    *,
    required: Collection[str] = (),
) -> Downloads:
    """The downloads of the pretrained weights that are missing; none is started, and no server is asked.

    Args:
        candidates: The candidates.
        weights: The weights that were asked for.
        on_count: Called with (what is being done, bytes done, bytes in all).
        limit_bytes: Bytes that may be downloaded; what is over it is left out.
        required: The networks that somebody asked for by name: it is an error if downloads are off.

    Raises:
        WeightsError: Weights that are required cannot be had, or none that is missing where nothing else is left.
    """
    missing = find_missing(candidates, weights)
    downloads = Downloads(missing, limit_bytes, on_count)
    if len(downloads.failed) == len({candidate.name for candidate in candidates}):
        require_weights(downloads.failed, missing)
    if is_offline():
        require_weights(downloads.failed, [spec for spec in missing if spec.name in required])
    return downloads


def start_downloads(downloads: Downloads, *, required: Collection[str] = ()) -> None:
    """Start downloads; the weights arrive while other candidates are screened.

    Args:
        downloads: What is to be downloaded.
        required: The networks that somebody asked for by name: it is an error if the server does not answer.

    Raises:
        WeightsError: Weights that are required cannot be had.
        OutputError: The disk is full.
    """
    # What is over the limit is left out.
    asked_for = [find_network(name) for name in downloads.pending if name in required]
    downloads.start()
    try:
        while asked_for and not downloads.has_begun:
            downloads.wait(POLL_SECONDS)
        if asked_for and downloads.disk_error:
            raise downloads.disk_error
        require_weights(downloads.refused, asked_for)
    except BaseException:
        downloads.stop()
        raise


def check_given_weights(candidates: Sequence[Candidate], weights: WeightsChoice, on_count: OnCount) -> None:
    """Check the weight files that somebody has given, imported ones too. Raises WeightsError if one does not fit."""
    for candidate in candidates:
        spec = find_network(candidate.name)
        wanted = weights.of(spec.name)
        if is_given(spec, wanted):
            on_count(f"checking the weights of {spec.name}", 0, 0)
            path = locate_weights(spec, wanted).path
            check_weights(spec, candidate.size or spec.native_size, path, partial=weights.partial)
