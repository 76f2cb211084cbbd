"""Errors and answers as HTTP: which status an error has, and how its body looks."""

from __future__ import annotations

import json
from typing import Any

from fastapi.responses import JSONResponse, Response

from team5.errors import (
    BusyError,
    CrowdedError,
    LateError,
    Team5Error,
    TooLargeError,
    UnauthorizedError,
    VersionNotFoundError,
)
from team5.serving.items import field_of

# Nobody reads it: the caller has gone. nginx's number for that.
CLIENT_GONE = 499


class ClientGone(Exception):  # noqa: N818  (no error of ours)
    """The caller has closed the connection."""


def status_of(error: Team5Error) -> int:
    """Return the HTTP status of an error: whose fault it is, and whether to come back."""
    if isinstance(error, UnauthorizedError):
        return 401
    if isinstance(error, TooLargeError):
        return 413
    if isinstance(error, VersionNotFoundError):
        return 404
    if isinstance(error, BusyError):
        return 503 if isinstance(error, CrowdedError | LateError) else 429
    return 422 if error.exit_code == 2 else 503


def error_detail(error: Team5Error, where: str | None = None) -> dict[str, Any]:
    """Return an error as a body has it; ``where`` is the item it is in."""
    field = field_of(error)
    place = ".".join(part for part in (where, field) if part) or None
    return {"type": type(error).__name__, "message": str(error), "where": place}


def error_response(error: Team5Error, retry_after_s: int = 1) -> Response:
    """Return the answer to a request that cannot be answered."""
    status = status_of(error)
    headers = {}
    if status in (429, 503):
        headers["Retry-After"] = str(retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return json_response({"error": error_detail(error)}, status, headers)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a value as JSON; what a caller typed comes back escaped, never as bad UTF-8."""
    content = json.dumps(value, allow_nan=False).encode() + b"\n"
    return Response(content, status, headers, JSONResponse.media_type)
