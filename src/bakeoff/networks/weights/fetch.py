"""Downloads ImageNet weights in the background, into Keras' cache.

downloads = Downloads([find_network("mobilenet-v2")], on_count=show)
downloads.start()
while downloads.pending:
    downloads.wait(1.0)             # moves the bars
downloads.arrived, downloads.failed
downloads.stop()                    # what has arrived of a file is kept, and the next download goes on from there
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bakeoff.download import (
    STALL_SECONDS,
    DownloadError,
    HostError,
    Remote,
    StoppedError,
    download,
    is_offline,
    partial_path,
)
from bakeoff.errors import OutputError
from bakeoff.networks.backbone import Backbone, Origin
from bakeoff.networks.weights.locate import hub_path, is_available_locally
from bakeoff.networks.weights.published import file_size, published_file

__all__ = ["DOWNLOAD_LIMIT", "OFFLINE", "Downloads", "can_download", "needs_download"]

DOWNLOAD_LIMIT = 500_000_000
"""Bytes that one study downloads at most, unless something else is asked for."""
OFFLINE = "downloads are off by --offline or BAKEOFF_OFFLINE=1"
# A look-up of the host's name can hang where no time limit applies.
_HANGS_SECONDS = 2 * STALL_SECONDS


def needs_download(spec: Backbone) -> bool:
    """Whether a network's ImageNet weights are not on this machine, and Keras publishes them."""
    return Origin.HUB in spec.weight_origins and not is_available_locally(spec)


def can_download(spec: Backbone, limit_bytes: float = DOWNLOAD_LIMIT) -> int | str:
    """The bytes that a download of a network's ImageNet weights takes, about; or why it cannot be done.

    Asks no server.

    Args:
        spec: The network.
        limit_bytes: Bytes that may be downloaded.
    """
    if published_file(spec) is None:
        return f"Keras publishes no weights of {spec.name}"
    if is_offline():
        return OFFLINE
    if (size := file_size(spec)) > limit_bytes:
        return f"its {size / 1e6:.0f} MB are more than the {limit_bytes / 1e6:.0f} MB that --download-limit leaves"
    return size


@dataclass
class _File:
    """A file that is downloaded; written by its thread, read by the main one."""

    spec: Backbone
    remote: Remote
    done: int = 0
    total: int = 0
    began: float | None = None
    """When its thread began with it, on the monotonic clock."""
    moved: float = 0.0
    """When bytes came last."""
    waits: bool = False
    """Whether another process is downloading it."""
    seconds: float = 0.0
    """How long it took."""
    told: bool = False
    """Whether its arrival was reported."""
    arrived: bool = False
    why: str = ""
    """Why it cannot be had; empty while it may come."""

    @property
    def is_pending(self) -> bool:
        """Whether it may still come."""
        return not self.arrived and not self.why

    @property
    def size(self) -> int:
        """Bytes of the whole file: as the server says, else about."""
        return self.total or file_size(self.spec)

    def move(self, done: int, total: int) -> None:
        """Note how much has arrived."""
        self.done, self.total, self.moved, self.waits = done, total, time.monotonic(), False

    def wait(self) -> None:
        """Note that another process is downloading it."""
        self.waits = True

    def has_ended(self) -> bool:
        """Whether nobody wants it any more."""
        return not self.is_pending


