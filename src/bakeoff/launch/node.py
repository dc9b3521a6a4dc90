"""An attempt on a node: fetch what it lacks, work in a folder of its own, tell the driver.

Shards and weights are kept in the node's cache under their hashes, so that each comes once. What lies in a folder that
the node shares with the driver is used there, or copied, if its hash is right.
"""

import contextlib
import functools
import hashlib
import queue
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bakeoff.cache import mark_used
from bakeoff.checkpoint import FILE_NAME
from bakeoff.errors import BakeoffError, DataError
from bakeoff.files import PARTIAL, cache_dir, hash_file, make_dir, replacing, waiting_for
from bakeoff.launch.parcel import Blob, News, Order, keep
from bakeoff.launch.process import LOG, Ended, Event, Worker
from bakeoff.runs import run_dir, write_record
from bakeoff.runtime import limit_threads
from bakeoff.weights import sent_weights_dir

__all__ = ["attempt"]

Fetch = Callable[[Blob], Iterable[bytes] | None]
"""The pieces of a file, or None if the driver has not sent it."""

# Seconds between two looks, two events on which nothing depends, and two checkpoints.
LOOK, PAUSE, CHECKPOINTS = 0.2, 0.5, 60.0
# Bytes of a log that are brought back.
MOST_LOGGED = 2**20


def attempt(order: Order, fetch: Fetch) -> Iterator[News]:
    """Everything that happens in one attempt at a run; if something is missing for it, that alone."""
    try:
        yield from _attempt(order, fetch)
    except (BakeoffError, OSError) as error:
        yield News(ended=Ended(mend=f"on node {socket.gethostname()}: {error}"))


def _attempt(order: Order, fetch: Fetch) -> Iterator[News]:
    if missing := tuple(blob for blob in _lacking(order) if fetch(blob) is None):
        yield News(missing=missing)
        return
    data = _settle_data(order, fetch)
    if order.weights:
        _settle_weights(order.weights, fetch)
    with tempfile.TemporaryDirectory(prefix="bakeoff-") as scratch:
        folder = make_dir(run_dir(Path(scratch), order.record.id))
        keep(folder, order.files)
        write_record(folder, order.record)
        yield from _work(order, folder, data)


def _work(order: Order, folder: Path, data: Path) -> Iterator[News]:
    """The same worker process as anywhere, and what it leaves while it works."""
    outbox = _Outbox(folder, float(order.environment.get("BAKEOFF_CHECKPOINT_SECONDS", CHECKPOINTS)))
    environment = limit_threads(order.threads) | dict(order.environment)
    worker = Worker("run", [folder, data], folder / LOG, environment)
    told: queue.SimpleQueue[Event | Ended] = queue.SimpleQueue()

    def hear(event: Event) -> None:
        told.put(event)

    thread = threading.Thread(target=lambda: told.put(worker.follow(order.limit, hear)), daemon=True)
    thread.start()
    pending, passed_on, next_event = None, (None, None), 0.0
    try:
        while True:
            try:
                news = told.get(timeout=LOOK)
            except queue.Empty:
                news = None
            if isinstance(news, Ended):
                if pending:
                    yield News(pending)
                yield News(files=outbox.rest(news), ended=news)
                return
            pending = news or pending
            step = (pending["doing"], pending["evaluations"]) if pending else passed_on
            if pending and (step != passed_on or time.monotonic() >= next_event):
                yield News(pending, outbox.changed())
                pending, passed_on, next_event = None, step, time.monotonic() + PAUSE
    finally:
        worker.kill()
        thread.join()


