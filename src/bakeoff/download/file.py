"""Downloads a file: goes on where it stopped, within bounds, and checks the file before it gets its name."""

import http.client
import time
from collections.abc import Callable
from pathlib import Path

from bakeoff.download.partial import Partial
from bakeoff.download.remote import CutError, DownloadError, HostError, Remote, StoppedError
from bakeoff.download.server import ask, begins_at, chunks, read_length, read_version, refuse, told_md5
from bakeoff.files import explained_errors, make_dir
from bakeoff.locks import waiting_for

__all__ = ["download"]

# A server that cuts the connection, or that is overloaded, is tried so often without any progress, and so often at all.
TRIES, MOST_TRIES = 3, 30
# Seconds before the next try.
PAUSE_SECONDS = 1.0

OnBytes = Callable[[int, int], object]


def _ignore(*_: int) -> None:
    pass


def download(
    remote: Remote,
    target: Path,
    on_bytes: OnBytes = _ignore,
    stopped: Callable[[], bool] = lambda: False,
    on_wait: Callable[[], object] = _ignore,
) -> None:
    """Download a file, or the rest of it. If another process is downloading it, wait for that.

    Args:
        remote: The file.
        target: Where it goes. It exists only when it is whole and its hash is right.
        on_bytes: Called with (bytes that have arrived, bytes in all; 0 if unknown).
        stopped: Asked between the parts of the file whether to stop.
        on_wait: Called if another process is downloading the file.

    Raises:
        DownloadError: The file cannot be had; HostError if the host does not answer.
        StoppedError: `stopped` said so.
        OutputError: The disk is full, or the folder cannot be written.
    """
    make_dir(target.parent)
    with waiting_for(target, on_wait):
        if target.is_file():
            return
        partial = Partial(target)
        try:
            partial.continue_with(remote)
            _fetch_all(remote, partial, on_bytes, stopped)
            right = partial.is_right(remote)
            if not right and partial.joined:
                # The pieces may be of two versions of the file.
                partial.delete()
                _fetch_all(remote, partial, on_bytes, stopped)
                right = partial.is_right(remote)
            if not right:
                raise DownloadError(f"what came from {remote.host} is not the published file: its hash differs")
        except DownloadError as error:
            if not isinstance(error, HostError) or not partial.size:
                partial.delete()
            raise
        partial.finish(target)


def _fetch_all(remote: Remote, partial: Partial, on_bytes: OnBytes, stopped: Callable[[], bool]) -> None:
    """Fetch what is missing, in several pieces if the connection is cut."""
    started, idle = False, 0
    for _ in range(MOST_TRIES):
        before = partial.size
        if before and before == partial.total:
            return
        try:
            _fetch_piece(remote, partial, on_bytes, stopped)
            return
        except HostError as error:
            moved = partial.size > before
            started, idle = started or moved, 0 if moved else idle + 1
            # A host that has sent something may be away for a moment only.
            if idle == TRIES or not (started or isinstance(error, CutError)):
                raise
        if stopped():
            raise StoppedError
        time.sleep(PAUSE_SECONDS)
    raise HostError(f"{remote.host} cut the connection {MOST_TRIES} times")


def _fetch_piece(remote: Remote, partial: Partial, on_bytes: OnBytes, stopped: Callable[[], bool]) -> None:
    """Ask for what is missing, and write what comes until the end or until the connection is cut."""
    done = partial.size
    headers = {"User-Agent": "bakeoff", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
        if partial.version:
            headers["If-Range"] = partial.version
    with ask(remote, headers) as response:
        if response.status == http.HTTPStatus.PARTIAL_CONTENT and done and begins_at(response, done, partial.total):
            total, partial.joined = partial.total, True
            partial.check_space(total - done)
        elif response.status == http.HTTPStatus.OK:
            # The first piece; or the server knows no pieces, or has another version of the file now.
            total, done = read_length(response), 0
            refuse(remote, response, total)
            partial.check_space(total - partial.size)
            partial.begin(remote, read_version(response), told_md5(response), total)
        else:
            partial.delete()
            raise CutError(f"{remote.host} answered {response.status} {response.reason}")
        on_bytes(done, total)
        most = total or remote.most_bytes
        # Without a buffer, so that everything that has arrived is there if the process is killed.
        with explained_errors(partial.path), partial.path.open("ab", buffering=0) as file:
            for chunk in chunks(remote, response):
                if stopped():
                    raise StoppedError
                if not done and not chunk.startswith(remote.begins[: len(chunk)]):
                    raise DownloadError(f"what comes from {remote.host} is another kind of file")
                done += len(chunk)
                if done > most:
                    raise DownloadError(f"{remote.host} sends more than the {most:,} bytes that the file can have")
                file.write(chunk)
                on_bytes(done, total)
    if total and done < total:
        raise CutError(f"{remote.host} cut the connection after {done:,} of {total:,} bytes")
