"""Search of chunks in local processes, or in this one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from functools import partial

import torch

from team5.inference.engine import one_thread
from team5.runtime.workers import OnItem, work_in_processes
from team5.search.chunks import Result, Searcher
from team5.search.spectra import Chunk, LeftOut

MakeSearcher = Callable[[], Searcher]

_SPECTRUM_TIMEOUT_S = 3600.0  # far beyond the longest list of candidates


def search_here(chunks: Iterable[Chunk], make_searcher: MakeSearcher) -> Generator[Result]:
    """Search chunks in this process, with one thread, as workers do."""
    with one_thread():
        searcher = make_searcher()
        for chunk in chunks:
            yield searcher.search(chunk)


def search_in_processes(
    chunks: Iterable[Chunk], make_searcher: MakeSearcher, n_workers: int
) -> Generator[Result]:
    """Search chunks in several processes, and yield the answers of each, in any order.

    A spectrum during which a worker ends twice, or that hangs, is left out.

    Parameters
    ----------
    chunks : iterable of Chunk
    make_searcher : callable
        Called once by each worker; must be picklable.
    n_workers : int

    Raises
    ------
    WorkerError
        If workers end before they begin.
    Team5Error
        What a worker raises.
    """
    results = work_in_processes(
        chunks,
        partial(_make_work, make_searcher),
        n_workers=n_workers,
        leave_out=without_spectrum,
        item_timeout_s=_SPECTRUM_TIMEOUT_S,
    )
    with closing(results):
        for _, result in results:
            yield result


def _make_work(make_searcher: MakeSearcher) -> Callable[[Chunk, OnItem], Result]:
    torch.set_num_threads(1)
    return make_searcher().search


def without_spectrum(chunk: Chunk, index: int, reason: str) -> Chunk:
    """Return a chunk with one of its spectra moved to those left out."""
    number, spectrum = chunk.spectra[index]
    if "SIGKILL" in reason:
        reason += ", mostly for want of memory: engine.workers=N with fewer helps"
    members = (number, spectrum), *chunk.others.get(number, ())
    return dataclasses.replace(
        chunk,
        spectra=chunk.spectra[:index] + chunk.spectra[index + 1 :],
        left_out=(
            *chunk.left_out,
            *(LeftOut(n, member.identifier, reason) for n, member in members),
        ),
        others={first: others for first, others in chunk.others.items() if first != number},
    )
