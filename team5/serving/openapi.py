"""OpenAPI document for /docs: docs/openapi.json, completed from the code."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from pydantic import TypeAdapter

import team5
from team5.inference.results import Match, Simulation


def read_openapi() -> dict[str, Any]:
    """Return the document with the schemas of answers, and the refusals of every operation."""
    text = resources.files("team5.serving").joinpath("docs/openapi.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    document["info"]["version"] = team5.__version__
    components = document["components"]
    schemas = components["schemas"]
    for kind in (Match, Simulation):
        schema = TypeAdapter(kind).json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[kind.__name__] = schema
    match = schemas["Match"]["properties"]
    match["impossible_mzs"] = {
        "anyOf": [match["impossible_mzs"], {"type": "null"}],
        "description": "null where it is that of the first match of the answer",
    }
    refusals = components.pop("responses")
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"] = {"200": None, **refusals, **operation["responses"]}
    return document
