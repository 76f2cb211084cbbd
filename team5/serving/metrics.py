"""Prometheus metrics for /metrics."""

from __future__ import annotations

from typing import Any, TypeVar

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

M = TypeVar("M", Counter, Gauge, Histogram, Info)


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

        def make(kind: type[M], name: str, text: str, *labels: str, **options: Any) -> M:
            return kind(f"team5_{name}", text, labels, registry=self._registry, **options)

        self.requests = make(Counter, "requests", "Requests answered.", "route", "method", "status")
        text = "From the first byte of a request to the last of its answer."
        self.latency = make(Histogram, "request_seconds", text, "route", buckets=_SECONDS)
        self.queue_requests = make(Gauge, "queue_requests", "Items waiting or under way.")
        text = "Pairs of a structure and a spectrum in them."
        self.queue_pairs = make(Gauge, "queue_pairs", text)
        text = "Pairs computed together."
        self.batch_pairs = make(Histogram, "batch_pairs", text, buckets=_PAIRS)
        text = "Items that share a batch."
        self.batch_items = make(Histogram, "batch_items", text, buckets=_PAIRS)
        text = "Time of a batch."
        self.batch_seconds = make(Histogram, "batch_seconds", text, buckets=_SECONDS)
        self.memory = make(Gauge, "claimed_bytes", "Memory that requests under way have claimed.")
        self.version = make(Info, "version", "What answers by default.")
        self.ready = make(Gauge, "ready", "1 while requests are answered.")
        self.load_failures = make(Counter, "version_load_failures", "Versions that were refused.")
        text = "Times the computing process came back."
        self.restarts = make(Counter, "worker_restarts", text)
        self.abandoned = make(Counter, "abandoned_requests", "Requests whose caller had gone.")

    def to_text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self._registry)
