"""Streaming of the rankings of a file's spectra as they are computed."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

from team5.errors import Team5Error
from team5.search.reading import UNANSWERABLE
from team5.serving.backend import Backend, Caller
from team5.serving.messages import Contents, Fault, Query

# Spectra in progress at once: while one is encoded the next is computed.
_AHEAD = 3


async def rank_lines(
    backend: Backend, contents: Contents, version: str | None, caller: Caller
) -> AsyncGenerator[list[bytes]]:
    """Yield a line of JSON in pieces for each spectrum, and for each record left out.

    Each has its place; structures left out have it in the text, and null as place.
    """
    queries = iter(contents.queries)
    under_way: deque[tuple[Query, asyncio.Task[tuple[list[bytes], tuple[str, ...]]]]] = deque()
    left_out: deque[tuple[Query | None, str]] = deque((None, text) for text in contents.left_out)

    def start_next() -> None:
        for query in queries:
            if query.left_out is not None:
                left_out.append((query, query.left_out))
                continue
            work = backend.rank(query, contents, version, caller)
            under_way.append((query, asyncio.create_task(work)))
            return

    try:
        for _ in range(_AHEAD):
            start_next()
        while under_way:
            query, task = under_way.popleft()
            try:
                ranking, faults = await task
            except UNANSWERABLE as error:
                ranking, faults = [], (f"{error} Left out.",)
            start_next()
            left_out.extend((query, f"{query.place}, {text}") for text in faults)
            while left_out:
                yield [_left_out_line(*left_out.popleft())]
            if ranking:
                where = {"place": query.place, "spectra": query.numbers}
                first, *others = ranking
                yield [json.dumps(where).encode()[:-1] + b", " + first[1:], *others, b"\n"]
                caller.claim.grow(-sum(map(len, ranking)))
        while left_out:
            yield [_left_out_line(*left_out.popleft())]
    finally:
        for _, task in under_way:
            task.cancel()
        await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)


def error_line(error: Team5Error) -> bytes:
    """Return the line that ends a failed stream."""
    return _line({"place": None, "error": Fault.of(error).to_dict()})


def progress_line(n_done: int, n_pairs: int) -> bytes:
    """Return a progress line with the numbers of scored and of all pairs."""
    return _line({"progress": {"pairs": n_done, "of": n_pairs}})


def _left_out_line(query: Query | None, text: str) -> bytes:
    if query is None:
        return _line({"place": None, "left_out": text})
    return _line({"place": query.place, "spectrum": query.number, "left_out": text})


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
