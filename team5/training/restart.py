"""A job that SLURM started again goes on with the version it had begun."""

from __future__ import annotations

import logging
import os
import uuid
from pathlib import Path

from team5.errors import CheckpointError
from team5.registry.export import StoredVersion, read_version
from team5.registry.report import read_config
from team5.registry.tracker import Tracker
from team5.training.processes import is_first_process

_log = logging.getLogger(__name__)
_FILE_NAME = "run_id"


def was_restarted() -> bool:
    """Whether SLURM has put this job back into the queue before: pre-emption, time, a lost node."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") not in ("", "0")


def run_id(folder: str | Path) -> str:
    """Return the run that a folder is of: a new one, unless its job was started again.

    Each version carries the run that it is of, so that none is ever without.
    """
    path = Path(folder) / _FILE_NAME
    if was_restarted() and path.is_file() and (known := path.read_text().strip()):
        return known
    new = uuid.uuid4().hex
    if is_first_process():  # the one that exports
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{new}\n")
    return new


def version_begun(root: str | Path, run: str) -> StoredVersion | None:
    """Return the last version that a run has exported, None if it has none."""
    for version in sorted(Tracker(root).read().versions, reverse=True):
        try:
            config = read_config(Path(root), str(version))
        except CheckpointError as error:
            _log.warning("Not looked at for where to go on: %s", error)
            continue
        if config.get("run_id") == run:
            return read_version(root, str(version))
    return None