class _Outbox:
    """The files of a run's folder that the driver has not got yet."""

    def __init__(self, folder: Path, pause: float) -> None:
        self._folder, self._pause = folder, pause
        self._sent = {path.name: _stamp(path) for path in folder.iterdir()}
        # A run that is soon over sends none.
        self._next_checkpoint = time.monotonic() + pause

    def changed(self) -> dict[str, bytes]:
        """What is new, whole files only; checkpoints not too often, for they are large."""
        files = {}
        for path in self._new():
            if path.name == FILE_NAME:
                if time.monotonic() < self._next_checkpoint:
                    continue
                self._next_checkpoint = time.monotonic() + self._pause
            files[path.name] = self._take(path)
        return files

    def rest(self, ended: Ended) -> dict[str, bytes]:
        """What is new at the end, with the log; the checkpoint where the run may go on from it."""
        files = {path.name: self._take(path) for path in self._new() if path.name != FILE_NAME or ended.failure}
        return files | {LOG: (self._folder / LOG).read_bytes()[-MOST_LOGGED:]}

    def _new(self) -> Iterator[Path]:
        for path in sorted(self._folder.iterdir()):
            if path.name == LOG or path.name.startswith(PARTIAL):
                continue
            with contextlib.suppress(FileNotFoundError):  # it has just been replaced, or deleted as damaged
                if _stamp(path) != self._sent.get(path.name):
                    yield path

    def _take(self, path: Path) -> bytes:
        self._sent[path.name] = _stamp(path)
        return path.read_bytes()


def _stamp(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_size


def _lacking(order: Order) -> Iterator[Blob]:
    """What this node has nowhere."""
    if not _has_data(order) and not _shares_data(order):
        yield from (order.manifest, *order.shards)
    if order.weights and not _weights_path(order.weights).is_file() and not _is_shared(order.weights):
        yield order.weights


def _data_dir(order: Order) -> Path:
    return cache_dir() / "data" / f"sent-{order.manifest.sha256[:12]}"


def _has_data(order: Order) -> bool:
    folder = _data_dir(order)
    return all((folder / Path(blob.path).name).is_file() for blob in (order.manifest, *order.shards))


def _shares_data(order: Order) -> bool:
    return all(map(_is_shared, (order.manifest, *order.shards)))


@functools.cache
def _is_shared(blob: Blob) -> bool:
    """Whether the driver's file is here too; looked at once in a process, for shards may be large."""
    path = Path(blob.path)
    return path.is_file() and path.stat().st_size == blob.bytes and hash_file(path) == blob.sha256


def _settle_data(order: Order, fetch: Fetch) -> Path:
    """The folder of the shards, which are fetched unless they are here."""
    folder = _data_dir(order)
    with waiting_for(folder.parent / f".{folder.name}.lock"):
        if not _has_data(order):
            if _shares_data(order):
                return Path(order.manifest.path).parent
            with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=folder.parent) as temporary:
                whole = make_dir(Path(temporary) / "whole")
                for blob in (*order.shards, order.manifest):
                    _receive(blob, whole / Path(blob.path).name, fetch)
                shutil.rmtree(folder, ignore_errors=True)
                whole.rename(folder)
    mark_used(folder)
    return folder


def _weights_path(blob: Blob) -> Path:
    return sent_weights_dir(blob.sha256) / Path(blob.path).name


def _settle_weights(blob: Blob, fetch: Fetch) -> None:
    path = _weights_path(blob)
    with waiting_for(path.parents[1] / f".{blob.sha256[:12]}.lock"):
        if not path.is_file():
            _receive(blob, path, fetch)
    mark_used(path.parent)


def _receive(blob: Blob, path: Path, fetch: Fetch) -> None:
    """Write a file that is shared or was sent. Raises DataError if it is another one than was meant."""
    pieces = fetch(blob)
    digest = hashlib.sha256()
    with replacing(path) as temporary, temporary.open("wb") as file:
        if pieces is None:
            with Path(blob.path).open("rb") as shared:
                shutil.copyfileobj(shared, file)
        else:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)
        file.flush()
        if (digest.hexdigest() if pieces is not None else hash_file(temporary)) != blob.sha256:
            raise DataError(f"{blob.path} came damaged to this node: its SHA-256 is another; prepare the data again")
