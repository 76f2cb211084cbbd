"""HTTP routes around `infer`: decode, compute, encode."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Scope

from team5.errors import ConfigError, MethodNotAllowedError, RouteNotFoundError, Team5Error
from team5.serving.answers import (
    CLIENT_GONE,
    ChunkedResponse,
    ClientGone,
    error_response,
    json_response,
)
from team5.serving.backend import Backend
from team5.serving.budget import Budget
from team5.serving.files import error_line
from team5.serving.middleware import Guard
from team5.serving.openapi import read_openapi
from team5.serving.service import Service, claim_of


class _Assets(StaticFiles):
    """Static files that browsers revalidate on each use."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "no-cache"
        return response


def make_app(service: Service, budget: Budget) -> ASGIApp:
    """Return the application around a service, which the caller starts and closes."""
    settings = service.settings
    app = FastAPI(docs_url=None, redoc_url=None)
    document = read_openapi()
    app.openapi = lambda: document  # type: ignore[method-assign]
    _add_errors(app, service.backend)
    _add_questions(app, service)
    _add_files(app, service)
    _add_state(app, service)
    package = Path(str(resources.files("team5.serving")))
    _add_page(app, service, package / "page")
    app.mount("/docs", _Assets(directory=package / "docs", html=True))
    guarded: ASGIApp = Guard(app, settings, service.metrics, budget, _open_paths(package))
    if settings.cors_origins:
        guarded = CORSMiddleware(
            guarded,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return guarded


def _open_paths(package: Path) -> set[str]:
    """Return the routes open without a token: they contain nothing that needs one."""
    paths = {"/", "/docs", "/docs/", "/openapi.json", "/health/live", "/health/ready"}
    for folder, at in ((package / "page", "/"), (package / "docs", "/docs/")):
        paths |= {at + file.relative_to(folder).as_posix() for file in folder.rglob("*.*")}
    return paths


def _add_errors(app: FastAPI, backend: Backend) -> None:
    @app.exception_handler(Team5Error)
    async def _(request: Request, error: Team5Error) -> Response:
        return error_response(error, backend.retry_after_s)

    @app.exception_handler(ClientGone)
    async def _(request: Request, error: ClientGone) -> Response:
        return Response(status_code=CLIENT_GONE)

    @app.exception_handler(ClientDisconnect)
    async def _(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> Response:
        return error_response(ConfigError(f"the request is not understood: {error}."))

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> Response:
        path = request.url.path[:200]
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "another method")
            refusal: Team5Error = MethodNotAllowedError(
                f"{path} takes {allowed}, not {request.method}. /docs describes each request."
            )
        elif error.status_code == 404:
            refusal = RouteNotFoundError(f"there is no {path} here. /docs lists what there is.")
        else:
            refusal = ConfigError(f"the request is not understood: {error.detail}.")
        response = error_response(refusal)
        response.headers.update(error.headers or {})
        return response


def _add_questions(app: FastAPI, service: Service) -> None:
    @app.post("/predict")
    async def predict(
        request: Request, version: str | None = None, progress: bool = False
    ) -> Response:
        prepared = await service.prepare(request)
        work = service.predict(prepared, version, claim_of(request))
        if progress:
            return await _in_lines(service.with_progress(request, work))
        answer = await service.while_wanted(request, work)
        return ChunkedResponse(answer, media_type="application/json")

    @app.post("/draw")
    async def draw(request: Request) -> Response:
        body = await service.read_body(request)
        svg = await service.while_wanted(request, service.call_helper("draw", body))
        return ChunkedResponse([svg], media_type="image/svg+xml")


def _add_files(app: FastAPI, service: Service) -> None:
    @app.post("/rank/file")
    async def rank_file(
        request: Request, version: str | None = None, progress: bool = False
    ) -> Response:
        return await _in_lines(service.rank_file(request, version, progress))

    @app.post("/spectra/read")
    async def read(request: Request) -> Response:
        content = await service.read_file(request, "read")
        return ChunkedResponse([content], media_type="application/json")


async def _in_lines(lines: AsyncGenerator[bytes]) -> Response:
    """Return a streamed response; an error after the first of its lines is a line, too."""
    first = await anext(lines, b"")

    async def stream() -> AsyncIterator[bytes]:
        async with aclosing(lines):
            yield first
            try:
                async for line in lines:
                    yield line
            except ClientGone:
                return
            except Team5Error as error:
                yield error_line(error)

    return StreamingResponse(stream(), media_type="application/x-ndjson")


def _add_page(app: FastAPI, service: Service, folder: Path) -> None:
    """Add a route for each file: a mount at / would hide that a path takes another method."""
    assets = _Assets(directory=folder)

    def add(path: str, file: Path) -> None:
        @app.api_route(path, methods=["GET", "HEAD"])
        async def _(request: Request) -> Response:
            response = assets.file_response(file, file.stat(), request.scope)
            if path == "/":  # the page will soon need the helper, which is slow to start
                response.background = BackgroundTask(service.warm)
            return response

    add("/", folder / "index.html")
    for file in sorted(folder.rglob("*.*")):
        add(f"/{file.relative_to(folder).as_posix()}", file)


def _add_state(app: FastAPI, service: Service) -> None:
    backend = service.backend

    @app.get("/versions")
    async def versions() -> Response:
        return json_response(await service.registry.list_versions(backend.current))

    @app.get("/versions/{version}")
    async def version(version: str) -> Response:
        return json_response(await service.registry.read_version(version, backend.current))

    @app.get("/libraries")
    async def libraries() -> Response:
        listed = service.libraries.items()
        return json_response(
            [{"library": name, "n_structures": library.n_structures} for name, library in listed]
        )

    @app.get("/health/live")
    async def live() -> Response:
        return json_response({"status": "live"})

    @app.get("/health/ready")
    async def ready() -> Response:
        current, refused = backend.current, backend.refused
        body: dict[str, Any] = {"status": "ready" if current else "starting"}
        if current is not None:
            body |= {"version": current.version, "version_hash": current.version_hash}
        if refused is not None:
            body["refused"] = refused.fault.to_dict()
        return json_response(body, 200 if current else 503, {} if current else {"Retry-After": "1"})

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(service.metrics.to_text(), media_type="text/plain; version=0.0.4")
