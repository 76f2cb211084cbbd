"""Running of a server: bind, load, answer, shut down."""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn

from team5.errors import ConfigError
from team5.registry.export import resolve_version
from team5.serving.app import make_app
from team5.serving.backend import Backend
from team5.serving.budget import Budget
from team5.serving.messages import Loaded
from team5.serving.metrics import Metrics
from team5.serving.protocol import BoundedProtocol
from team5.serving.service import Service
from team5.serving.settings import TOKEN_VARIABLE, Settings

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    resolve_version(settings.checkpoints_root, settings.version)  # before anything is started
    with _bind(settings.host, settings.port) as listening:
        asyncio.run(_serve(settings, listening))
    return 0


async def _serve(settings: Settings, listening: socket.socket) -> None:
    metrics = Metrics()
    backend = Backend(settings, metrics)
    budget = Budget(int(settings.limits.memory_mb * 1_000_000))
    metrics.memory.set_function(lambda: budget.n_used)
    service = Service(settings, backend, metrics, budget)
    watching = None

    class Protocol(BoundedProtocol):
        limits = settings.limits

    try:
        loaded = await backend.start()
        watching = asyncio.create_task(service.registry.watch(settings, backend))
        config = uvicorn.Config(
            make_app(service, budget),
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # Accepted at a time, before those too many are dropped: file descriptors must last.
            backlog=256,
            # Requests not answered by then have been refused; see `Service.stop`.
            timeout_graceful_shutdown=int(settings.shutdown_s) + 5,
        )
        _announce(settings, loaded, _address(listening))
        await _Server(config, service).serve(sockets=[listening])
    finally:
        if watching is not None:
            watching.cancel()
        await service.close()
        await backend.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.stop()
        await super().shutdown(sockets)


def _announce(settings: Settings, loaded: Loaded, address: str) -> None:
    serving = f"Serving {loaded.version} ({loaded.version_hash}) on {address}"
    print(serving, file=sys.stderr, flush=True)
    if settings.token is None and settings.host not in _LOOPBACK:
        print(
            f"Whoever reaches {settings.host} may ask: {TOKEN_VARIABLE} sets a token to be shown.",
            file=sys.stderr,
            flush=True,
        )


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise ConfigError(
            f"host={host} port={port} cannot be used ({error.strerror or error}). "
            "Choose another port, or port=0 for any free one."
        ) from error


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
