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
from bakeoff.errors import BakeoffError, DataError
from bakeoff.files import PARTIAL, cache_dir, hash_file, make_dir, replacing
from bakeoff.launch.messages import AttemptRequest, AttemptUpdate, FileRef, keep
from bakeoff.launch.process import Ended, Worker
from bakeoff.locks import waiting_for
from bakeoff.machine import limit_threads
from bakeoff.networks.weights import sent_weights_dir
from bakeoff.runs.events import RunProgress
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.record import write_record

__all__ = ["attempt"]

Fetch = Callable[[FileRef], Iterable[bytes] | None]
"""The pieces of a file, or None if the driver has not sent it."""

# Seconds between two looks, two events on which nothing depends, and two checkpoints.
LOOK, PAUSE, CHECKPOINTS = 0.2, 0.5, 60.0
_LOG, _CHECKPOINT = RunFolder(Path()).log.name, RunFolder(Path()).checkpoint.name
# Bytes of a log that are brought back.
MOST_LOGGED = 2**20


def attempt(request: AttemptRequest, fetch: Fetch) -> Iterator[AttemptUpdate]:
    """Everything that happens in one attempt at a run; if something is missing for it, that alone."""
    try:
        yield from _attempt(request, fetch)
    except (BakeoffError, OSError) as error:
        yield AttemptUpdate(ended=Ended(mend=f"on node {socket.gethostname()}: {error}"))


def _attempt(request: AttemptRequest, fetch: Fetch) -> Iterator[AttemptUpdate]:
    if missing := tuple(file_ref for file_ref in _lacking(request) if fetch(file_ref) is None):
        yield AttemptUpdate(missing=missing)
        return
    data = _settle_data(request, fetch)
    if request.weights:
        _settle_weights(request.weights, fetch)
    with tempfile.TemporaryDirectory(prefix="bakeoff-") as scratch:
        folder = make_dir(run_dir(Path(scratch), request.record.id))
        keep(folder, request.files)
        write_record(folder, request.record)
        yield from _work(request, folder, data)


def _work(request: AttemptRequest, folder: Path, data: Path) -> Iterator[AttemptUpdate]:
    """The same worker process as anywhere, and what it leaves while it works."""
    outbox = _Outbox(folder, float(request.environment.get("BAKEOFF_CHECKPOINT_SECONDS", CHECKPOINTS)))
    environment = limit_threads(request.threads) | dict(request.environment)
    worker = Worker("run", [folder, data], folder / _LOG, environment)
    told: queue.SimpleQueue[RunProgress | Ended] = queue.SimpleQueue()

    def hear(event: RunProgress) -> None:
        told.put(event)

    thread = threading.Thread(target=lambda: told.put(worker.follow(request.limit, hear)), daemon=True)
    thread.start()
    pending: RunProgress | None = None
    passed_on: tuple[str, int] | None = None
    next_event = 0.0
    try:
        while True:
            try:
                update = told.get(timeout=LOOK)
            except queue.Empty:
                update = None
            if isinstance(update, Ended):
                if pending:
                    yield AttemptUpdate(pending)
                yield AttemptUpdate(files=outbox.rest(update), ended=update)
                return
            pending = update or pending
            step = (pending.doing, pending.evaluations) if pending else None
            if pending and (step != passed_on or time.monotonic() >= next_event):
                yield AttemptUpdate(pending, outbox.changed())
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
            if path.name == _CHECKPOINT:
                if time.monotonic() < self._next_checkpoint:
                    continue
                self._next_checkpoint = time.monotonic() + self._pause
            files[path.name] = self._take(path)
        return files

    def rest(self, ended: Ended) -> dict[str, bytes]:
        """What is new at the end, with the log; the checkpoint where the run may go on from it."""
        files = {path.name: self._take(path) for path in self._new() if path.name != _CHECKPOINT or ended.failure}
        return files | {_LOG: (self._folder / _LOG).read_bytes()[-MOST_LOGGED:]}

    def _new(self) -> Iterator[Path]:
        for path in sorted(self._folder.iterdir()):
            if path.name == _LOG or path.name.startswith(PARTIAL):
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


def _lacking(request: AttemptRequest) -> Iterator[FileRef]:
    """What this node has nowhere."""
    if not _has_data(request) and not _shares_data(request):
        yield from (request.manifest, *request.shards)
    if request.weights and not _weights_path(request.weights).is_file() and not _is_shared(request.weights):
        yield request.weights


def _data_dir(request: AttemptRequest) -> Path:
    return cache_dir() / "data" / f"sent-{request.manifest.sha256[:12]}"


def _has_data(request: AttemptRequest) -> bool:
    folder = _data_dir(request)
    return all((folder / Path(file_ref.path).name).is_file() for file_ref in (request.manifest, *request.shards))


def _shares_data(request: AttemptRequest) -> bool:
    return all(map(_is_shared, (request.manifest, *request.shards)))


@functools.cache
def _is_shared(file_ref: FileRef) -> bool:
    """Whether the driver's file is here too; looked at once in a process, for shards may be large."""
    path = Path(file_ref.path)
    return path.is_file() and path.stat().st_size == file_ref.bytes and hash_file(path) == file_ref.sha256


def _settle_data(request: AttemptRequest, fetch: Fetch) -> Path:
    """The folder of the shards, which are fetched unless they are here."""
    folder = _data_dir(request)
    with waiting_for(folder):
        if not _has_data(request):
            if _shares_data(request):
                return Path(request.manifest.path).parent
            with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=folder.parent) as temporary:
                whole = make_dir(Path(temporary) / "whole")
                for file_ref in (*request.shards, request.manifest):
                    _receive(file_ref, whole / Path(file_ref.path).name, fetch)
                shutil.rmtree(folder, ignore_errors=True)
                whole.rename(folder)
    mark_used(folder)
    return folder


def _weights_path(file_ref: FileRef) -> Path:
    return sent_weights_dir(file_ref.sha256) / Path(file_ref.path).name


def _settle_weights(file_ref: FileRef, fetch: Fetch) -> None:
    path = _weights_path(file_ref)
    with waiting_for(path.parent):
        if not path.is_file():
            _receive(file_ref, path, fetch)
    mark_used(path.parent)


def _receive(file_ref: FileRef, path: Path, fetch: Fetch) -> None:
    """Write a file that is shared or was sent. Raises DataError if it is another one than was meant."""
    pieces = fetch(file_ref)
    digest = hashlib.sha256()
    with replacing(path) as temporary, temporary.open("wb") as file:
        if pieces is None:
            with Path(file_ref.path).open("rb") as shared:
                shutil.copyfileobj(shared, file)
        else:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)
        file.flush()
        if (digest.hexdigest() if pieces is not None else hash_file(temporary)) != file_ref.sha256:
            raise DataError(
                f"{file_ref.path} came damaged to this node: its SHA-256 is another; prepare the data again"
            )
