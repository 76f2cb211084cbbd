"""Search of chunks by actors on a Ray cluster.

Plain actors rather than Ray Data: spectra are read here as they are needed, chunk by chunk, which
Ray Data does only for sources that its own tasks can read again, and what an actor that is killed
was at is given to it again once it is back.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Generator, Iterable
from typing import Any

from team5.errors import ConfigError, MissingExtraError, Team5Error, WorkerError
from team5.runtime.command import TERMINATED, raising_at_sigterm
from team5.search.chunks import Result
from team5.search.local import MakeSearcher
from team5.search.spectra import Chunk

# A chunk that kills its worker so many times is itself at fault.
_TRIES_AGAIN = 3
# Tables of chunks pass through it; Ray's own default is a third of the machine's memory.
_STORE_BYTES = 256 << 20
_KNOCK_S = 10.0


def search_on_ray(
    chunks: Iterable[Chunk],
    make_searcher: MakeSearcher,
    *,
    address: str | None,
    n_workers: int | None,
    on_gpu: bool = False,
) -> Generator[Result]:
    """Search chunks with actors, and yield the answers of each, in any order.

    Each actor loads version and library once, and has one chunk at a time. One that ends is
    started again and does its chunk anew.

    Parameters
    ----------
    chunks : iterable of Chunk
    make_searcher : callable
        Called once by each actor; must be picklable. Its paths must be good where the actors are.
    address : str or None
        Of a cluster, ``ray://HOST:10001`` or ``auto``; None starts one on this machine, which
        ends with the search.
    n_workers : int or None
        None takes the cluster's cores, or its GPUs.
    on_gpu : bool
        Whether each actor needs a GPU of its own.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    ConfigError
        If there is no cluster at the address.
    WorkerError
        If a chunk ends its actor again and again.
    """
    # Disables Ray's usage statistics.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError.of("engine=ray", "ray") from error
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, address, n_workers)
    # Ray's handler would abort with a dump and leave its processes running.
    with raising_at_sigterm(SystemExit(TERMINATED)):
        try:
            resource = "GPU" if on_gpu else "CPU"
            n_workers = n_workers or max(1, int(ray.cluster_resources().get(resource, 1)))
            yield from _search(ray, chunks, make_searcher, n_workers, on_gpu)
        finally:
            if ours:
                ray.shutdown()


def _connect(ray: Any, address: str | None, n_workers: int | None) -> None:
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        how |= {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
            "num_cpus": max(n_workers or 0, os.cpu_count() or 1),
        }
    else:
        how["address"] = address
    try:
        _knock(address)
        ray.init(**how)
    except (OSError, ValueError, RuntimeError) as error:
        where = "on this machine" if address is None else f"at engine.address={address}"
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(
            f"no Ray {where}: {reason}. Correct engine.address=, or leave it out to start Ray on "
            "this machine."
        ) from error


def _knock(address: str | None) -> None:
    """Check that HOST:PORT accepts connections; Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), _KNOCK_S).close()


def _search(
    ray: Any, chunks: Iterable[Chunk], make_searcher: MakeSearcher, n_workers: int, on_gpu: bool
) -> Generator[Result]:
    remote = ray.remote(
        num_cpus=1, num_gpus=int(on_gpu), max_restarts=-1, max_task_retries=_TRIES_AGAIN
    )(_Actor)
    waiting = iter(chunks)
    first = next(waiting, None)
    if first is None:
        return
    actors = [remote.remote(make_searcher) for _ in range(n_workers)]
    # An actor that the cluster has no place for yet gets no chunk.
    pending = {actor.load.remote(): actor for actor in actors}
    upcoming: Chunk | None = first
    n_at_work = 0
    try:
        while pending and (upcoming is not None or n_at_work):
            (done,), _ = ray.wait(list(pending), num_returns=1)
            actor = pending.pop(done)
            answer = _get(ray, done)
            if answer is not None:
                n_at_work -= 1
            if upcoming is not None:
                pending[actor.search.remote(upcoming)] = actor
                upcoming, n_at_work = next(waiting, None), n_at_work + 1
            if answer is not None:
                yield answer
    finally:
        for actor in actors:
            ray.kill(actor)


def _get(ray: Any, reference: Any) -> Result | None:
    try:
        answer: Result | Team5Error | None = ray.get(reference)
    except ray.exceptions.RayError as error:
        why = " ".join(str(error).split())
        raise WorkerError(f"a worker of Ray ended {_TRIES_AGAIN + 1} times: {why}") from error
    if isinstance(answer, Team5Error):
        raise answer
    return answer


class _Actor:
    """Worker that loads version and library once."""

    def __init__(self, make_searcher: MakeSearcher) -> None:
        import torch

        torch.set_num_threads(1)
        self._make_searcher = make_searcher
        self._searcher: Any = None

    def load(self) -> Team5Error | None:
        """Load version and library."""
        try:
            self._searcher = self._make_searcher()
        except Team5Error as error:
            return error
        return None

    def search(self, chunk: Chunk) -> Result | Team5Error:
        """Search a chunk; load first if the actor was restarted."""
        try:
            if self._searcher is None:
                self._searcher = self._make_searcher()
            return self._searcher.search(chunk)
        except Team5Error as error:
            return error
