"""One answer of a server, refused if it cannot be the file that was asked for."""

import base64
import contextlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from bakeoff.download.remote import CutError, DownloadError, HostError, Remote

__all__ = [
    "STALL_SECONDS",
    "ask",
    "begins_at",
    "chunks",
    "read_length",
    "read_version",
    "refuse",
    "told_md5",
]

# Connecting fails after so many seconds, and so does waiting for the next bytes.
STALL_SECONDS = 10.0
_CHUNK_BYTES = 1 << 16


def ask(remote: Remote, headers: dict[str, str]) -> http.client.HTTPResponse:
    """The answer of the server, whose body has not come yet.

    Raises:
        DownloadError: The server refuses; HostError if it does not answer, CutError if another try may help.
    """
    opener = urllib.request.build_opener(_Redirects)
    try:
        return opener.open(urllib.request.Request(remote.url, headers=headers), timeout=STALL_SECONDS)  # type: ignore[no-any-return]
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 429 or error.code >= 500:
                raise CutError(f"{remote.host} answered {error.code} {error.reason}") from error
            if 300 <= error.code < 400:
                raise DownloadError(f"{remote.host} redirects in a circle, or to where there is no file") from error
            raise DownloadError(f"{remote.host} answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise HostError(f"{remote.host} does not answer: {_describe(error.reason)}") from error
    except TimeoutError as error:  # while waiting for the head of the answer
        raise HostError(f"{remote.host} sent nothing for {STALL_SECONDS:.0f} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise CutError(f"{remote.host} did not answer as a server does: {_describe(error)}") from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirections, and none to where the connection is less safe."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith(("https://", "http://")) or (req.type == "https" and newurl.startswith("http://")):
            raise DownloadError(f"{req.host} redirects to {newurl[:100]}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def chunks(remote: Remote, response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body of an answer, as it comes. Raises CutError if nothing comes, or if the connection ends too early."""
    # Failures of the network are OSErrors, as are failures to write the file. Only the former are caught here.
    try:
        while chunk := response.read1(_CHUNK_BYTES):
            yield chunk
    except TimeoutError as error:
        raise CutError(f"{remote.host} sent nothing for {STALL_SECONDS:.0f} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise CutError(f"{remote.host} cut the connection: {_describe(error)}") from error


def refuse(remote: Remote, response: http.client.HTTPResponse, total: int) -> None:
    """Raise DownloadError if what the server announces cannot be the file."""
    if response.headers.get_content_type() == "text/html":
        raise DownloadError(f"{remote.host} sent a web page instead of the file; is there a log-in page in between?")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadError(f"{remote.host} sent the file in another encoding than was asked for")
    if not total and not remote.digest:
        raise DownloadError(f"{remote.host} does not say how long the file is, so nothing tells whether it is whole")
    if total > remote.most_bytes:
        raise DownloadError(
            f"{remote.host} has {total:,} bytes, more than the {remote.most_bytes:,} that the file can have"
        )


def read_length(response: http.client.HTTPResponse) -> int:
    """The length that the server announces; 0 if it does not."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else 0


def read_version(response: http.client.HTTPResponse) -> str:
    """What the server calls this version of the file; empty if it says nothing that can be relied on."""
    tag = response.headers.get("ETag", "")
    # A weak tag may be the same for other bytes.
    return response.headers.get("Last-Modified", "") if tag.startswith("W/") or not tag else tag


def begins_at(response: http.client.HTTPResponse, done: int, total: int) -> bool:
    """Whether a piece begins where the last one ended, and is of a file of the same length."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    piece, _, length = rest.partition("/")
    return unit == "bytes" and piece.partition("-")[0] == str(done) and (not total or length in (str(total), "*"))


def told_md5(response: http.client.HTTPResponse) -> str:
    """The MD5 that Google's servers tell with a file, in hexadecimal; else empty."""
    for text in ",".join(response.headers.get_all("x-goog-hash", [])).split(","):
        kind, _, value = text.strip().partition("=")
        if kind == "md5":
            with contextlib.suppress(ValueError):
                return base64.b64decode(value, validate=True).hex()
    return ""


def _describe(error: object) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:200] or type(error).__name__
