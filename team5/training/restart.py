"""A job that SLURM started again goes on with the version it had begun."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from team5.errors import CheckpointError
from team5.registry.export import StoredVersion, read_version
from team5.registry.report import read_config
from team5.registry.tracker import Tracker

_log = logging.getLogger(__name__)


def slurm_run(folder: str | Path) -> str | None:
    """Return a name for a SLURM job's run in a folder, the same when it is started again.

    A version's config.json carries it, so that none is ever exported without. None outside SLURM.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return None
    # A job may make several runs, one after the other.
    return "/".join((os.environ.get("SLURM_CLUSTER_NAME", "slurm"), job, Path(folder).name))


def version_begun(root: str | Path, run: str | None) -> StoredVersion | None:
    """Return the last version of a run whose job SLURM has put back into the queue.

    None if nothing was exported before, or this is the job's first start.
    """
    if run is None or os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        return None
    for version in sorted(Tracker(root).read().versions, reverse=True):
        try:
            config = read_config(Path(root), str(version))
        except CheckpointError as error:
            _log.warning("Not looked at for where to go on: %s", error)
            continue
        if config.get("slurm_run") == run:
            return read_version(root, str(version))
    return None
