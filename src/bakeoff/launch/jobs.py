"""What is done once for a study, in a process of its own on this machine: test split, bundle, weights to download."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from bakeoff.backbones import Backbone
from bakeoff.errors import BakeoffError, InputError, WeightsError
from bakeoff.files import clear_left, make_dir
from bakeoff.launch.process import LOG, OnEvent, Worker
from bakeoff.runs import RunRecord, read_record
from bakeoff.weights import how_to_mend, hub_path

__all__ = ["export_bundle", "fetch_weights", "open_test"]


def open_test(folder: Path, data: Path, on_event: OnEvent | None = None, *, bundle: Path | None = None) -> RunRecord:
    """Open the locked test split for a finished run, in a process of its own, which can also write the bundle.

    Raises BakeoffError if that fails.
    """
    _must_work("test", [folder, data, *([bundle] if bundle else [])], folder / LOG, on_event)
    return read_record(folder)


def export_bundle(
    folder: Path, data: Path, bundle: Path, kind: Sequence[str] = (), on_event: OnEvent | None = None
) -> None:
    """Write a finished run's bundle, in a process of its own. Raises BakeoffError if that fails.

    `kind` is a format, and how it is quantised; where one is given, the model is tried out as well.
    """
    try:
        _must_work("bundle", [folder, data, bundle, *kind], folder / LOG, on_event)
    finally:
        # A worker that is ended has no time to clear up.
        clear_left(bundle.absolute().parent)


def fetch_weights(row: Backbone, on_event: OnEvent | None = None) -> None:
    """Download a network's weights with Keras, which checks their hash, into Keras' cache: all of it or nothing.

    Raises WeightsError if that fails; a network that does not answer takes seconds to give up.
    """
    target = hub_path(row)
    if target is None:
        raise WeightsError(f"Keras has no weights of {row.name} to download")
    make_dir(target.parent)
    # Keras writes under the final name from the first byte on, so it is given a cache of its own to write in.
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as home:
        worker = Worker("fetch", [row.name, target], Path(home) / LOG, {"KERAS_HOME": home})
        ended = worker.follow(on_event=on_event)
        if reason := ended.mend or ended.failure:
            raise WeightsError(f"cannot download the weights of {row.name} ({reason}); {how_to_mend(row)}")


def _must_work(job: str, arguments: Sequence[str | Path], log: Path, on_event: OnEvent | None) -> None:
    ended = Worker(job, arguments, log).follow(on_event=on_event)
    if ended.mend:
        raise InputError(ended.mend)
    if ended.failure:
        raise BakeoffError(f"{ended.failure}; see {log}")
