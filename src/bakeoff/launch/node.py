"""One attempt at a run on a node: fetch missing files, train in a temporary folder, send updates to the coordinator.

Shards and weights are kept in the node's cache under their hashes, so each file is sent once. Files in a folder that
the node shares with the coordinator are not sent: if their hash is right, shards are used there and weights are copied.
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
from bakeoff.errors import BakeoffError, DataError, InputError
from bakeoff.files import PARTIAL, cache_dir, hash_file, make_dir, replacing
from bakeoff.launch.messages import AttemptRequest, AttemptUpdate, FileRef, store_files
from bakeoff.launch.process import Ended, Worker
from bakeoff.locks import waiting_for
from bakeoff.machine import thread_environment
from bakeoff.networks.hub import find_folder, hash_preset, unpack_preset
from bakeoff.networks.plugin import unpack_plugin
from bakeoff.networks.weights import PRESET, sent_weights_dir
from bakeoff.runs.events import RunProgress
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.record import RunRecord, write_record
from bakeoff.variables import CHECKPOINT_SECONDS

__all__ = ["attempt"]

Fetch = Callable[[FileRef], Iterable[bytes] | None]
"""The chunks of a file, or None if the coordinator has not sent it."""

# How often the worker's end is checked.
POLL_SECONDS = 0.2
# Progress within one step is sent at most this often.
EVENT_INTERVAL_SECONDS = 0.5
# Checkpoints are large, so they are sent at most this often.
CHECKPOINT_INTERVAL_SECONDS = 60.0
# The end of the log that is sent back.
MAX_LOG_BYTES = 2**20
_LOG, _CHECKPOINT = RunFolder(Path()).log.name, RunFolder(Path()).checkpoint.name


def attempt(request: AttemptRequest, fetch: Fetch) -> Iterator[AttemptUpdate]:
    """Make one attempt at a run, and yield its updates. The last one says how it ended.

    Args:
        request: The run, and the files that it needs.
        fetch: Returns the chunks of a file that the coordinator has sent.

    Yields:
        Updates; or, if files are missing, a single update that lists them.
    """
    try:
        yield from _attempt(request, fetch)
    except (BakeoffError, OSError) as error:
        yield AttemptUpdate(ended=Ended(input_error=f"on node {socket.gethostname()}: {error}"))


def _attempt(request: AttemptRequest, fetch: Fetch) -> Iterator[AttemptUpdate]:
    if missing := tuple(file_ref for file_ref in _files_to_fetch(request) if fetch(file_ref) is None):
        yield AttemptUpdate(missing=missing)
        return
    data = _fetch_data(request, fetch)
    if request.weights:
        _fetch_weights(request.weights, fetch)
        if request.record.weights.origin == PRESET:
            _unpack(request.weights, request.record)
    with tempfile.TemporaryDirectory(prefix="bakeoff-") as temporary:
        folder = make_dir(run_dir(Path(temporary), request.record.id))
        store_files(folder, request.files)
        write_record(folder, request.record)
        yield from _train(request, folder, data)


def _train(request: AttemptRequest, folder: Path, data: Path) -> Iterator[AttemptUpdate]:
    """Start a worker process as on any machine, and yield its events and new files until it ends."""
    interval = float(request.environment.get(CHECKPOINT_SECONDS.name, CHECKPOINT_INTERVAL_SECONDS))
    unsent = _UnsentFiles(folder, interval)
    environment = thread_environment(request.threads) | dict(request.environment)
    if request.record.plugin:
        environment |= unpack_plugin(request.record.plugin, request.plugin_files)
    worker = Worker("run", [folder, data, str(time.monotonic())], folder / _LOG, environment)
    reports: queue.SimpleQueue[RunProgress | Ended] = queue.SimpleQueue()

    def on_progress(event: RunProgress) -> None:
        reports.put(event)

    thread = threading.Thread(target=lambda: reports.put(worker.follow(request.limit, on_progress)), daemon=True)
    thread.start()
    pending: RunProgress | None = None
    step_sent: tuple[str, int] | None = None
    next_event = 0.0
    try:
        while True:
            try:
                report = reports.get(timeout=POLL_SECONDS)
            except queue.Empty:
                report = None
            if isinstance(report, Ended):
                if pending:
                    yield AttemptUpdate(pending)
                yield AttemptUpdate(files=unsent.take_rest(report), ended=report)
                return
            pending = report or pending
            step = (pending.doing, pending.evaluations) if pending else None
            if pending and (step != step_sent or time.monotonic() >= next_event):
                mark_used(data)
                yield AttemptUpdate(pending, unsent.take_changed())
                pending, step_sent, next_event = None, step, time.monotonic() + EVENT_INTERVAL_SECONDS
    finally:
        worker.kill()
        thread.join()


class _UnsentFiles:
    """The files of a run's folder that the coordinator does not have yet."""

    def __init__(self, folder: Path, checkpoint_seconds: float) -> None:
        self._folder, self._checkpoint_seconds = folder, checkpoint_seconds
        self._sent = {path.name: _stamp(path) for path in folder.iterdir()}
        # A short run sends no checkpoint.
        self._next_checkpoint = time.monotonic() + checkpoint_seconds

    def take_changed(self) -> dict[str, bytes]:
        """Complete files that are new or have changed, by name; a checkpoint only once per interval."""
        files = dict[str, bytes]()
        for path in self._find_changed():
            if path.name == _CHECKPOINT:
                if time.monotonic() < self._next_checkpoint:
                    continue
                self._next_checkpoint = time.monotonic() + self._checkpoint_seconds
            files |= self._take(path)
        return files

    def take_rest(self, ended: Ended) -> dict[str, bytes]:
        """The files that are left at the end, with the log; the checkpoint only after a failure, to continue from."""
        files = dict[str, bytes]()
        for path in self._find_changed():
            if path.name != _CHECKPOINT or ended.failure:
                files |= self._take(path)
        return files | {_LOG: (self._folder / _LOG).read_bytes()[-MAX_LOG_BYTES:]}

    def _find_changed(self) -> Iterator[Path]:
        for path in sorted(self._folder.iterdir()):
            if path.name == _LOG or path.name.startswith(PARTIAL):
                continue
            with contextlib.suppress(FileNotFoundError):  # it has just been replaced, or deleted as damaged
                if _stamp(path) != self._sent.get(path.name):
                    yield path

    def _take(self, path: Path) -> dict[str, bytes]:
        """The file by its name; nothing if the worker has just deleted it, as it does with a checkpoint at its end."""
        with contextlib.suppress(FileNotFoundError):
            stamp, content = _stamp(path), path.read_bytes()
            self._sent[path.name] = stamp
            return {path.name: content}
        return {}


