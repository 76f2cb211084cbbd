"""Rebuilding of a damaged or lost tracker from the versions' folders."""

import datetime as dt
import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from team5.errors import CheckpointError, TrackerError
from team5.registry.integrity import CONFIG_NAME, parse_config, verify_folder
from team5.registry.schemas import Entry, RecordedMove, fault_of
from team5.registry.staging import locked, put_tracker_in_place
from team5.registry.tracker_format import TrackerData, entry_of_export
from team5.registry.versions import Version
from team5.runtime.places import TRACKER_NAME
from team5.runtime.storage import sha256, storage_errors, write_whole

REPAIRED_NAME = "checkpoint_tracker.repaired.json"

_LATEST = re.compile(r'"latest"\s*:\s*"(v[0-9]+\.[0-9]+)"')


@dataclass(frozen=True, slots=True)
class Repaired:
    """A rebuilt tracker.

    Attributes
    ----------
    data : TrackerData
    path : Path
        Where it was written, next to the old one or in its place.
    difference : str
        Between the old text and the new, in the format of ``diff -u``.
    notes : tuple of str
        What could not be carried over.
    """

    data: TrackerData
    path: Path
    difference: str
    notes: tuple[str, ...]


def repair(root: str | Path, *, replace: bool = False) -> Repaired:
    """Rebuild the tracker from complete versions, keeping what is still readable in the old text.

    Figures come from the old text if the entry can be read, else from the version's
    config.json, which holds the entry of its export.

    Parameters
    ----------
    root : path
        The registry.
    replace : bool
        Replace the old tracker, keeping a copy of it; otherwise the new one is written to
        ``checkpoint_tracker.repaired.json``.

    Raises
    ------
    TrackerError
        If there is no folder to repair.
    StorageError
        If the folder cannot be written.
    """
    root = Path(root)
    if not root.is_dir():
        raise TrackerError(f"{root}/ is no folder. Name the one with the versions.")
    with locked(root):
        path = root / TRACKER_NAME
        old = path.read_bytes() if path.is_file() else b""
        data, notes = _rebuilt(root, old)
        new = data.to_json()
        difference = "".join(
            difflib.unified_diff(
                old.decode("utf-8", "replace").splitlines(keepends=True),
                new.decode().splitlines(keepends=True),
                str(path),
                "repaired",
            )
        )
        target = root / REPAIRED_NAME
        with storage_errors(root):
            write_whole(target, new)
            if replace:
                if old:
                    moment = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
                    write_whole(root / f"checkpoint_tracker.damaged-{moment}.json", old)
                put_tracker_in_place(target, root)
                target = path
    return Repaired(data, target, difference, tuple(notes))


def _rebuilt(root: Path, old: bytes) -> tuple[TrackerData, list[str]]:
    text = old.decode("utf-8", "replace")
    objects = list(_readable_objects(text))
    old_entries = {raw["version"]: raw for raw in objects if fault_of(Entry, raw) is None}
    notes: list[str] = []
    entries = []
    for name in sorted(Version.parse(p.name) for p in root.iterdir() if Version.is_version(p.name)):
        folder = root / str(name)
        try:
            verify_folder(folder)
            content = (folder / CONFIG_NAME).read_bytes()
            config = parse_config(folder / CONFIG_NAME, content)
        except CheckpointError as error:
            notes.append(f"{name} is left out: {error}")
            continue
        entry = old_entries.pop(str(name), None) or entry_of_export(str(name), config)
        if entry.get("sha256") not in (None, sha256(content)):
            notes.append(f"{name}: config.json is not the one the old tracker knew")
        entries.append({**entry, "sha256": sha256(content)})
    notes += [f"{name} is left out: it has no folder" for name in sorted(old_entries)]
    raw: dict[str, Any] = {"latest": None, "checkpoints": entries}
    versions = [entry["version"] for entry in entries]
    latest_match = _LATEST.search(text)
    if latest_match and latest_match[1] in versions:
        raw["latest"] = latest_match[1]
    elif versions:
        raw["latest"] = versions[-1]
        notes.append(f"latest could not be read: {versions[-1]}, the highest, takes its place")
    moves = [raw for raw in objects if fault_of(RecordedMove, raw) is None]
    if moves:
        raw["history"] = moves
    for key in ("aliases", "deleted"):
        if f'"{key}"' in text:
            notes.append(f'"{key}" is not carried over. Set it again.')
    return TrackerData(raw), notes


def _readable_objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the readable objects within a damaged JSON text, outer ones first."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            at = text.find("{", at + 1)
            continue
        if isinstance(value.get("checkpoints"), list):  # the tracker itself can be read
            moves = value.get("history")
            inner = [*value["checkpoints"], *(moves if isinstance(moves, list) else [])]
            yield from (item for item in inner if isinstance(item, dict))
        else:
            yield value
        at = text.find("{", end)
