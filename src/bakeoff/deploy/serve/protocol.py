"""uvicorn's HTTP protocol for clients that are slow, and for those whose request is rejected while they send it."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["make_protocol"]

# The request has arrived, or the client has hung up.
_NOTHING_MORE = (h11.IDLE, h11.DONE, h11.MUST_CLOSE, h11.CLOSED)


def make_protocol(seconds: float) -> type[H11Protocol]:
    """Make the protocol.

    Args:
        seconds: Time limit for the headers of a request to arrive (uvicorn has none), and for the rest of a request
            after its response.
    """

    class Protocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(_Transport(transport, self, seconds))  # type: ignore[arg-type]
            self._start_timer()

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            super().data_received(data)
            # Until the headers are complete, h11 considers the client idle.
            if self.conn.their_state is not h11.IDLE:
                self._stop_timer()
            elif self._timer is None:
                self._start_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def _start_timer(self) -> None:
            self._timer = self.loop.call_later(seconds, self._time_out)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _time_out(self) -> None:
            if not self.transport.is_closing():
                self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                self.transport.close()

    return Protocol


class _Transport:
    """A transport that is closed only after the client has stopped sending, or after some seconds.

    A socket that is closed with unread data resets the connection, and the client, or the proxy in front of the server,
    may lose the response: nginx would answer 502 instead of 413.
    """

    def __init__(self, transport: asyncio.Transport, protocol: H11Protocol, seconds: float) -> None:
        self._transport = transport
        self._protocol = protocol
        self._seconds = seconds
        self._closes = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._closes or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing() or self._protocol.conn.their_state in _NOTHING_MORE:
            self._transport.close()
            return
        self._closes = True
        self._transport.write_eof()
        self._transport.resume_reading()
        self._protocol.loop.call_later(self._seconds, self._transport.abort)
