"""What every request passes first: the limits of load and time. Every response gets the security headers here."""

import asyncio
import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bakeoff.deploy.serve.responses import refuse
from bakeoff.deploy.serve.settings import Settings

__all__ = ["Guard", "Responses"]

_HEADERS = {
    # Only files of this server are loaded or run. Images that the page shows are `blob:`.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class Responses:
    """ASGI middleware that gives every response the security headers, and counts it.

    `on_response` is called with the path, the status (0 if none was sent) and the seconds of each request.
    """

    def __init__(self, app: ASGIApp, on_response: Callable[[str, int, float], object]) -> None:
        self._app = app
        self._on_response = on_response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its response back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["app"].state.stopping:
                    headers["Connection"] = "close"
            await send(message)

        try:
            await self._app(scope, receive, send_safely)
        finally:
            self._on_response(scope["path"], status, time.perf_counter() - started)


class Guard:
    """ASGI middleware that limits the number and the time of requests, and answers those that fail."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject a request, or pass it on with a deadline."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def note(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        self._running += 1
        try:
            # A server that has too much to do is alive: a restart by its supervisor would lose what it does.
            if self._running > self._settings.running_requests and scope["path"] != "/healthz":
                await _busy("there are too many concurrent requests; try again")(scope, receive, send)
                return
            async with asyncio.timeout(self._settings.request_seconds):
                await self._app(scope, receive, note)
        except TimeoutError:
            if not has_begun:
                await _busy("the response took too long; try again")(scope, receive, send)
            # Otherwise the client does not read its response. Returning without the rest of it closes the connection.
        except Exception:
            if not has_begun:
                # Starlette would answer outside of all middleware: as plain text, without headers, and uncounted.
                await refuse(500, "the request failed in the server, whose log says why")(scope, receive, send)
            raise  # for the log
        finally:
            self._running -= 1


def _busy(detail: str) -> JSONResponse:
    return refuse(503, detail, {"Retry-After": "1"})