@dataclass
class Downloads:
    """The weights of several networks, downloaded one after the other, with a thread for each host.

    All methods are for one thread, the one that calls `on_count`. Files that together are larger than the limit, the
    later ones first, have failed before anything starts.
    """

    specs: Sequence[Backbone] = ()
    limit_bytes: float = DOWNLOAD_LIMIT
    on_count: Callable[[str, int, int], object] = lambda *_: None
    """Called by `poll` with (what is being done, bytes done, bytes in all)."""
    disk_error: OutputError | None = field(init=False, default=None)
    """Why nothing can be written."""
    _files: dict[str, _File] = field(init=False, default_factory=dict)
    _changed: threading.Condition = field(init=False, default_factory=threading.Condition)
    _error: BaseException | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        left = self.limit_bytes
        for spec in self.specs:
            remote, size = published_file(spec), can_download(spec, left)
            file = self._files[spec.name] = _File(spec, remote or Remote(""))
            if isinstance(size, str):
                file.why = size
            else:
                left -= size

    @property
    def arrived(self) -> frozenset[str]:
        """The networks whose weights have arrived."""
        return frozenset(name for name, file in self._files.items() if file.arrived)

    @property
    def failed(self) -> Mapping[str, str]:
        """By network: why its weights cannot be had."""
        return {name: file.why for name, file in self._files.items() if file.why}

    @property
    def refused(self) -> Mapping[str, str]:
        """Of those that failed, the networks of whose weights nothing came at all."""
        return {name: file.why for name, file in self._files.items() if file.why and not file.done}

    @property
    def pending(self) -> Mapping[str, int]:
        """The networks whose weights may still arrive, in the order of the downloads, with the bytes of their files."""
        return {name: file.size for name, file in self._files.items() if file.is_pending}

    @property
    def ended(self) -> Mapping[str, tuple[int, float]]:
        """By network: bytes that have arrived, and seconds that it took, of the downloads that have begun and ended."""
        return {
            name: (file.done, round(file.seconds, 1))
            for name, file in self._files.items()
            if file.began is not None and not file.is_pending
        }

    @property
    def has_begun(self) -> bool:
        """Whether each host has answered, or will not."""
        hosts = {file.remote.host for file in self._files.values() if file.is_pending}
        return hosts <= {file.remote.host for file in self._files.values() if file.done or file.waits or file.arrived}

    def start(self) -> None:
        """Start to download."""
        by_host: dict[str, list[_File]] = {}
        for file in self._files.values():
            if file.is_pending:
                by_host.setdefault(file.remote.host, []).append(file)
        for files in by_host.values():
            # A thread that hangs keeps no process from ending.
            threading.Thread(target=self._download_all, args=(files,), daemon=True).start()

    def poll(self) -> None:
        """Report how far the downloads are, and give up those of a host that hangs."""
        if self._error is not None:
            raise self._error
        for name, file in self._files.items():
            if file.began is None:
                continue
            if file.is_pending and file.waits:
                with contextlib.suppress(OSError):  # not begun, or whole by now
                    file.done = partial_path(_target(file)).stat().st_size
            elif file.is_pending and time.monotonic() - file.moved > _HANGS_SECONDS:
                self._fail_host(file.remote.host, f"nothing comes from {file.remote.host}")
            if file.is_pending or (file.arrived and not file.told):
                file.told = file.arrived
                self.on_count(f"downloading {name}", file.size if file.arrived else file.done, file.size)

    def wait(self, seconds: float) -> None:
        """Wait until a file has arrived or failed, or for so many seconds, then report as `poll` does."""
        before = len(self.pending)
        with self._changed:
            self._changed.wait_for(lambda: len(self.pending) < before or self._error is not None, seconds)
        self.poll()

    def seconds_left(self, name: str) -> float | None:
        """Seconds until a file will have arrived, by the pace so far; None where nothing has come yet."""
        host = self._files[name].remote.host
        files = [file for file in self._files.values() if file.remote.host == host and file.began is not None]
        came = sum(file.done for file in files)
        took = time.monotonic() - min((file.began for file in files if file.began), default=0.0)
        if not came or took <= 0:
            return None
        missing = 0
        for each, file in self._files.items():
            if file.remote.host == host and file.is_pending:
                missing += max(0, file.size - file.done)
            if each == name:
                break
        return missing * took / came

    def give_up(self, name: str, why: str) -> None:
        """Download a file no further; what has arrived of it is kept."""
        file = self._files[name]
        self._end(file, f"{why} ({file.done / 1e6:.1f} of {file.size / 1e6:.1f} MB)")

    def stop(self) -> None:
        """Download nothing further; what has arrived is kept."""
        for file in self._files.values():
            self._end(file, "it had not arrived when the study went on without it")

    def _download_all(self, files: Sequence[_File]) -> None:
        """Download the files of one host; runs in a thread of its own."""
        for file in files:
            if not file.is_pending:
                continue
            file.began = file.moved = time.monotonic()
            try:
                download(file.remote, _target(file), file.move, file.has_ended, file.wait)
            except StoppedError:
                continue
            except HostError as error:
                self._fail_host(file.remote.host, str(error))
            except DownloadError as error:
                self._end(file, str(error))
            except OutputError as error:  # there is no space for the next one either
                self.disk_error = error
                self._fail_host(file.remote.host, str(error))
            except BaseException as error:  # raised again by `poll`
                self._error = error
                with self._changed:
                    self._changed.notify_all()
                raise
            else:
                self._end(file)

    def _fail_host(self, host: str, why: str) -> None:
        for file in self._files.values():
            if file.remote.host == host:
                self._end(file, why)

    def _end(self, file: _File, why: str = "") -> None:
        """Note that a file has arrived, or why it will not. What was noted first stays."""
        with self._changed:
            if file.is_pending:
                file.why, file.arrived = why, not why
                file.seconds = time.monotonic() - (file.began or time.monotonic())
            self._changed.notify_all()


def _target(file: _File) -> Path:
    target = hub_path(file.spec)
    assert target is not None
    return target
