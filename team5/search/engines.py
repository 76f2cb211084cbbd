"""Engines that compute the chunks of a search: local processes, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

from team5.errors import ConfigError
from team5.inference.loading import parse_device
from team5.runtime.workers import n_cores
from team5.search.checks import is_count
from team5.search.chunks import Result, Searcher, SearchSettings, Tools
from team5.search.local import search_here, search_in_processes
from team5.search.spectra import Chunk

_NAMES = ("local", "ray")
# Fewer are finished before further processes have started.
_MIN_CHUNKS = 3


@dataclass(frozen=True, slots=True)
class Engine:
    """Engine that computes chunks.

    Attributes
    ----------
    name : {"local", "ray"}
    workers : int or None
        Processes at work at a time; None takes one per core, or per GPU. 0 and 1 do without
        further processes where the engine is local.
    address : str or None
        Of a Ray cluster; None starts one on this machine.
    """

    name: str = "local"
    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.name not in _NAMES:
            raise ConfigError(f"engine.name={self.name}: choose {' or '.join(_NAMES)}.")
        least = 0 if self.name == "local" else 1
        if self.workers is not None and not is_count(self.workers, least):
            raise ConfigError(
                f"engine.workers={self.workers}: give a number of processes, {least} or more, or "
                "null for one per core."
            )


def run(
    chunks: Iterable[Chunk], engine: Engine, tools: Tools, settings: SearchSettings
) -> Generator[Result]:
    """Search chunks, and yield the answers of each, in any order.

    Raises
    ------
    WorkerError
        If a worker ended and its chunk cannot be done again.
    Team5Error
        What loading the version or the library raises.
    """
    make_searcher = partial(Searcher, tools, settings)
    if engine.name == "ray":
        from team5.search.on_ray import search_on_ray

        return search_on_ray(
            chunks,
            make_searcher,
            address=engine.address,
            n_workers=engine.workers,
            on_gpu=tools.device.startswith("cuda"),
        )
    n_workers = engine.workers
    if n_workers is None:
        first = list(islice(chunks := iter(chunks), _MIN_CHUNKS))
        n_workers = default_workers(tools.device) if len(first) == _MIN_CHUNKS else 1
        chunks = chain(first, chunks)
    if n_workers <= 1:
        return search_here(chunks, make_searcher)
    return search_in_processes(chunks, make_searcher, n_workers)


def default_workers(device: str) -> int:
    """Return how many processes use a device best: one per core; one keeps an accelerator busy."""
    return n_cores() if parse_device(device).type == "cpu" else 1
