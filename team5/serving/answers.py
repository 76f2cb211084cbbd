"""HTTP responses for errors and answers: status codes, headers and bodies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fastapi.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from team5 import errors
from team5.errors import Team5Error
from team5.serving.channel import in_chunks
from team5.serving.messages import Fault

# nginx's status for a caller that has gone; nobody reads it.
CLIENT_GONE = 499
# The first matching class counts; other errors get 422 or 503 by their exit code.
_STATUSES: dict[type[Team5Error], int] = {
    errors.UnauthorizedError: 401,
    errors.ForbiddenError: 403,
    errors.RouteNotFoundError: 404,
    errors.VersionNotFoundError: 404,
    errors.MethodNotAllowedError: 405,
    errors.TooLargeError: 413,
    errors.MediaTypeError: 415,
    errors.CrowdedError: 503,
    errors.LateError: 503,
    errors.OverloadedError: 503,
    errors.BusyError: 429,
}


class ClientGone(Exception):  # noqa: N818  (no error of ours)
    """The caller has closed the connection."""


class ChunkedResponse(Response):
    """A response from pieces, with at most one chunk in the connection's buffer."""

    def __init__(self, pieces: Sequence[bytes], media_type: str) -> None:
        length = {"content-length": str(sum(map(len, pieces)))}
        super().__init__(headers=length, media_type=media_type)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        for chunk in in_chunks(self._pieces):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})


def error_response(error: Team5Error, retry_after_s: int = 1) -> Response:
    """Return the answer to a request that cannot be answered."""
    by_class = (status for kind, status in _STATUSES.items() if isinstance(error, kind))
    status = next(by_class, 422 if error.exit_code == 2 else 503)
    headers = {}
    if status in (429, 503):
        headers["Retry-After"] = str(retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return json_response({"error": Fault.of(error).to_dict()}, status, headers)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a value as JSON; text from callers is escaped, so that it is always valid UTF-8."""
    content = json.dumps(value, allow_nan=False).encode() + b"\n"
    return Response(content, status, headers, JSONResponse.media_type)
