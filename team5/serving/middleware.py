"""Middleware of every request: access control, timing, and security headers."""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from team5.errors import (
    CrowdedError,
    ForbiddenError,
    MediaTypeError,
    Team5Error,
    TooLargeError,
    UnauthorizedError,
)
from team5.serving.answers import CLIENT_GONE, error_response
from team5.serving.budget import Budget, Claim
from team5.serving.metrics import Metrics
from team5.serving.protocol import is_crowded
from team5.serving.settings import Settings

# Nothing is loaded from the internet, and only scripts in team5's files run.
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
    """Refuses unauthorised requests and bodies declared too large; counts the others.

    Without a token, a server accepts only names that no other web page can point at it, and no
    page of another origin unless it is in ``cors_origins``. With a token, ``open_paths`` need none:
    the page, the docs and health checks. Every request has a claim on the budget, in its scope's
    state.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        metrics: Metrics,
        budget: Budget,
        open_paths: Collection[str],
    ) -> None:
        self._app = app
        self._limits = settings.limits
        self._origins = frozenset(settings.cors_origins)
        self._names = {"localhost", settings.host.lower(), *map(str.lower, settings.names)}
        self._budget = budget
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
        claim = Claim(self._budget)
        scope["state"] = {**scope.get("state", {}), "claim": claim}

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
            claim.release()
            route = _route(scope)
            self._metrics.requests.labels(route, _method(scope), str(status)).inc()
            self._metrics.latency.labels(route).observe(time.perf_counter() - started)

    def _refusal(self, scope: Scope) -> Team5Error | None:
        # Health checks must be answered, or the server would be taken for dead.
        if is_crowded(scope) and scope["path"] not in _HEALTH:
            return CrowdedError(
                f"{self._limits.connections:,} connections are open, as many as the server takes. "
                "Connect again soon."
            )
        headers = Headers(scope=scope)
        if self._token is None:
            refusal = self._foreign(headers)
            if refusal is not None:
                return refusal
        elif scope["path"] not in self._open_paths:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            is_right = hmac.compare_digest(token.encode("latin-1"), self._token)
            if not is_right or scheme.lower() != "bearer":
                return UnauthorizedError(
                    'this server wants a token. Send the header "Authorization: Bearer TOKEN".'
                )
        if scope["method"] == "POST" and not _is_accepted(headers):
            return MediaTypeError(
                "the body must be JSON (Content-Type: application/json) or, for files, a form "
                "(multipart/form-data)."
            )
        announced = headers.get("content-length", "0")
        if announced.isdigit() and int(announced[:20]) > self._limits.body_bytes:
            return TooLargeError(
                f"the body is larger than {self._limits.body_mb:g} MB. Send less at once."
            )
        return None

    def _foreign(self, headers: Headers) -> Team5Error | None:
        """Return why a request does not come from this server's own page or a program."""
        host = headers.get("host", "")
        name = _host_name(host)
        if name not in self._names and not _is_address(name):
            return ForbiddenError(
                f"this server does not go by the name {host[:100]!r}. Use its address, add the "
                "name to names=, or set a token."
            )
        origin = headers.get("origin")
        if origin is None or origin in self._origins:
            return None
        if origin.partition("://")[2].lower() != host.lower():
            return ForbiddenError(
                f"pages of {origin[:100]!r} may not ask this server. Add the origin to "
                "cors_origins=, or set a token."
            )
        return None


def _host_name(host: str) -> str:
    """Return the name or address in a Host header, without port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    """Whether it is an IP address: no other page's name resolves to one of its choice."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_accepted(headers: Headers) -> bool:
    """Whether a body is declared as JSON or a form with files.

    Programs may leave it open, or declare what curl and urllib do by default; browsers let any
    page send that, and always say that they are one.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("application/json", "multipart/form-data") or kind.endswith("+json"):
        return True
    is_browser = "origin" in headers or "sec-fetch-site" in headers
    return not is_browser and kind in ("", "application/x-www-form-urlencoded")


def _route(scope: Scope) -> str:
    """Return the route's pattern, so that paths from callers do not become labels."""
    path = getattr(scope.get("route"), "path", None)
    return path or "other"


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in ("GET", "HEAD", "OPTIONS", "POST") else "other"
