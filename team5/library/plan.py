"""The plan of a build: what must not change until it is finished, and taking it up again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import rdkit

import team5
from team5.errors import DataError
from team5.library.inputs import Input
from team5.library.manifest import Manifest
from team5.runtime.storage import sha256, write_whole
from team5.runtime.strict_json import read_object, to_json

LOCK_NAME = "lock"
_PLAN_NAME = "plan.json"
_FORMAT = 1  # of what an unfinished build keeps


def make_plan(sources: Sequence[Input], trust_columns: bool) -> dict[str, Any]:
    """Return what must be the same for a build to go on."""
    return {
        "format": _FORMAT,
        "inputs": [[source.path, source.size, source.sha256] for source in sources],
        "trust_columns": trust_columns,
        "made_with": {
            "team5": team5.__version__,
            "rdkit": rdkit.__version__,
            "pyarrow": pa.__version__,
        },
    }


def is_made_from(manifest: Manifest, plan: dict[str, Any]) -> bool:
    """Tell whether a library was made from the inputs of a plan and in its way."""
    inputs = [[one["path"], one["size"], one["sha256"]] for one in manifest.inputs]
    return (inputs, manifest.trust_columns) == (plan["inputs"], plan["trust_columns"])


def take_up(folder: Path, plan: dict[str, Any], replace: bool, records_per_chunk: int) -> int:
    """Begin a build or go on with it; return how many records a chunk has.

    Raises
    ------
    DataError
        If another build is unfinished there and `replace` does not give it up.
    """
    path = folder / _PLAN_NAME
    if path.exists():
        before = read_object(path, f"Delete {folder} to begin anew.")
        records_per_chunk = int(before.pop("records_per_chunk", records_per_chunk))
        if before != plan:
            if not replace:
                raise DataError(
                    f"{folder}: an unfinished build began otherwise: {_difference(before, plan)}. "
                    "Give what it began with, or begin anew: --replace"
                )
            for old in folder.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
                elif old.name != LOCK_NAME:
                    old.unlink()
            return take_up(folder, plan, replace, records_per_chunk)
    else:
        write_whole(path, to_json({**plan, "records_per_chunk": records_per_chunk}, _PLAN_NAME))
    runs_folder(folder, plan).mkdir(exist_ok=True)
    return records_per_chunk


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    old = {path: (size, digest) for path, size, digest in before.get("inputs", [])}
    new = {path: (size, digest) for path, size, digest in now["inputs"]}
    changed = [path for path in new if path in old and old[path] != new[path]]
    if changed:
        return f"{', '.join(changed)} has changed since"
    if before.get("inputs") != now["inputs"]:
        return f"its inputs were {', '.join(old)}"
    keys = [key for key in now if before.get(key) != now[key]]
    return ", ".join(f"{key} was {before.get(key)} and is {now[key]}" for key in keys)


def runs_folder(folder: Path, plan: dict[str, Any]) -> Path:
    """Return where the finished chunks of a plan are kept."""
    # Workers that outlive a killed build for a moment write to no other build's runs.
    return folder / f"runs-{sha256(to_json(plan, _PLAN_NAME))[:16]}"
