"""What /metrics tells Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_PAIRS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._registry = registry
        self._requests = Counter(
            "team5_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self._latency = Histogram(
            "team5_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._queue_requests = Gauge(
            "team5_queue_requests", "Items waiting or under way.", registry=registry
        )
        self._queue_pairs = Gauge(
            "team5_queue_pairs", "Pairs of a structure and a spectrum in them.", registry=registry
        )
        self._batch_pairs = Histogram(
            "team5_batch_pairs", "Pairs computed together.", buckets=_PAIRS, registry=registry
        )
        self._batch_items = Histogram(
            "team5_batch_items", "Items that share a batch.", buckets=_PAIRS, registry=registry
        )
        self._batch_seconds = Histogram(
            "team5_batch_seconds", "Time of a batch.", buckets=_SECONDS, registry=registry
        )
        self._version = Info("team5_version", "What answers by default.", registry=registry)
        self._ready = Gauge("team5_ready", "1 while requests are answered.", registry=registry)
        self._load_failures = Counter(
            "team5_version_load_failures", "Versions that were refused.", registry=registry
        )
        self._restarts = Counter(
            "team5_worker_restarts", "Times the computing process came back.", registry=registry
        )
        self._abandoned = Counter(
            "team5_abandoned_requests", "Requests whose caller had gone.", registry=registry
        )

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        self._requests.labels(route, method, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def queue(self, n_requests: int, n_pairs: int) -> None:
        self._queue_requests.set(n_requests)
        self._queue_pairs.set(n_pairs)

    def batch(self, n_pairs: int, n_items: int, seconds: float) -> None:
        self._batch_pairs.observe(n_pairs)
        self._batch_items.observe(n_items)
        self._batch_seconds.observe(seconds)

    def version(self, name: str, version_hash: str) -> None:
        self._version.info({"version": name, "hash": version_hash})

    def ready(self, is_ready: bool) -> None:
        self._ready.set(is_ready)

    def load_failed(self) -> None:
        self._load_failures.inc()

    def worker_restarted(self) -> None:
        self._restarts.inc()

    def abandoned(self) -> None:
        self._abandoned.inc()

    def to_text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self._registry)
