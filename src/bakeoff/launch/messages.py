"""What travels between the machine that leads a study (the driver) and a node: orders there, update back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bakeoff.data.shards import MANIFEST, read_manifest
from bakeoff.files import hash_file, replacing
from bakeoff.launch.process import Ended
from bakeoff.networks.weights import locate_start
from bakeoff.runs.events import OnProgress, RunProgress
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.record import RunRecord, read_record

__all__ = ["CHUNK", "AttemptRequest", "AttemptUpdate", "FileRef", "follow", "keep", "make_request", "read_chunks"]

# Bytes of a file that travel as one object.
CHUNK = 2**26
_NAMES = RunFolder(Path())
# What a further attempt does not begin with.
_LEFT_BEHIND = (_NAMES.log.name, _NAMES.config.name, _NAMES.record.name)


@dataclass(frozen=True)
class FileRef:
    """A file by its content."""

    path: str
    """Where the driver has it; with a shared folder the nodes have it there too."""
    sha256: str
    bytes: int


@dataclass(frozen=True)
class AttemptRequest:
    """One attempt at a run."""

    record: RunRecord
    files: Mapping[str, bytes]
    """What an earlier attempt left in the run's folder: a checkpoint and the history up to it."""
    manifest: FileRef
    shards: tuple[FileRef, ...]
    weights: FileRef | None
    limit: float | None
    threads: int
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def files_needed(self) -> tuple[FileRef, ...]:
        """Everything that a node keeps, for this run and for later ones."""
        return (self.manifest, *self.shards, *([self.weights] if self.weights else []))


@dataclass(frozen=True)
class AttemptUpdate:
    """What a node has to tell: where the run stands, files that are new, how it ended; or which files it lacks."""

    event: RunProgress | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
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
    """The request for one attempt at a run whose record is in its folder."""
    facts = read_manifest(data)
    source = locate_start(record.config.model, folder.parents[1])
    manifest = data / MANIFEST
    return AttemptRequest(
        record=record,
        files={path.name: path.read_bytes() for path in folder.iterdir() if path.name not in _LEFT_BEHIND},
        manifest=_refer_to(manifest, hash_file(manifest)),
        shards=tuple(
            FileRef(str((data / file.name).absolute()), file.sha256, file.bytes)
            for split in facts.splits.values()
            for file in split.files
        ),
        weights=_refer_to(source.path, source.hash) if source.path else None,
        limit=limit,
        threads=threads,
        environment=environment,
    )


def _refer_to(path: Path, sha256: str) -> FileRef:
    return FileRef(str(path.absolute()), sha256, path.stat().st_size)


def read_chunks(file_ref: FileRef) -> Iterable[bytes]:
    """A file of this machine, piece by piece."""
    with Path(file_ref.path).open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def follow(
    update: Iterable[AttemptUpdate], folder: Path, on_progress: OnProgress | None
) -> Ended | tuple[FileRef, ...]:
    """Keep what comes from a node in the run's folder and pass its events on, until the attempt has ended.

    Returns how, or the files_needed without which it could not begin.
    """
    for each in update:
        keep(folder, each.files)
        if each.missing:
            return each.missing
        if each.ended:
            return each.ended
        if each.event and on_progress and (reason := on_progress(each.event)):
            return Ended(stopped=reason)
    return Ended(failure="its node ended it without a result")


def keep(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files that came from a node; the log goes on, and the record is last: it says that the others are there.

    Raises OutputError if they cannot be written or the record cannot be read.
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
