"""Around every request: who may ask, how long it took, and headers that keep browsers careful."""

from __future__ import annotations

import hmac
import time
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from team5.errors import CrowdedError, Team5Error, TooLargeError, UnauthorizedError
from team5.serving.answers import CLIENT_GONE, error_response
from team5.serving.metrics import Metrics
from team5.serving.protocol import is_crowded
from team5.serving.settings import Settings

# Nothing comes from the internet, and nothing is run that a file of ours does not hold.
_CONTENT_POLICY = (
    b"default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    b"object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", _CONTENT_POLICY),
]


_HEALTH = ("/health/live", "/health/ready")


class Guard:
    """Refuses callers without the token and bodies that announce too much; counts the rest.

    Parameters
    ----------
    app : ASGI application
    settings : Settings
    metrics : Metrics
    open_paths : collection of str
        Paths that need no token: they show the page, the docs and whether the server is well.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, metrics: Metrics, open_paths: Collection[str]
    ) -> None:
        self._app = app
        self._limits = settings.limits
        self._token = None if settings.token is None else settings.token.encode()
        self._metrics = metrics
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = CLIENT_GONE

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                closing = [(b"connection", b"close")] if is_crowded(scope) else []
                message = {**message, "headers": [*message["headers"], *_HEADERS, *closing]}
            await send(message)

        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await error_response(refusal)(scope, receive, send_noting)
            else:
                await self._app(scope, receive, send_noting)
        finally:
            self._metrics.request(
                _route(scope), _method(scope), status, time.perf_counter() - started
            )

    def _refusal(self, scope: Scope) -> Team5Error | None:
        # Who asks whether the server is well must not take it for dead.
        if is_crowded(scope) and scope["path"] not in _HEALTH:
            return CrowdedError(
                f"{self._limits.connections:,} connections are open, as many as the server takes. "
                "Connect again soon."
            )
        headers = dict(scope["headers"])
        if self._token is not None and scope["path"] not in self._open_paths:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if not hmac.compare_digest(given, self._token) or scheme.lower() != b"bearer":
                return UnauthorizedError(
                    'this server wants a token. Send the header "Authorization: Bearer TOKEN".'
                )
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced[:20]) > self._limits.body_bytes:
            return TooLargeError(
                f"the body is larger than {self._limits.body_mb:g} MB. Send less at once."
            )
        return None


def _route(scope: Scope) -> str:
    """Return the route's pattern: what callers write into paths must not become labels."""
    path = getattr(scope.get("route"), "path", None)
    return path or "other"


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in ("GET", "HEAD", "OPTIONS", "POST") else "other"
