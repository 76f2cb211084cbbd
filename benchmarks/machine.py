"""What all benchmarks print: the machine they ran on, and tables."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path


def command_line() -> tuple[list[str], dict[str, str]]:
    """Return the words of the command line, and its options by key from ``key=value``."""
    words = [word for word in sys.argv[1:] if "=" not in word]
    return words, dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)


def machine_line() -> str:
    """Return processor, cores at hand, torch with its threads, and how busy the machine is."""
    import torch

    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return (
        f"{_processor()}, {_n_cores()} cores, torch {torch.__version__} with "
        f"{torch.get_num_threads()} threads, load {load}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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


class Table:
    """Rows printed as they come, under a header; numbers with three digits that count."""

    def __init__(self, *columns: str) -> None:
        self._widths = [max(len(column), 10) for column in columns]
        self._print(columns)

    def row(self, *cells: str | float) -> None:
        """Print a row."""
        self._print([cell if isinstance(cell, str) else _number(cell) for cell in cells])

    @staticmethod
    def spread(values: Sequence[float]) -> tuple[float, float, float]:
        """Return median, smallest and largest of measured values."""
        return statistics.median(values), min(values), max(values)

    def _print(self, cells: Sequence[str]) -> None:
        # The first says what is measured.
        padded = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, self._widths, strict=True))
        ]
        print("  ".join(padded).rstrip(), flush=True)


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
