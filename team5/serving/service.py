"""What the routes ask for: from the body of a request to the answer, as long as it is wanted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request

from team5.errors import ConfigError, LateError, Team5Error, TooLargeError
from team5.serving.answers import ClientGone, error_detail
from team5.serving.aside import Aside
from team5.serving.backend import Backend
from team5.serving.files import check_contents, error_line, rank_lines
from team5.serving.items import Item, check_item, parse_drawing, parse_json
from team5.serving.messages import Contents
from team5.serving.metrics import Metrics
from team5.serving.settings import Settings
from team5.serving.uploads import FileQuestion

T = TypeVar("T")


class Service:
    """What the routes share."""

    def __init__(self, settings: Settings, backend: Backend, metrics: Metrics) -> None:
        self.settings = settings
        self.backend = backend
        self.metrics = metrics
        self._files = Aside("read", settings.limits.read_s)
        self._drawings = Aside("draw", settings.limits.read_s)

    async def predict(self, body: bytes, version: str | None) -> bytes:
        """Return the answer to the body of POST /predict."""
        try:
            return await self._predict(parse_json(body), version) + b"\n"
        except RecursionError as error:
            raise ConfigError("the body is nested too deeply. Give plain lists.") from error

    async def _predict(self, given: Any, version: str | None) -> bytes:
        if isinstance(given, dict) and "items" in given:
            if len(given) > 1 or not isinstance(given["items"], list):
                raise ConfigError('{"items": [...]} takes a list, and nothing beside it.')
            return b'{"items": ' + await self._predict_all(given["items"], version) + b"}"
        if isinstance(given, list):
            return await self._predict_all(given, version)
        item = check_item(given, self.settings.limits)
        with self.backend.room(item.n_pairs) as caller:
            return await self.backend.answer(item, version, caller)

    async def _predict_all(self, given: list[Any], version: str | None) -> bytes:
        items: list[Item | Team5Error] = []
        for one in given:
            try:
                items.append(check_item(one, self.settings.limits))
            except Team5Error as error:
                items.append(error)
        n_pairs = sum(item.n_pairs for item in items if isinstance(item, Item))
        most = self.settings.limits.candidates
        if max(n_pairs, len(items)) > most:
            raise ConfigError(
                f"{max(n_pairs, len(items)):,} pairs of a structure and a spectrum; at most "
                f"{most:,} are taken at once. Send several requests."
            )

        async def answer(number: int, caller: int) -> bytes:
            item = items[number]
            try:
                if isinstance(item, Item):
                    found = await self.backend.answer(item, version, caller)
                    return b'{"answer": ' + found + b"}"
                raise item
            except Team5Error as error:
                if error.exit_code != 2:
                    raise  # not the item's fault: none of them is answered
                detail = error_detail(error, f"items[{number}]")
                return json.dumps({"error": detail}).encode()

        with self.backend.room(n_pairs) as caller:
            found = await asyncio.gather(*(answer(number, caller) for number in range(len(items))))
        return b"[" + b", ".join(found) + b"]"

    async def while_wanted(
        self, request: Request, work: Awaitable[T], until: float | None = None
    ) -> T:
        """Wait for work as long as the caller does, and no longer than a request may take.

        Parameters
        ----------
        until : float, optional
            On the monotonic clock; by default a request's time from now.

        Raises
        ------
        ClientGone
            If the caller has closed the connection; the work is cancelled.
        LateError
            If the time is up.
        """
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(_disconnected(request))
        left_s = self.settings.limits.request_s if until is None else until - time.monotonic()
        try:
            await asyncio.wait({task, gone}, timeout=max(left_s, 0), return_when="FIRST_COMPLETED")
            if task.done():
                return task.result()
            if gone.done():
                self.metrics.abandoned()
                raise ClientGone
            raise self._late()
        finally:
            for one in (task, gone):
                one.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)

    async def draw(self, body: bytes) -> str:
        """Return the answer to the body of POST /draw."""
        question = parse_drawing(parse_json(body), self.settings.limits)
        svg: str = await self._drawings.call(*question)
        return svg

    async def read(self, asked: FileQuestion) -> Contents:
        """Return what uploaded files hold."""
        contents: Contents = await self._files.call(asked.spectra, asked.candidates)
        check_contents(contents, self.settings.limits)
        return contents

    async def rank_lines(
        self, request: Request, contents: Contents, asked: FileQuestion, version: str | None
    ) -> AsyncGenerator[bytes]:
        """Yield the lines of POST /rank/file; after the first one, an error is a line too.

        Raises
        ------
        Team5Error
            In place of the first line.
        """
        if version is None and self.backend.current is not None:
            version = self.backend.current.version  # one for the whole file
        until = time.monotonic() + self.settings.limits.request_s
        n_lines = 0
        try:
            with self.backend.room(len(contents.candidates or ())) as caller:
                ranked = rank_lines(self.backend, contents, asked, version, caller)
                async with aclosing(ranked) as lines:
                    while line := await self.while_wanted(request, anext(lines, b""), until):
                        n_lines += 1
                        yield line
        except ClientGone:
            return
        except Team5Error as error:
            if not n_lines:
                raise
            yield error_line(error)

    async def warm(self) -> None:
        """Start what somebody who has opened the page will soon need."""
        await asyncio.gather(self._files.warm(), self._drawings.warm())

    async def close(self) -> None:
        """Let the helper processes go."""
        await asyncio.gather(self._files.close(), self._drawings.close())

    def _late(self) -> LateError:
        return LateError(
            f"no answer within {self.settings.limits.request_s:g} s. Ask for fewer candidates at "
            "once, or try later."
        )

    async def read_body(self, request: Request) -> bytes:
        """Return the body of a request.

        Raises
        ------
        TooLargeError
            If it is larger than allowed; what is beyond is not read.
        LateError
            If it does not come.
        """
        limits = self.settings.limits
        body = bytearray()
        try:
            async with asyncio.timeout(limits.body_s):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > limits.body_bytes:
                        raise TooLargeError(
                            f"the body is larger than {limits.body_mb:g} MB. Send less at once."
                        )
        except TimeoutError as error:
            raise LateError(f"the body did not come within {limits.body_s:g} s.") from error
        return bytes(body)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
