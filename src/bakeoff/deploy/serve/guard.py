"""Checks that every request passes: load, host, token and deadline."""

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bakeoff.deploy.serve.settings import LOOPBACK, Settings

__all__ = ["Guard"]

# Paths without a token: the page itself, which holds nothing of the model, and the health check.
_WITHOUT_TOKEN = ("/", "/page.css", "/page.js", "/healthz")

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


class Guard:
    """ASGI middleware that rejects requests and limits their time.

    `on_response` is called with the path, the status (0 if none was sent) and the seconds of each request.
    """

    def __init__(self, app: ASGIApp, settings: Settings, on_response: Callable[[str, int, float], object]) -> None:
        self._app = app
        self._settings = settings
        self._on_response = on_response
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject a request, or pass it on with a deadline."""
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

        self._running += 1
        try:
            if rejection := self._check(scope):
                await rejection(scope, receive, send_safely)
                return
            async with asyncio.timeout(self._settings.request_seconds):
                await self._app(scope, receive, send_safely)
        except TimeoutError:
            if not status:
                await _busy("the response took too long; try again")(scope, receive, send_safely)
            # Otherwise the client does not read its response. Returning without the rest of it closes the connection.
        finally:
            self._running -= 1
            self._on_response(scope["path"], status, time.perf_counter() - started)

    def _check(self, scope: Scope) -> JSONResponse | None:
        """The response to a request that is rejected; None for others."""
        if self._running > self._settings.running_requests:
            return _busy("there are too many concurrent requests; try again")
        headers = Headers(scope=scope)
        # Protects against DNS rebinding: a foreign page whose host name resolves to this machine.
        if self._settings.is_local and _host_of(headers.get("host", "")) not in LOOPBACK:
            return _reject(
                421, f"this server accepts the hosts {', '.join(LOOPBACK)} only; start it with --host to accept others"
            )
        token = self._settings.token
        if token is None or scope["path"] in _WITHOUT_TOKEN:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
            return None
        return _reject(
            401, "a token is needed: send the header Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"}
        )


def _busy(detail: str) -> JSONResponse:
    return _reject(503, detail, {"Retry-After": "1"})


def _reject(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, {"Connection": "close"} | dict(headers or {}))


def _host_of(header: str) -> str:
    """The host in a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()
