"""A server on this machine that stands in for the one of Keras, and lies and fails as servers do."""

import contextlib
import hashlib
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["BODY", "StandIn", "serve", "wait_until"]

BODY = b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 800
"""A file of 200 kB that begins as HDF5."""


class StandIn:
    """What the server has and how it behaves; both may change while it runs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {"/weights.h5": BODY}
        self.manner = "honest"
        """How it answers: the name of a method of `_Handler`, without the underscore."""
        self.headers: dict[str, str] = {}
        """Further headers of each answer; an empty text leaves one out."""
        self.asked: list[tuple[str, str, int]] = []
        """Of each request: its path, its `Range`, and the status of the answer."""
        self.sent = 0
        """Bytes of files that were sent."""
        self.pause = 0.02
        self.closing = threading.Event()

    @property
    def paths(self) -> list[str]:
        """The paths that were asked for."""
        return [path for path, _, _ in self.asked]


class _Handler(BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.place: StandIn = self.server.place
        if self.path not in self.place.files:
            self._answer(404, {"Content-Length": "0"})
            return
        self.body = self.place.files[self.path]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, f"_{self.place.manner}")()

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.place.asked.append((self.path, self.headers.get("Range", ""), status))
        self.send_response(status)
        for name, value in (headers | self.place.headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def _send(self, data: bytes) -> None:
        self.place.sent += len(data)  # before whoever reads it can look
        self.wfile.write(data)

    def _begin(self, body: bytes, **headers: str) -> bytes:
        """Answer with a file, or with the rest that was asked for; returns what is to be sent."""
        tag = f'"{hashlib.md5(body).hexdigest()}"'
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        known = self.headers.get("If-Range") in (None, tag)
        if wanted and known and int(wanted[1]) < len(body):
            rest = body[int(wanted[1]) :]
            piece = f"bytes {wanted[1]}-{len(body) - 1}/{len(body)}"
            self._answer(206, {"Content-Length": str(len(rest)), "Content-Range": piece, "ETag": tag} | headers)
            return rest
        self._answer(200, {"Content-Length": str(len(body)), "ETag": tag} | headers)
        return body

    def _honest(self) -> None:
        self._send(self._begin(self.body))

    def _whole(self) -> None:
        """Knows no pieces."""
        del self.headers["Range"]
        self._send(self._begin(self.body))

    def _cutting(self) -> None:
        """Ends the connection after at most 60 kB."""
        self._send(self._begin(self.body)[:60_000])
        self.close_connection = True

    def _cutting_whole(self) -> None:
        """Ends the connection after 60 kB, always from the beginning."""
        del self.headers["Range"]
        self._cutting()

    def _short(self) -> None:
        """Sends half of the file as if that were all."""
        self._send(self._begin(self.body[: len(self.body) // 2]))

    def _endless(self) -> None:
        self._answer(200, {"Connection": "close"})
        self.close_connection = True
        while not self.place.closing.is_set():
            self._send(self.body)

    def _huge(self) -> None:
        self._answer(200, {"Content-Length": str(10**13)})
        self._send(self.body)

    def _unmeasured(self) -> None:
        """Does not say how long the file is."""
        self._answer(200, {"Connection": "close"})
        self._send(self.body)
        self.close_connection = True

    def _page(self) -> None:
        page = b"<html>Please log in.</html>"
        self._answer(200, {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(page))})
        self._send(page)

    def _text(self) -> None:
        """A page that does not say that it is one."""
        self._send(self._begin(b"<html>Please log in.</html>"))

    def _circling(self) -> None:
        self._answer(302, {"Location": f"{self.place.url}{self.path}", "Content-Length": "0"})

    def _elsewhere(self) -> None:
        self._answer(302, {"Location": "file:///etc/hostname", "Content-Length": "0"})

    def _overloaded(self) -> None:
        self._answer(503, {"Content-Length": "0"})

    def _silent(self) -> None:
        """Takes the request and says nothing."""
        self.place.asked.append((self.path, "", 0))
        self.place.closing.wait(30)

    def _stalling(self) -> None:
        """Sends the first 60 kB and then nothing, however often it is asked."""
        rest = self._begin(self.body)
        if rest is self.body:
            self._send(rest[:60_000])
        self.wfile.flush()
        self.place.closing.wait(30)

    def _slow(self) -> None:
        rest = self._begin(self.body)
        for start in range(0, len(rest), 4096):
            self._send(rest[start : start + 4096])
            self.wfile.flush()
            if self.place.closing.wait(self.place.pause):
                return

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    place: StandIn

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no error."""


@contextlib.contextmanager
def serve() -> Iterator[StandIn]:
    """Yield a server that runs until the end of the block."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.place = StandIn(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.place
    finally:
        server.place.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def wait_until(true: Any, seconds: float = 20.0) -> None:
    """Wait until a function returns something true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)
