"""The process: a socket, clients that are slow to say what they want, and a stop that finishes what has begun."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from bakeoff.deploy.bundle import Bundle
from bakeoff.deploy.serve.app import make_app
from bakeoff.deploy.serve.settings import Settings
from bakeoff.errors import OutputError

__all__ = ["serve"]


def serve(
    bundle: Bundle, settings: Settings, report: Path | None = None, on_ready: Callable[[str], object] = print
) -> None:
    """Serve a bundle until the process is told to stop (SIGINT, SIGTERM); `on_ready` is given the address.

    Raises OutputError if the address cannot be listened on.
    """
    listening = _listen(settings)
    bundle.warm_up(1, settings.batch_images)
    config = uvicorn.Config(
        make_app(bundle, settings, report),
        http=_patient_for(settings.upload_seconds),
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.idle_seconds,  # type: ignore[arg-type]
        timeout_graceful_shutdown=settings.drain_seconds,  # type: ignore[arg-type]
        limit_concurrency=settings.connections,
    )
    # Warnings, of uvicorn too, are about damaged requests, which anybody may send without end.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    # uvicorn finishes what is in flight, then raises the signal anew: a stop that was asked for is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    host, port = listening.getsockname()[:2]
    server = _Server(config, lambda: on_ready(f"http://{f'[{host}]' if ':' in host else host}:{port}"))
    server.run(sockets=[listening])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # From now on answers tell their clients to connect anew: what they would send here might not be read any more.
        self.config.app.state.stopping = True  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=settings.connections)
    except (OSError, OverflowError) as error:
        # Python adds the address to the system's words.
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        where = f"{settings.host}:{settings.port}"
        raise OutputError(f"cannot listen on {where}: {reason}; choose another --port or --host") from error
    # Headers and body leave as two packets; without this the second waits 40 ms for word of the first. asyncio sets it
    # on sockets of its own making alone.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _patient_for(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol with a limit on the time that a request's headers may take, which it lacks."""

    class Impatient(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # In the middle of a request line or of headers h11 still calls the client idle.
            if self.conn.their_state is not h11.IDLE:
                self._stop_expecting()
            elif self._deadline is None:
                self._expect()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_expecting()
            super().connection_lost(exc)

        def _expect(self) -> None:
            self._deadline = self.loop.call_later(seconds, self._give_up)

        def _stop_expecting(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _give_up(self) -> None:
            if not self.transport.is_closing():
                self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                self.transport.close()

    return Impatient
