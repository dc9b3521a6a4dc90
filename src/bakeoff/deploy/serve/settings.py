"""The address to listen on, what a proxy in front of the server needs, and all limits."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from bakeoff.errors import ConfigError

__all__ = ["LOOPBACK", "Settings"]

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Settings:
    """How a bundle is served. Times are in seconds.

    Raises:
        ConfigError: The token, the path or an address cannot be what it should be.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    """0: any free port."""
    token: str | None = None
    """Bearer token that every path needs, except the page itself, /healthz and /readyz. None: no token is needed."""
    root_path: str = ""
    """Path under which a proxy shows the server, such as `/pictures`. Requests may have it or not."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names that requests may be for, beside LOOPBACK: names, `*.example.org`, or `*` for all. If there are none,
    a server on a local address accepts LOOPBACK only, and others accept all."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may read responses, such as `https://example.org`, or `*` for all."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed, or `*` for all. If there are
    none, uvicorn decides: the addresses in the environment's `FORWARDED_ALLOW_IPS`, else 127.0.0.1."""
    request_bytes: int = 10_000_000
    """Largest body of a request."""
    image_pixels: int = 25_000_000
    """Largest number of pixels that are decoded of an image."""
    request_images: int = 32
    """Largest number of images in a request."""
    waiting_images: int = 256
    """Largest number of images that are being decoded or wait for their prediction; beyond it, status 503."""
    batch_images: int = 32
    """Largest batch, in images."""
    upload_seconds: float = 10.0
    """Time limit for the headers of a request to arrive, and then for its body."""
    request_seconds: float = 30.0
    """Time limit from a request's headers until its response has been sent."""
    idle_seconds: float = 75.0
    """Time after which a connection without a request is closed. Proxies keep theirs for up to 60 s, and their next
    request would be lost if the server closed first."""
    running_requests: int = 256
    """Largest number of concurrent requests; beyond it, status 503."""
    connections: int = 512
    """Largest number of open connections."""

    def __post_init__(self) -> None:
        # A frozen dataclass has no other way to store what was given in its usual form.
        object.__setattr__(self, "token", None if self.token is None else _check_token(self.token))
        object.__setattr__(self, "root_path", _check_root_path(self.root_path))
        object.__setattr__(self, "allowed_hosts", tuple(map(_check_host, self.allowed_hosts)))
        object.__setattr__(self, "cors_origins", tuple(map(_check_origin, self.cors_origins)))
        object.__setattr__(self, "trusted_proxies", tuple(map(_check_network, self.trusted_proxies)))

    @property
    def upload_bytes(self) -> int:
        """Largest total of the bodies in memory at once, in bytes."""
        return 16 * self.request_bytes

    @property
    def drain_seconds(self) -> float:
        """Time limit for running requests after the server is asked to stop.

        A request has as long as ever, and so has what its client still sends after the response.
        """
        return self.request_seconds + self.upload_seconds

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK

    def allows_host(self, host: str) -> bool:
        """Whether requests for a host, without its port, are accepted."""
        if "*" in self.allowed_hosts or not (self.allowed_hosts or self.is_local):
            return True
        host = host.lower().removesuffix(".")
        wildcards = tuple(name.removeprefix("*") for name in self.allowed_hosts if name.startswith("*."))
        return host in (*LOOPBACK, *self.allowed_hosts) or host.endswith(wildcards)


def _check_token(given: str) -> str:
    """A token without the spaces and line breaks around it, which files of secrets end with and no header carries."""
    token = given.strip()
    if not token:
        raise ConfigError("--token has nothing but spaces; give a token, or leave it out")
    if not (token.isascii() and token.isprintable()):
        raise ConfigError("--token has characters that a header cannot carry; use letters, digits and signs")
    return token


def _check_root_path(given: str) -> str:
    """A path with a slash before it and none after it; empty for the root."""
    path = f"/{given.strip('/')}" if given.strip("/") else ""
    if not re.fullmatch(r"(/(?!\.{1,2}(/|$))[\w.~-]+)*", path, re.ASCII):
        raise ConfigError(f"--root-path takes a path of letters, digits and -._~, as in /pictures; not {given!r}")
    return path


def _check_host(given: str) -> str:
    name = given.lower().removeprefix("[").removesuffix("]").removesuffix(".")
    if given != "*" and not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", name) and not _is_address(name):
        raise ConfigError(
            f"--allow-host takes a name without http:// and port, as in model.example.org, *.example.org or *;"
            f" not {given!r}"
        )
    return name


def _check_origin(given: str) -> str:
    """An origin as browsers send it: in small letters, without a slash at the end and without the usual port."""
    origin = given.lower().removesuffix("/")
    if origin == "*":
        return origin
    match = re.fullmatch(r"([a-z][a-z0-9+.-]*)://((?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::\d+)?)", origin)
    if match is None:
        raise ConfigError(
            f"--cors-origin takes the origin of a page, as in https://example.org or http://localhost:3000, or *;"
            f" not {given!r}"
        )
    scheme, host = match.groups()
    return f"{scheme}://{host.removesuffix(f':{_DEFAULT_PORTS.get(scheme)}')}"


def _check_network(given: str) -> str:
    if given != "*" and not _is_address(given, ipaddress.ip_network):
        raise ConfigError(
            f"--trust-proxy takes an address or a network, as in 10.0.0.7, 10.0.0.0/8 or *; not {given!r}"
        )
    return given


def _is_address(text: str, parse: Callable[[str], object] = ipaddress.ip_address) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True