def _stamp(path: Path) -> tuple[int, int]:
    """Time of the last change and size: they tell whether a file has changed."""
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_size


def _files_to_fetch(request: AttemptRequest) -> Iterator[FileRef]:
    """The files that are neither in this node's cache nor in a shared folder."""
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
    """Whether the coordinator's file is on this machine, too. Checked once per process: shards may be large."""
    path = Path(file_ref.path)
    return path.is_file() and path.stat().st_size == file_ref.bytes and hash_file(path) == file_ref.sha256


def _fetch_data(request: AttemptRequest, fetch: Fetch) -> Path:
    """Fetch the shards if they are not on this machine, and return their folder."""
    folder = _data_dir(request)
    mark_used(folder)
    with waiting_for(folder):
        if not _has_data(request):
            if _shares_data(request):
                return Path(request.manifest.path).parent
            with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=make_dir(folder.parent)) as temporary:
                whole = make_dir(Path(temporary) / "whole")
                for file_ref in (*request.shards, request.manifest):
                    _write_file(file_ref, whole / Path(file_ref.path).name, fetch)
                shutil.rmtree(folder, ignore_errors=True)
                whole.rename(folder)
    return folder


def _weights_path(file_ref: FileRef) -> Path:
    return sent_weights_dir(file_ref.sha256) / Path(file_ref.path).name


def _fetch_weights(file_ref: FileRef, fetch: Fetch) -> None:
    """Fetch a weights file into this node's cache if it is not there."""
    path = _weights_path(file_ref)
    mark_used(path.parent)
    with waiting_for(path.parent):
        if not path.is_file():
            _write_file(file_ref, path, fetch)


def _unpack(file_ref: FileRef, record: RunRecord) -> None:
    """Unpack a preset that was sent, unless it is on this machine."""
    name, path = record.config.model.name, _weights_path(file_ref)
    with waiting_for(path.parent):
        try:
            known = find_folder(name) is not None and hash_preset(name) == record.weights.hash
        except InputError:  # an older one, or none under this name
            known = False
        if not known:
            unpack_preset(path, name)
            if hash_preset(name) != record.weights.hash:
                raise DataError(f"{find_folder(name)} differs from the preset of the study; rename one of them")


def _write_file(file_ref: FileRef, path: Path, fetch: Fetch) -> None:
    """Write a file that was sent, or copy it from a shared folder. Raises DataError if its hash is wrong."""
    chunks = fetch(file_ref)
    digest = hashlib.sha256()
    with replacing(path) as temporary, temporary.open("wb") as file:
        if chunks is None:
            with Path(file_ref.path).open("rb") as shared:
                shutil.copyfileobj(shared, file)
        else:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
        file.flush()
        if (digest.hexdigest() if chunks is not None else hash_file(temporary)) != file_ref.sha256:
            raise DataError(
                f"{file_ref.path} was damaged on its way to this node: its SHA-256 is wrong; prepare the data again"
            )
