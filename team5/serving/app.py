"""HTTP around `infer`: decode, ask, encode."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles

import team5
from team5.errors import ConfigError, Team5Error, TooLargeError
from team5.serving import schemas
from team5.serving.answers import (
    CLIENT_GONE,
    ClientGone,
    LateError,
    error_detail,
    error_response,
    json_response,
)
from team5.serving.backend import Backend
from team5.serving.items import Item, check_item, parse_json
from team5.serving.metrics import Metrics
from team5.serving.settings import Settings
from team5.serving.versions import read_entry, read_versions

T = TypeVar("T")


class Server:
    """What the routes share."""

    def __init__(self, settings: Settings, backend: Backend, metrics: Metrics) -> None:
        self.settings = settings
        self.backend = backend
        self.metrics = metrics

    async def predict(self, body: bytes, version: str | None) -> bytes:
        """Return the answer to the body of POST /predict."""
        given = parse_json(body)
        if isinstance(given, dict) and "items" in given:
            if len(given) > 1 or not isinstance(given["items"], list):
                raise ConfigError('{"items": [...]} takes a list, and nothing beside it.')
            return b'{"items": ' + await self._predict_all(given["items"], version) + b"}"
        if isinstance(given, list):
            return await self._predict_all(given, version)
        item = check_item(given, self.settings.limits)
        self.backend.check_room(1, item.n_pairs)
        return await self.backend.answer(item, version)

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
        self.backend.check_room(1, n_pairs)

        async def answer(number: int) -> bytes:
            item = items[number]
            try:
                if isinstance(item, Item):
                    return b'{"answer": ' + await self.backend.answer(item, version) + b"}"
                raise item
            except Team5Error as error:
                if error.exit_code != 2:
                    raise  # not the item's fault: none of them is answered
                detail = error_detail(error, f"items[{number}]")
                return bytes(json_response({"error": detail}).body)

        found = await asyncio.gather(*(answer(number) for number in range(len(items))))
        return b"[" + b", ".join(found) + b"]"

    async def while_wanted(self, request: Request, work: Awaitable[T]) -> T:
        """Wait for work as long as the caller does, and no longer than a request may take.

        Raises
        ------
        ClientGone
            If the caller has closed the connection; the work is cancelled.
        LateError
            If the time is up.
        """
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(_disconnected(request))
        limit_s = self.settings.limits.request_s
        try:
            await asyncio.wait({task, gone}, timeout=limit_s, return_when="FIRST_COMPLETED")
            if task.done():
                return task.result()
            if gone.done():
                self.metrics.abandoned()
                raise ClientGone
            raise LateError(
                f"no answer within {limit_s:g} s. Ask for fewer candidates at once, or try later."
            )
        finally:
            for one in (task, gone):
                one.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)

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


def make_app(settings: Settings, backend: Backend, metrics: Metrics) -> FastAPI:
    """Return the application; ``backend`` is started and closed by the caller."""
    app = FastAPI(
        title="team5",
        version=team5.__version__,
        description="Match, rank and simulate tandem mass spectra.",
        docs_url=None,
        redoc_url=None,
    )
    server = Server(settings, backend, metrics)
    named = Query(None, description="v0.1 or an alias; the latest by default")

    @app.exception_handler(Team5Error)
    async def _(request: Request, error: Team5Error) -> Response:
        return error_response(error, backend.retry_after_s)

    @app.exception_handler(ClientGone)
    async def _(request: Request, error: ClientGone) -> Response:
        return Response(status_code=CLIENT_GONE)

    @app.post("/predict", summary="Match, rank or simulate, by what is given")
    async def predict(request: Request, version: str | None = named) -> Response:
        body = await server.read_body(request)
        answer = await server.while_wanted(request, server.predict(body, version))
        return Response(answer, media_type="application/json")

    @app.get("/versions", response_model=schemas.VersionsBody)
    async def versions() -> Response:
        return json_response(await asyncio.to_thread(read_versions, settings, backend.current))

    @app.get("/versions/{version}", response_model=schemas.VersionBody)
    async def version(version: str) -> Response:
        entry = await asyncio.to_thread(read_entry, settings, backend.current, version)
        return json_response(entry)

    @app.get("/health/live", response_model=schemas.Health, summary="Whether the server runs")
    async def live() -> Response:
        return json_response({"status": "live"})

    @app.get("/health/ready", response_model=schemas.Health, summary="Whether it can answer")
    async def ready() -> Response:
        current, refused = backend.current, backend.refused
        body: dict[str, Any] = {"status": "ready" if current else "starting"}
        if current is not None:
            body |= {"version": current.version, "version_hash": current.version_hash}
        if refused is not None:
            body["refused"] = error_detail(refused.fault.to_error())
        return json_response(body, 200 if current else 503, {} if current else {"Retry-After": "1"})

    page = Path(str(resources.files("team5.serving") / "page"))
    app.mount("/", StaticFiles(directory=page, html=True), name="page")
    return app
