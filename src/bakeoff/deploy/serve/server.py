"""The server process: its socket, and a stop that finishes running requests."""

import logging
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn

from bakeoff.deploy.bundle import Bundle
from bakeoff.deploy.serve.app import make_app
from bakeoff.deploy.serve.protocol import make_protocol
from bakeoff.deploy.serve.settings import Settings
from bakeoff.errors import OutputError

__all__ = ["serve"]


def serve(
    bundle: Bundle, settings: Settings, report: Path | None = None, on_ready: Callable[[str], object] = print
) -> None:
    """Serve a bundle until SIGINT or SIGTERM.

    Args:
        bundle: The opened bundle.
        settings: Address and limits.
        report: The report of the study that the bundle came from, if any.
        on_ready: Called with the URL once requests are accepted.

    Raises:
        OutputError: The server cannot listen on the address.
    """
    listening = _listen(settings)
    bundle.warm_up(1, settings.batch_images)
    config = uvicorn.Config(
        make_app(bundle, settings, report),
        http=make_protocol(settings.upload_seconds),
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        # uvicorn takes the client's address and scheme from X-Forwarded-For and -Proto, if it trusts the sender.
        forwarded_allow_ips="*" if "*" in settings.trusted_proxies else list(settings.trusted_proxies) or None,
        timeout_keep_alive=settings.idle_seconds,  # type: ignore[arg-type]
        timeout_graceful_shutdown=settings.drain_seconds,  # type: ignore[arg-type]
        limit_concurrency=settings.connections,
    )
    # Warnings, also those of uvicorn, are about malformed requests: clients could fill the log with them.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    # uvicorn finishes running requests and then raises the signal again. A requested stop exits with code 0.
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
        # From now on, responses close their connections, because further requests on them might not be read.
        self.config.app.state.stopping = True  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=settings.connections)
    except (OSError, OverflowError, UnicodeError) as error:
        message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = message.partition(" (while attempting to bind on address")[0]  # which is named anyway
        where = f"{settings.host}:{settings.port}"
        raise OutputError(f"cannot listen on {where}: {reason}; choose another --port or --host") from error
    # Headers and body are sent as two packets. Without TCP_NODELAY the second waits up to 40 ms for the acknowledgement
    # of the first. asyncio sets it only on sockets that it creates.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
