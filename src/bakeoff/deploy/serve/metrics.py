"""Counts and times as Prometheus reads them. One registry a server, so that several can live in one process."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

__all__ = ["ServerMetrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ServerMetrics:
    """What a server counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "bakeoff_requests", "Requests answered, by path and status", ("path", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "bakeoff_request_seconds",
            "From a request's headers to its whole answer",
            ("path",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.images = Counter(
            "bakeoff_images", "Images, by whether they could be read", ("outcome",), registry=self.registry
        )
        self.batch_images = Histogram(
            "bakeoff_batch_images", "Images answered together", buckets=(1, 2, 4, 8, 16, 32), registry=self.registry
        )
        self.model_seconds = Histogram(
            "bakeoff_model_seconds", "A batch through the model", buckets=_SECONDS, registry=self.registry
        )
        self.waiting = Gauge("bakeoff_waiting_images", "Images not yet answered", registry=self.registry)

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """A request that was answered, or given up (status 0)."""
        self.requests.labels(path, status).inc()
        self.seconds.labels(path).observe(seconds)

    def count_batch(self, images: int, seconds: float) -> None:
        """Images that were answered together, and the time that the model took."""
        self.batch_images.observe(images)
        self.model_seconds.observe(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
