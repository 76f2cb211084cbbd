"""Works timed in turns, so that all meet the same load of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

ROUNDS = 5


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how long one call takes."""
    began = clock()
    work()
    return clock() - began


def alternate(
    works: Sequence[Callable[[], object]],
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Return the seconds of each work in each round; they take turns and meet the same load."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for own, work in zip(taken, works, strict=True):
            own.append(seconds(work, clock))
    return taken
