"""Who may ask: the host that a request is for, the token, and pages of other origins."""

import hmac

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bakeoff.deploy.serve.responses import refuse
from bakeoff.deploy.serve.settings import LOOPBACK, Settings

__all__ = ["Access", "CrossOrigin"]

# Paths without a token: the page itself, which holds nothing of the model, and what supervisors ask for.
_WITHOUT_TOKEN = ("", "/", "/page.css", "/page.js", "/healthz", "/readyz")


class Access:
    """ASGI middleware that rejects requests for other hosts and requests without the token.

    Hosts are checked here, because Starlette's TrustedHostMiddleware answers in plain text.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject a request, or pass it on."""
        rejection = self._check(scope) if scope["type"] == "http" else None
        await (rejection or self._app)(scope, receive, send)

    def _check(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        # Protects against DNS rebinding: a foreign page whose host name resolves to this machine.
        if not self._settings.allows_host(_host_of(headers.get("host", ""))):
            accepted = ", ".join((*LOOPBACK, *self._settings.allowed_hosts))
            return refuse(
                421, f"this server accepts the hosts {accepted} only; start it with --allow-host to accept others"
            )
        token = self._settings.token
        if token is None or scope["path"] in _WITHOUT_TOKEN:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
            return None
        return refuse(
            401, "a token is needed: send the header Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"}
        )


class CrossOrigin(CORSMiddleware):
    """Lets the pages of some origins read responses. A preflight that is refused says so in JSON, like all errors.

    Cookies are not needed: a token is sent in a header.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("Authorization",),
            expose_headers=("Retry-After",),
            # A page on the internet may ask a server on this machine if its origin was named.
            allow_private_network=True,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """The response to a browser that asks whether a page may send its request."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        kept = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        detail = f"{bytes(response.body).decode()}; start the server with --cors-origin to accept others"
        return JSONResponse({"detail": detail}, response.status_code, kept)


def _host_of(header: str) -> str:
    """The host in a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]
