"""Migration of ``config.json`` from earlier schemas to the present one, on reading."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from team5.errors import CheckpointError

SCHEMA = 1  # of config.json; raised when its keys change their meaning

# Functions that turn a config of one schema into the next, by the schema they take. A step never
# changes once a version of its schema has been released.
_STEPS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def migrated(
    path: Path,
    config: Mapping[str, Any],
    *,
    steps: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = _STEPS,
    schema: int = SCHEMA,
) -> dict[str, Any]:
    """Return a config migrated to the present schema; the file does not change.

    Parameters
    ----------
    path : Path
        Where it was read, for the error.
    config : dict
        As read.
    steps, schema
        The migration steps and the schema they lead to.

    Raises
    ------
    CheckpointError
        If it is of a later schema.
    """
    number = int(config.get("schema", 1))
    if number > schema:
        raise CheckpointError(
            f"{path} is of schema {number}, this team5 reads up to {schema}. Install a later team5."
        )
    current = dict(config)
    for step in range(number, schema):
        current = {**steps[step](current), "schema": step + 1}
    return current
