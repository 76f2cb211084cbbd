"""The default folder of versions to read from or write to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from team5.errors import VersionError, VersionNotFoundError
from team5.registry.export import resolve_version
from team5.registry.staging import present, read_tracker
from team5.runtime.places import (
    CHECKPOINTS_VARIABLE,
    TRACKER_NAME,
    checkpoint_folders,
    holds_tracker,
    repository,
)
from team5.runtime.storage import as_path


def find_checkpoints(
    root: str | Path | None = None, version: str | None = None, *, or_elsewhere: bool = False
) -> str | Path:
    """Return the folder of versions to read a version from.

    Parameters
    ----------
    root : path or URL, optional
        Used if given, as is the folder that ``TEAM5_CHECKPOINTS`` names. By
        default the first of ``./checkpoints``, the clone's ``checkpoints/`` and the released
        version in the package that has the version.
    version : str, optional
        ``v<major>.<minor>`` or an alias; None and "latest" mean the latest of the folder's tracker.
    or_elsewhere : bool
        Look in the default folders too if ``root`` does not have the version.

    Raises
    ------
    VersionError, VersionNotFoundError
        If none of several has it; names all folders searched.
    TrackerError
        If a tracker is not valid.
    """
    named = [] if root is None else [root]
    if root is None or or_elsewhere:
        variable = os.environ.get(CHECKPOINTS_VARIABLE)
        named += [variable] if variable else checkpoint_folders()
    if len(named) == 1:
        return named[0]
    fault, places = None, _each_once(named)
    for place in filter(holds_tracker, places):
        try:
            resolve_version(place, version)
            return place
        except VersionError as error:
            fault = fault or error
    if fault is None or len(places) == 1:
        return first_registry()
    looked_at = (f"{place.absolute()} ({', '.join(_names(place)) or 'none'})" for place in places)
    raise fault.reworded(f"{fault} Looked at: {', '.join(looked_at)}.")


def first_registry() -> str | Path:
    """Return the first existing folder of versions, whichever versions it has.

    Raises
    ------
    VersionNotFoundError
        If there is none; names all folders searched.
    """
    if path := os.environ.get(CHECKPOINTS_VARIABLE):
        return path
    for place in checkpoint_folders():
        if holds_tracker(place):
            return place
    looked_at = ", ".join(str(place.absolute()) for place in checkpoint_folders())
    raise VersionNotFoundError(
        f"no versions in {looked_at}: none of these holds a {TRACKER_NAME}. Name the folder: "
        f'checkpoints_root=FOLDER, in Python load_model(root="FOLDER"), or '
        f"{CHECKPOINTS_VARIABLE}=FOLDER."
    )


def checkpoints_to_write(version: str | None = None, *, update: bool = False) -> Path:
    """Return the folder of versions that training or a tracker update writes to by default.

    The folder that ``TEAM5_CHECKPOINTS`` names, else ``./checkpoints`` or the clone's
    ``checkpoints/``, the first writable one with versions; otherwise ``./checkpoints``, even if
    it does not exist.

    Parameters
    ----------
    version : str, optional
        A version to record by hand: in the clone only if that has its folder and no entry yet.
    update : bool
        Change its entry: in the clone only if that has one.
    """
    if path := os.environ.get(CHECKPOINTS_VARIABLE):
        return Path(path)
    here, shipped = checkpoint_folders()
    for place in (here,) if repository() is None else (here, shipped):
        if not (holds_tracker(place) and os.access(place, os.W_OK)):
            continue
        if place == here or version is None:
            return place
        if version in _names(place) and update == (read_tracker(place).entry(version) is not None):
            return place
    return here


def _names(place: Path) -> list[str]:
    return [str(version) for version in sorted(present(place, read_tracker(place)))]


def _each_once(places: Sequence[str | Path]) -> list[Path]:
    """Return the places without duplicates: the working folder may be the clone."""
    paths = {str(as_path(place).absolute()): as_path(place) for place in reversed(places)}
    return list(reversed(paths.values()))
