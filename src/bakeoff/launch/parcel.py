"""What travels between the machine that leads a study (the driver) and a node: orders there, news back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bakeoff.files import hash_file, replacing
from bakeoff.launch.process import LOG, Ended, Event, OnEvent
from bakeoff.runs import RunRecord, read_record
from bakeoff.shards import MANIFEST, read_manifest
from bakeoff.weights import locate_start

__all__ = ["CHUNK", "Blob", "News", "Order", "follow", "keep", "make_order", "read_chunks"]

# Bytes of a file that travel as one object.
CHUNK = 2**26
# What a further attempt does not begin with.
_LEFT_BEHIND = (LOG, "config.json", "record.json")


@dataclass(frozen=True)
class Blob:
    """A file by its content."""

    path: str
    """Where the driver has it; with a shared folder the nodes have it there too."""
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Order:
    """One attempt at a run."""

    record: RunRecord
    files: Mapping[str, bytes]
    """What an earlier attempt left in the run's folder: a checkpoint and the history up to it."""
    manifest: Blob
    shards: tuple[Blob, ...]
    weights: Blob | None
    limit: float | None
    threads: int
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Everything that a node keeps, for this run and for later ones."""
        return (self.manifest, *self.shards, *([self.weights] if self.weights else []))


@dataclass(frozen=True)
class News:
    """What a node has to tell: where the run stands, files that are new, how it ended; or which blobs it lacks."""

    event: Event | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    ended: Ended | None = None
    missing: tuple[Blob, ...] = ()


def make_order(
    record: RunRecord,
    folder: Path,
    data: Path,
    *,
    limit: float | None,
    threads: int,
    environment: Mapping[str, str],
) -> Order:
    """The order for one attempt at a run whose record is in its folder."""
    facts = read_manifest(data)
    source = locate_start(record.config.model, folder.parents[1])
    manifest = data / MANIFEST
    return Order(
        record=record,
        files={path.name: path.read_bytes() for path in folder.iterdir() if path.name not in _LEFT_BEHIND},
        manifest=_find_blob(manifest, hash_file(manifest)),
        shards=tuple(
            Blob(str((data / file.name).absolute()), file.sha256, file.bytes)
            for split in facts.splits.values()
            for file in split.files
        ),
        weights=_find_blob(source.path, source.hash) if source.path else None,
        limit=limit,
        threads=threads,
        environment=environment,
    )


def _find_blob(path: Path, sha256: str) -> Blob:
    return Blob(str(path.absolute()), sha256, path.stat().st_size)


def read_chunks(blob: Blob) -> Iterable[bytes]:
    """A file of this machine, piece by piece."""
    with Path(blob.path).open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def follow(news: Iterable[News], folder: Path, on_event: OnEvent | None) -> Ended | tuple[Blob, ...]:
    """Keep what comes from a node in the run's folder and pass its events on, until the attempt has ended.

    Returns how, or the blobs without which it could not begin.
    """
    for each in news:
        keep(folder, each.files)
        if each.missing:
            return each.missing
        if each.ended:
            return each.ended
        if each.event and on_event and (reason := on_event(each.event)):
            return Ended(stopped=reason)
    return Ended(failure="its node ended it without a result")


def keep(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files that came from a node; the log goes on, and the record is last: it says that the others are there.

    Raises OutputError if they cannot be written or the record cannot be read.
    """
    for name in sorted(files, key=lambda name: name == "record.json"):
        path = folder / Path(name).name
        if name == LOG:
            with path.open("ab") as log:
                log.write(files[name])
            continue
        with replacing(path) as temporary:
            temporary.write_bytes(files[name])
    if "record.json" in files:
        read_record(folder)
