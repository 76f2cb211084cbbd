"""What the benchmarks share: repeated timings as medians, tables, and on what machine."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def alternate(works: Sequence[Callable[[], object]], rounds: int = ROUNDS) -> list[list[float]]:
    """Return the seconds of each work in each round; they take turns and meet the same load."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for own, work in zip(taken, works, strict=True):
            own.append(seconds(work))
    return taken


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Write a median with the least and the most: ``1.72 (1.60 to 1.93)``."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their header, the first column to the left."""
    texts = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in texts) for i in range(len(header))]
    for row in texts:
        first = row[0].ljust(widths[0])
        print("  ".join([first, *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]))


def print_machine(threads: int) -> None:
    """Print the processor, its cores and how many of them torch uses."""
    model = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if described.exists():
        for line in described.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    print(f"{model}, {os.cpu_count()} cores, torch on {threads}; load {os.getloadavg()[0]:.1f}")
