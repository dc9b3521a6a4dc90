"""What the coordinator of a study and a node send each other: requests to the node, updates back.

The coordinator is the process that runs the study: it decides, and it writes the study's folder.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bakeoff.data.shards import MANIFEST, read_manifest
from bakeoff.files import hash_file, replacing
from bakeoff.launch.process import Ended
from bakeoff.networks.hub import pack_preset
from bakeoff.networks.plugin import pack_plugin
from bakeoff.networks.weights import PRESET, WeightsSource, locate_starting_weights
from bakeoff.runs.events import OnProgress, RunProgress
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.record import RunRecord, read_record

__all__ = [
    "CHUNK_BYTES",
    "AttemptRequest",
    "AttemptUpdate",
    "FileRef",
    "follow_attempt",
    "make_request",
    "read_chunks",
    "store_files",
]

# Bytes of a file that are sent as one object.
CHUNK_BYTES = 2**26
_NAMES = RunFolder(Path())
# Files of an earlier attempt that the node does not need: it writes them anew.
_NOT_SENT = (_NAMES.log.name, _NAMES.config.name, _NAMES.record.name)


@dataclass(frozen=True)
class FileRef:
    """A file, identified by its content."""

    path: str
    """Absolute, on the coordinator. With a shared folder the node finds the file there, too."""
    sha256: str
    bytes: int


@dataclass(frozen=True)
class AttemptRequest:
    """One attempt at a run, as it is sent to a node."""

    record: RunRecord
    files: Mapping[str, bytes]
    """Files of an earlier attempt by name: a checkpoint, and the history up to it."""
    manifest: FileRef
    shards: tuple[FileRef, ...]
    weights: FileRef | None
    limit: float | None
    """Wall-clock seconds after which the attempt is ended."""
    threads: int
    """CPU threads that the run may use."""
    environment: Mapping[str, str] = field(default_factory=dict)
    plugin_files: Mapping[str, bytes] = field(default_factory=dict)
    """The source and the facts of a plug-in network, as `unpack_plugin` takes them."""

    @property
    def files_needed(self) -> tuple[FileRef, ...]:
        """All files that a node keeps, for this run and for later ones."""
        return (self.manifest, *self.shards, *([self.weights] if self.weights else []))


@dataclass(frozen=True)
class AttemptUpdate:
    """What a node sends back: progress, new files, and at the end how the attempt ended; or the files that it lacks."""

    event: RunProgress | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    """New files of the run's folder by name; of the log, only what is to be appended."""
    ended: Ended | None = None
    missing: tuple[FileRef, ...] = ()


def make_request(
    record: RunRecord,
    folder: Path,
    data: Path,
    *,
    limit: float | None,
    threads: int,
    environment: Mapping[str, str],
) -> AttemptRequest:
    """The request for one attempt at a run.

    Args:
        record: The run's record.
        folder: The run's folder, which may hold files of an earlier attempt.
        data: The folder of the shards.
        limit: Wall-clock seconds after which the attempt is ended; None for no limit.
        threads: CPU threads that the run may use.
        environment: Environment variables for the run's process.
    """
    facts = read_manifest(data)
    source = locate_starting_weights(record.config.model, folder.parents[1])
    manifest = data / MANIFEST
    return AttemptRequest(
        record=record,
        files={path.name: path.read_bytes() for path in folder.iterdir() if path.name not in _NOT_SENT},
        manifest=_refer_to(manifest, hash_file(manifest)),
        shards=tuple(
            FileRef(str((data / file.name).absolute()), file.sha256, file.bytes)
            for split in facts.splits.values()
            for file in split.files
        ),
        weights=_refer_to_weights(record, source),
        limit=limit,
        threads=threads,
        environment=environment,
        plugin_files=pack_plugin(record.plugin, record.config.model.name) if record.plugin else {},
    )


def _refer_to_weights(record: RunRecord, source: WeightsSource) -> FileRef | None:
    if source.origin == PRESET:
        packed = pack_preset(record.config.model.name)
        return _refer_to(packed, hash_file(packed))
    return _refer_to(source.path, source.hash) if source.path else None


def _refer_to(path: Path, sha256: str) -> FileRef:
    return FileRef(str(path.absolute()), sha256, path.stat().st_size)


def read_chunks(file_ref: FileRef) -> Iterable[bytes]:
    """Read a file of this machine in pieces of at most CHUNK_BYTES."""
    with Path(file_ref.path).open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def follow_attempt(
    updates: Iterable[AttemptUpdate], folder: Path, on_progress: OnProgress | None
) -> Ended | tuple[FileRef, ...]:
    """Receive a node's updates until the attempt has ended: write its files, and pass its events on.

    Args:
        updates: The updates in the order in which the node sent them.
        folder: The run's folder.
        on_progress: Called with each progress event. A reason that it returns ends the loop.

    Returns:
        How the attempt ended; or the files that the node lacks, without which it did not begin.
    """
    for update in updates:
        store_files(folder, update.files)
        if update.missing:
            return update.missing
        if update.ended:
            return update.ended
        if update.event and on_progress and (reason := on_progress(update.event)):
            return Ended(stop_reason=reason)
    return Ended(failure="its node ended it without a result")


def store_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files that were sent, by name, into a run's folder.

    The log is appended to. The record is written last, because it says that the other files are complete.
    Raises OutputError if a file cannot be written or the record cannot be read.
    """
    for name in sorted(files, key=lambda name: name == _NAMES.record.name):
        path = folder / Path(name).name
        if name == _NAMES.log.name:
            with path.open("ab") as log:
                log.write(files[name])
            continue
        with replacing(path) as temporary:
            temporary.write_bytes(files[name])
    if _NAMES.record.name in files:
        read_record(folder)
