"""Where to listen, and every limit."""

from dataclasses import dataclass

__all__ = ["LOOPBACK", "Settings"]

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Settings:
    """How a bundle is served. Sizes are bytes and pixels, times are seconds."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0 takes any that is free."""
    token: str | None = None
    """Asked for as a bearer token, if there is one, by every path but the page itself and /healthz."""
    request_bytes: int = 10_000_000
    image_pixels: int = 25_000_000
    request_images: int = 32
    waiting_images: int = 256
    """Decoded or being decoded, not yet answered; what goes beyond is turned away with 503."""
    batch_images: int = 32
    """Answered together at most."""
    upload_seconds: float = 10.0
    """In which a request's headers, and then its body, must have arrived."""
    request_seconds: float = 30.0
    """In which a request must have been answered and the answer taken."""
    idle_seconds: float = 5.0
    """After which a connection without a request is closed."""
    running_requests: int = 256
    """What goes beyond is turned away with 503."""
    connections: int = 512
    drain_seconds: float = 30.0
    """For which a stop waits until what has begun is done."""

    @property
    def upload_bytes(self) -> int:
        """Bytes of all bodies in memory at once, from their announcement until they are answered."""
        return 16 * self.request_bytes

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK
