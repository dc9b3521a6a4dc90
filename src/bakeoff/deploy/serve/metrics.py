"""Counters and latencies for Prometheus. Each server has its own registry, so several fit into one process."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

__all__ = ["ServerMetrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ServerMetrics:
    """The metrics of a server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "bakeoff_requests", "Requests, by path and status", ("path", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "bakeoff_request_seconds",
            "Seconds from the headers of a request to the end of its response",
            ("path",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.images = Counter(
            "bakeoff_images", "Images, by whether they could be read", ("outcome",), registry=self.registry
        )
        self.unsure = Counter(
            "bakeoff_unsure_images", "Answered images below the least confidence", registry=self.registry
        )
        self.batch_images = Histogram(
            "bakeoff_batch_images", "Images in a batch", buckets=(1, 2, 4, 8, 16, 32), registry=self.registry
        )
        self.model_seconds = Histogram(
            "bakeoff_model_seconds", "Seconds of the model on a batch", buckets=_SECONDS, registry=self.registry
        )
        self.waiting = Gauge("bakeoff_waiting_images", "Images that wait for their prediction", registry=self.registry)

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; its status is 0 if no response was sent."""
        self.requests.labels(path, status).inc()
        self.seconds.labels(path).observe(seconds)

    def count_batch(self, images: int, seconds: float) -> None:
        """Count a batch and the seconds that the model took."""
        self.batch_images.observe(images)
        self.model_seconds.observe(seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
