"""A file on a server, and what can be wrong with it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["CutError", "DownloadError", "HostError", "Remote", "StoppedError"]


class DownloadError(Exception):
    """Why a file cannot be downloaded, in a few words. Whoever asked for the file makes a sentence of it."""


class HostError(DownloadError):
    """The host does not answer, so that no other file of it is worth a try."""


class StoppedError(Exception):
    """The download was stopped. What has arrived is kept."""


class CutError(HostError):
    """The connection ended before the file did, or the server is overloaded: worth another try."""


@dataclass(frozen=True)
class Remote:
    """A file on a server, and what is known of it before."""

    url: str
    digest: str = ""
    """Its MD5 or SHA-256 as published, in hexadecimal; empty: none is published, so the one that the server tells, if
    any, is compared."""
    most_bytes: int = 1 << 30
    """More than the file can have: nothing larger is taken."""
    begins: bytes = b""
    """What every such file begins with."""

    @property
    def host(self) -> str:
        """The name of the server."""
        return urlsplit(self.url).netloc
