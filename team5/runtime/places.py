"""Locations of configs and versions: a clone, the working folder, or the package."""

from __future__ import annotations

import shlex
from pathlib import Path

CHECKPOINTS_VARIABLE = "TEAM5_CHECKPOINTS"
TRACKER_NAME = "checkpoint_tracker.json"
# The repository's own tracker in a clone's checkpoints/: same format, changed only by `git pull`.
RELEASED_NAME = "released.json"

_PACKAGE = Path(__file__).resolve().parent.parent
_RELEASED = _PACKAGE / "released"  # only in a wheel: see setup.py


def repository() -> Path | None:
    """Return the clone, or a copy as in the image, that team5 runs from; None for a wheel."""
    folder = _PACKAGE.parent
    return folder if (folder / "configs" / "predict.yaml").is_file() else None


def call_of(name: str) -> str:
    """Return the command of one of the programs: its file in a clone, else ``team5 NAME``."""
    return f"team5 {name}" if repository() is None else f"python {name}.py"


def registry_command(root: str | Path, command: str, *options: str) -> str:
    """Return the command line for a command on versions, ``promote v0.3``."""
    where = [] if str(root) == "checkpoints" else ["--root", shlex.quote(str(root))]
    return " ".join(["python -m team5.registry", command, *where, *options])


def config_folder() -> Path:
    """Return the folder of team5's own configs: the clone's, or the package's."""
    clone = repository()
    return clone / "configs" if clone is not None else _RELEASED / "configs"


def checkpoint_folders() -> tuple[Path, Path]:
    """Return the default folders of versions: here, then in the clone or the package."""
    return Path("checkpoints"), (repository() or _RELEASED) / "checkpoints"


def holds_tracker(folder: Path) -> bool:
    """Tell whether a folder is one of versions."""
    return any((folder / name).is_file() for name in (TRACKER_NAME, RELEASED_NAME))
