"""What a request's path and method mean before a route is chosen: a proxy's prefix, HEAD and OPTIONS on every path."""

from collections.abc import Mapping, Set

from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Methods", "Prefix"]


class Prefix:
    """ASGI middleware that removes the path under which a proxy shows the server.

    Requests of a proxy that removes the prefix itself, and those that come directly, do not have it. The prefix alone,
    without a slash after it, becomes the empty path.

    Args:
        app: The next application.
        root_path: The prefix, such as `/pictures`; empty if there is none.
        paths: The paths of the application. One that equals the prefix is meant as that path.
    """

    def __init__(self, app: ASGIApp, root_path: str, paths: Set[str]) -> None:
        self._app = app
        self._root_path = root_path
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on without the prefix."""
        if scope["type"] == "http" and self._root_path:
            path = scope["path"]
            if path.startswith(f"{self._root_path}/"):
                scope = {**scope, "path": path.removeprefix(self._root_path)}
            elif path == self._root_path and path not in self._paths:
                scope = {**scope, "path": ""}
        await self._app(scope, receive, send)


class Methods:
    """ASGI middleware that answers HEAD and OPTIONS for every path, and redirects `/docs/` to `/docs`.

    Redirects are relative, because only the proxy knows the address that the client sees.

    Args:
        app: The next application.
        methods: The methods of each path.
        root_path: The prefix, as of Prefix. It alone is redirected to the page, whose links need the slash.
    """

    def __init__(self, app: ASGIApp, methods: Mapping[str, Set[str]], root_path: str) -> None:
        self._app = app
        self._page = f"{root_path.rpartition('/')[2]}/"
        self._methods = {path: _with_head_and_options(own) for path, own in methods.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on; a HEAD as a GET, whose body the server leaves out."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = self._answer(scope)
        if answer is None and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await (answer or self._app)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        path, method = scope["path"], scope["method"]
        allowed = self._methods.get(path)
        if not path:
            return RedirectResponse(self._page)
        if allowed is None:
            if path.removesuffix("/") not in self._methods:
                return None
            query = scope["query_string"].decode("latin-1")
            return RedirectResponse(f"../{path.strip('/')}{f'?{query}' if query else ''}")
        allow = {"Allow": ", ".join(sorted(allowed))}
        if method == "OPTIONS":
            return Response(status_code=204, headers=allow)
        if method not in allowed:
            return JSONResponse({"detail": "Method Not Allowed"}, 405, allow)
        return None


def _with_head_and_options(methods: Set[str]) -> Set[str]:
    return methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
