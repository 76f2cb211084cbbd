"""The OpenAPI document: what /docs shows, with an example for every body."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from team5.serving import schemas
from team5.serving.schemas import schema_of

_REFUSALS = {
    401: "a token is wanted",
    403: "the request comes from another web page, or by a name the server does not go by",
    404: "no such version",
    413: "the body is too large, or what it asks takes too much memory",
    415: "the body is declared to be neither JSON nor a form",
    422: "the request cannot be answered: what is wrong with it, and where",
    429: "as much is waiting as the server takes; see Retry-After",
    503: "not ready, not in time, or out of memory; see Retry-After",
}
_LINES = (
    "Each line is an object with the place of its spectrum in the file and either a Ranking, or "
    "left_out, what was left out and why, or error, which ends the stream."
)
_MULTIPART = {
    "spectra": {"type": "string", "format": "binary"},
    "candidates": {"type": "string", "format": "binary"},
}


def complete_openapi(app: FastAPI) -> None:
    """Add bodies, answers and refusals to what FastAPI knows of its routes."""
    document = app.openapi()
    document.setdefault("components", {}).setdefault("schemas", {})
    components: dict[str, Any] = document["components"]["schemas"]
    components.pop("HTTPValidationError", None)
    components.pop("ValidationError", None)
    paths = document["paths"]

    def body(path: str, kind: Any, form: bool = False) -> None:
        described = {"schema": schema_of(kind, components), "examples": schemas.EXAMPLES[path]}
        content: dict[str, Any] = {"application/json": described}
        if form:
            fields = dict(components[kind.__name__]["properties"])
            fields = {key: of for key, of in fields.items() if not key.endswith("_name")}
            schema = {"type": "object", "properties": {**fields, **_MULTIPART}}
            content["multipart/form-data"] = {"schema": {**schema, "required": ["spectra"]}}
        paths[path]["post"]["requestBody"] = {"required": True, "content": content}

    def answer(path: str, method: str, media_type: str, schema: dict[str, Any]) -> None:
        paths[path][method]["responses"] = {
            "200": {"description": "the answer", "content": {media_type: {"schema": schema}}},
            **{str(status): _refusal(text) for status, text in _REFUSALS.items()},
        }

    error = schema_of(schemas.ErrorBody, components)

    def _refusal(text: str) -> dict[str, Any]:
        return {"description": text, "content": {"application/json": {"schema": error}}}

    body("/predict", schemas.PredictBody)
    body("/rank/file", schemas.RankFileBody, form=True)
    body("/spectra/read", schemas.ReadBody, form=True)
    body("/draw", schemas.DrawBody)
    json = "application/json"
    answer("/predict", "post", json, schema_of(schemas.PredictAnswer, components))
    answer("/rank/file", "post", "application/x-ndjson", {"type": "string", "description": _LINES})
    answer("/spectra/read", "post", json, schema_of(schemas.ReadAnswer, components))
    answer("/draw", "post", "image/svg+xml", {"type": "string"})
    answer("/versions", "get", json, schema_of(schemas.VersionsBody, components))
    answer("/versions/{version}", "get", json, schema_of(schemas.VersionBody, components))
    health = schema_of(schemas.Health, components)
    for path in ("/health/live", "/health/ready"):
        answer(path, "get", json, health)
    paths["/health/ready"]["get"]["responses"]["503"] = {
        "description": "not ready yet, or not any more",
        "content": {json: {"schema": health}},
    }
    answer("/metrics", "get", "text/plain", {"type": "string"})
    match = components["Match"]["properties"]
    match["impossible_mzs"] = {
        "anyOf": [match["impossible_mzs"], {"type": "null"}],
        "description": "null where it is that of the first match of the answer",
    }
