"""What is done once for a study, in a process of its own on this machine: test split, bundle, weights to download."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from bakeoff.errors import BakeoffError, InputError, WeightsError
from bakeoff.files import make_dir
from bakeoff.launch.process import Worker
from bakeoff.locks import clear_left
from bakeoff.networks.table import NetworkSpec
from bakeoff.networks.weights import how_to_mend, hub_path
from bakeoff.runs.events import OnProgress
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.record import RunRecord, read_record

__all__ = ["export_bundle", "fetch_weights", "open_test"]


def open_test(
    folder: Path, data: Path, on_progress: OnProgress | None = None, *, bundle: Path | None = None
) -> RunRecord:
    """Open the locked test split for a finished run, in a process of its own, which can also write the bundle.

    Raises BakeoffError if that fails.
    """
    _must_work("test", [folder, data, *([bundle] if bundle else [])], RunFolder(folder).log, on_progress)
    return read_record(folder)


def export_bundle(
    folder: Path, data: Path, bundle: Path, kind: Sequence[str] = (), on_progress: OnProgress | None = None
) -> None:
    """Write a finished run's bundle, in a process of its own. Raises BakeoffError if that fails.

    `kind` is a format, and how it is quantised; where one is given, the model is tried out as well.
    """
    try:
        _must_work("bundle", [folder, data, bundle, *kind], RunFolder(folder).log, on_progress)
    finally:
        # A worker that is ended has no time to clear up.
        clear_left(bundle.absolute().parent)


def fetch_weights(row: NetworkSpec, on_progress: OnProgress | None = None) -> None:
    """Download a network's weights with Keras, which checks their hash, into Keras' cache: all of it or nothing.

    Raises WeightsError if that fails; a network that does not answer takes seconds to give up.
    """
    target = hub_path(row)
    if target is None:
        raise WeightsError(f"Keras has no weights of {row.name} to download")
    make_dir(target.parent)
    # Keras writes under the final name from the first byte on, so it is given a cache of its own to write in.
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as home:
        worker = Worker("fetch", [row.name, target], RunFolder(Path(home)).log, {"KERAS_HOME": home})
        ended = worker.follow(on_progress=on_progress)
        if reason := ended.mend or ended.failure:
            raise WeightsError(f"cannot download the weights of {row.name} ({reason}); {how_to_mend(row)}")


def _must_work(job: str, arguments: Sequence[str | Path], log: Path, on_progress: OnProgress | None) -> None:
    ended = Worker(job, arguments, log).follow(on_progress=on_progress)
    if ended.mend:
        raise InputError(ended.mend)
    if ended.failure:
        raise BakeoffError(f"{ended.failure}; see {log}")
