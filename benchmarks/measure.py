"""Works timed in turns, so that all meet the same load of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

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
