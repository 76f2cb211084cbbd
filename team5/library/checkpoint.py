"""Checkpoint of a build: its inputs and settings, and the finished chunks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import rdkit

import team5
from team5.errors import DataError, StorageError
from team5.library.inputs import Chunk, Input
from team5.library.manifest import Manifest
from team5.library.standardise import standardise
from team5.runtime.storage import sha256, storage_errors, write_whole
from team5.runtime.strict_json import read_object, to_json

LOCK_NAME = "lock"
_PLAN_NAME = "plan.json"
_FORMAT = 2  # of the files of an unfinished build
_METADATA_KEY = b"team5.library.chunk"


def make_plan(sources: Sequence[Input], trust_columns: bool) -> dict[str, Any]:
    """Return the inputs and settings that must be unchanged for a build to resume."""
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
    """Tell whether a library was made from the inputs and settings of a plan."""
    inputs = [[file["path"], file["size"], file["sha256"]] for file in manifest.inputs]
    return (inputs, manifest.trust_columns) == (plan["inputs"], plan["trust_columns"])


def resume_or_begin(
    folder: Path, plan: dict[str, Any], replace: bool, records_per_chunk: int
) -> int:
    """Begin a build or resume it; return how many records a chunk has.

    Raises
    ------
    DataError
        If another build is unfinished there and `replace` is False.
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
            return resume_or_begin(folder, plan, replace, records_per_chunk)
    else:
        write_whole(path, to_json({**plan, "records_per_chunk": records_per_chunk}, _PLAN_NAME))
    chunks_folder(folder, plan).mkdir(exist_ok=True)
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


def chunks_folder(folder: Path, plan: dict[str, Any]) -> Path:
    """Return the folder of a plan's finished chunks."""
    # Workers that briefly outlive a killed build must not write to another build's chunks.
    return folder / f"chunks-{sha256(to_json(plan, _PLAN_NAME))[:16]}"


@dataclass(frozen=True, slots=True)
class ChunkWriter:
    """Standardises chunks and writes each atomically to a file; runs in workers.

    Attributes
    ----------
    folder : Path
        Folder of the finished chunks, on a local disk.
    """

    folder: Path

    def make_work(self) -> Callable[[Chunk, Callable[[int], None]], None]:
        """Return the function that processes a chunk in a worker."""
        return self.write

    def write(self, chunk: Chunk, on_record: Callable[[int], None] = lambda index: None) -> None:
        """Process one chunk; call `on_record` with the index of each record before it."""
        table, dropped = standardise(chunk, on_record)
        facts = {
            "source_index": chunk.source_index,
            "n_records": chunk.n_records,
            "dropped": dropped,
        }
        table = table.replace_schema_metadata({_METADATA_KEY: json.dumps(facts)})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        with storage_errors(self.folder):
            write_whole(chunk_path(self.folder, chunk.number), sink.getvalue().to_pybytes())


def chunk_path(folder: Path, number: int) -> Path:
    """Return the path of a finished chunk."""
    return folder / f"chunk-{number:07}.parquet"


def finished_chunks(folder: Path) -> frozenset[int]:
    """Return the numbers of the finished chunks."""
    paths = folder.glob("chunk-*.parquet")
    return frozenset(int(path.stem.removeprefix("chunk-")) for path in paths)


def facts_of(path: Path) -> dict[str, Any]:
    """Return the metadata of a finished chunk: ``source_index, n_records, dropped``.

    Raises
    ------
    StorageError
        If it is damaged.
    """
    try:
        facts: dict[str, Any] = json.loads(pq.read_metadata(path).metadata[_METADATA_KEY])
        return facts
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise StorageError(
            f"{path}: damaged ({str(error).splitlines()[0]}). Delete this file and run the same "
            "command again: only its chunk is done anew."
        ) from error
