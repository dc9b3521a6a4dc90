"""What every request passes: is there room, is it meant for this host, does it know the token, is it done in time."""

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bakeoff.deploy.serve.settings import LOOPBACK, Settings

__all__ = ["Guard"]

# Open without a token: they hold nothing but the page itself, and whether the server lives.
_OPEN = ("/", "/page.css", "/page.js", "/healthz")

_HEADERS = {
    # Nothing but what this server itself sends is loaded or run; pictures that the page draws are `blob:`.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class Guard:
    """Around an application; `on_answer` is told the path, the status and the seconds of each request."""

    def __init__(self, app: ASGIApp, settings: Settings, on_answer: Callable[[str, int, float], object]) -> None:
        self._app = app
        self._settings = settings
        self._on_answer = on_answer
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Turn a request away, or pass it on with a deadline."""
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
            if refusal := self._refuse(scope):
                await refusal(scope, receive, send_safely)
                return
            async with asyncio.timeout(self._settings.request_seconds):
                await self._app(scope, receive, send_safely)
        except TimeoutError:
            if not status:
                await _busy("the answer took too long; try again")(scope, receive, send_safely)
            # Otherwise the client does not take its answer: returning without the rest of it closes the connection.
        finally:
            self._running -= 1
            self._on_answer(scope["path"], status, time.perf_counter() - started)

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        if self._running > self._settings.running_requests:
            return _busy("too many requests at once; try again")
        headers = Headers(scope=scope)
        # A page elsewhere that has its own name resolved to this machine must not be able to ask.
        if self._settings.is_local and _host_of(headers.get("host", "")) not in LOOPBACK:
            return _turn_away(421, f"this server answers to {', '.join(LOOPBACK)} only; --host makes it answer others")
        token = self._settings.token
        if token is None or scope["path"] in _OPEN:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
            return None
        return _turn_away(
            401, "a token is needed: send the header Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"}
        )


def _busy(detail: str) -> JSONResponse:
    return _turn_away(503, detail, {"Retry-After": "1"})


def _turn_away(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, {"Connection": "close"} | dict(headers or {}))


def _host_of(header: str) -> str:
    """The name in a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()
