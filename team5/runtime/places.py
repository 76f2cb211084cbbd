"""Where configs and versions lie: in a clone, in the working folder, or inside the package."""

from __future__ import annotations

import os
from pathlib import Path

from team5.errors import VersionNotFoundError

CHECKPOINTS_VARIABLE = "TEAM5_CHECKPOINTS"
TRACKER_NAME = "checkpoint_tracker.json"

_PACKAGE = Path(__file__).resolve().parent.parent
_RELEASED = _PACKAGE / "released"  # only in a wheel: see setup.py


def repository() -> Path | None:
    """Return the clone, or a copy as in the image, that team5 runs from; None for a wheel."""
    folder = _PACKAGE.parent
    return folder if (folder / "configs" / "predict.yaml").is_file() else None


def config_folder() -> Path:
    """Return the folder of team5's own configs: the clone's, or the package's."""
    clone = repository()
    return clone / "configs" if clone is not None else _RELEASED / "configs"


def find_checkpoints(root: str | Path | None = None) -> str | Path:
    """Return the folder of versions to read from.

    Parameters
    ----------
    root : path or URL, optional
        What the caller names is used as it is. By default the first of these that holds a tracker:
        the folder that ``TEAM5_CHECKPOINTS`` names (which must hold one if it is set),
        ``./checkpoints``, the clone's ``checkpoints/``, the released version in the package.

    Raises
    ------
    VersionNotFoundError
        If none of them holds a tracker; names all places looked at.
    """
    if root is not None:
        return root
    if named := os.environ.get(CHECKPOINTS_VARIABLE):
        return named
    places = _default_places()
    for place in places:
        if (place / TRACKER_NAME).is_file():
            return place
    looked_at = ", ".join(str(place.absolute()) for place in places)
    raise VersionNotFoundError(
        f"no versions in {looked_at}: none of these holds a {TRACKER_NAME}. Name "
        "the folder: checkpoints_root=FOLDER, in Python "
        f'load_model(root="FOLDER"), or {CHECKPOINTS_VARIABLE}=FOLDER.'
    )


def checkpoints_to_write(root: str | Path | None = None) -> Path:
    """Return the folder of versions that a training or a tracker update writes to.

    The first of the places of :func:`find_checkpoints` that can be written to; where there is none
    that holds versions, ``./checkpoints``, which need not be there yet.
    """
    if root is not None:
        return Path(root)
    if named := os.environ.get(CHECKPOINTS_VARIABLE):
        return Path(named)
    for place in _default_places()[:-1]:
        if (place / TRACKER_NAME).is_file() and os.access(place, os.W_OK):
            return place
    return Path("checkpoints")


def _default_places() -> list[Path]:
    clone = repository()
    return [
        Path("checkpoints"),
        *([clone / "checkpoints"] if clone is not None else []),
        _RELEASED / "checkpoints",
    ]
