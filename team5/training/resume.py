"""Going on with a run: the one that is named, or the one that SLURM has started again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from team5.errors import CheckpointError, ConfigError
from team5.registry.export import OPTIMIZER_NAME, StoredVersion, read_optimizer, read_version
from team5.registry.report import read_config
from team5.registry.tracker import Tracker

# Settings of data= that name files.
PATHS = ("path", "archive", "folds", "pool", "cache_dir")
GATE_QUERIES = "callbacks.export.gate_queries"
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
_WHERE_IT_RUNS = ("launcher", "sweeper")
_TARGET = "_target_"
_log = logging.getLogger(__name__)


def resumed_config(cfg: DictConfig, parent: StoredVersion) -> DictConfig:
    """Return the config of the run that wrote a version, with what was typed now put over it.

    Raises
    ------
    CheckpointError
        If the version does not hold the config of its training.
    ConfigError
        If what was typed contradicts it, or it names a class that neither team5's configs nor the
        user does.
    """
    stored = parent.config.get("training_config")
    if stored is None:
        raise CheckpointError(
            f"{parent.folder}/config.json holds no training config, so {parent.version} cannot "
            f"be resumed. Start from its weights: from_version={parent.version}."
        )
    resumed = OmegaConf.create(stored)
    assert isinstance(resumed, DictConfig)  # noqa: S101 - a dict becomes a DictConfig
    _check_targets(stored, cfg, parent.version)
    for key in ("resume", "checkpoints_root", "output_dir", "allow", "report_spectra"):
        resumed[key] = cfg[key]
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    typed = [override.partition("=")[0].lstrip("+~") for override in overrides]
    # Raw arguments never reach Hydra; they stand in the config where they were put.
    paths = [*(f"data.{name}" for name in PATHS), GATE_QUERIES]
    typed += [path for path in paths if OmegaConf.select(cfg, path) is not None]
    for key in typed:
        if key == "experiment":
            raise ConfigError(
                "experiment= and resume= exclude each other: a resumed run keeps its own settings. "
                "Give one of the two."
            )
        if key not in _WHERE_IT_RUNS:
            OmegaConf.update(resumed, key, OmegaConf.select(cfg, key), merge=False)
    return resumed


def _check_targets(stored: Mapping[str, Any], cfg: DictConfig, version: str) -> None:
    """Let a version name only classes that are known otherwise: its config is data, not code."""
    known = set(cfg.allow)
    known.update(_targets(OmegaConf.to_container(cfg, resolve=False)))
    for file in CONFIGS.rglob("*.yaml"):
        known.update(_targets(OmegaConf.to_container(OmegaConf.load(file), resolve=False)))
    foreign = sorted(set(_targets(stored)) - known)
    if foreign:
        raise ConfigError(
            f"{version} was trained with {', '.join(foreign)}, not named in team5's configs, so "
            f"nothing of it was imported. If you trust that code: allow=[{','.join(foreign)}]."
        )


def _targets(value: Any) -> Iterator[str]:
    match value:
        case Mapping():
            if _TARGET in value:
                yield str(value[_TARGET])
            for item in value.values():
                yield from _targets(item)
        case list() | tuple():
            for item in value:
                yield from _targets(item)


def check_epochs_left(cfg: DictConfig, parent: StoredVersion, state: Mapping[str, Any]) -> None:
    """Refuse to go on where nothing is left to do.

    Raises
    ------
    ConfigError
        If the version has had all its epochs.
    """
    done, wanted = int(state["epoch"]) + 1, cfg.trainer.max_epochs
    if wanted is not None and 0 <= wanted <= done:
        raise ConfigError(
            f"{parent.version} has been trained for {done} epochs, and trainer.max_epochs is "
            f"{wanted}. Give more, trainer.max_epochs={2 * done}."
        )


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


def state_begun(cfg: DictConfig, begun: StoredVersion) -> dict[str, Any] | None:
    """Return what a job that was started again goes on from."""
    if not (begun.folder / OPTIMIZER_NAME).exists():
        _log.warning(
            "Started again: %s holds no optimizer state, so that its run begins anew.",
            begun.version,
        )
        return None
    _log.info("Started again: going on with %s", begun.version)
    return read_optimizer(cfg.checkpoints_root, begun.version)
