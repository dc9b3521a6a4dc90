"""The address to listen on, and all limits."""

from dataclasses import dataclass

__all__ = ["LOOPBACK", "Settings"]

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Settings:
    """How a bundle is served. Times are in seconds."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0: any free port."""
    token: str | None = None
    """Bearer token that every path needs, except the page itself and /healthz. None: no token is needed."""
    request_bytes: int = 10_000_000
    """Largest body of a request."""
    image_pixels: int = 25_000_000
    """Largest number of pixels of an image."""
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
    idle_seconds: float = 5.0
    """Time after which a connection without a request is closed."""
    running_requests: int = 256
    """Largest number of concurrent requests; beyond it, status 503."""
    connections: int = 512
    """Largest number of open connections."""
    drain_seconds: float = 30.0
    """Time limit for running requests after the server is asked to stop."""

    @property
    def upload_bytes(self) -> int:
        """Largest total of the bodies in memory at once, in bytes."""
        return 16 * self.request_bytes

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK
