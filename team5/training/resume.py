"""Going on with a run: the one that is named, or the one that SLURM has started again."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from team5.errors import CheckpointError, ConfigError
from team5.registry.export import OPTIMIZER_NAME, StoredVersion, read_optimizer, read_version
from team5.registry.gate import gate_queries
from team5.registry.report import read_config
from team5.registry.tracker import Tracker
from team5.training.settings import FILES, GATE_QUERIES, put_settings, taken_settings, value_at

_WHERE_IT_RUNS = ("launcher", "sweeper")
_STATE: Mapping[str, type] = {
    "epoch": int,
    "global_step": int,
    "state_dict": Mapping,
    "loops": Mapping,
    "callbacks": Mapping,
    "optimizer_states": list,
    "lr_schedulers": list,
}
_OWN = ("CheckpointExport", "EarlyStopping")
_log = logging.getLogger(__name__)


def resumed_config(cfg: DictConfig, parent: StoredVersion) -> DictConfig:
    """Return the user's config with the settings of the run that wrote a version put into it.

    What was typed stays. Of the version only plain values are taken (see `taken_settings`).

    Raises
    ------
    CheckpointError
        If the version does not hold the settings of its training.
    ConfigError
        If these are none that a version may give, or want what only the user can give.
    """
    stored = parent.config.get("training_config")
    if stored is None:
        raise CheckpointError(
            f"{parent.folder}/config.json holds no training config, so {parent.version} cannot "
            f"be resumed. Start from its weights: from_version={parent.version}."
        )
    typed = _typed_keys(cfg)
    taken = taken_settings(stored, parent.version, typed=typed, allow=cfg.allow)
    _check_files_given(cfg, stored, typed, parent.version)
    resumed = copy.deepcopy(cfg)
    OmegaConf.set_struct(resumed, False)
    missing = [f"callbacks.{name}" for name in put_settings(resumed, taken)]
    loggers, own = stored.get("logger"), cfg.logger or {}
    if isinstance(loggers, Mapping):
        missing += [f"logger.{name}" for name in loggers if name not in own]
    for key in typed:
        OmegaConf.update(resumed, key, OmegaConf.select(cfg, key), merge=False, force_add=True)
    if missing:
        _log.warning(
            "Not taken from %s: %s. What watches or records a run comes from your own settings.",
            parent.version,
            ", ".join(missing),
        )
    return resumed


def overridden_keys() -> list[str]:
    """Return the dotted keys that stand on the command line; none outside a program of Hydra's."""
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return [override.partition("=")[0].lstrip("+~") for override in overrides]


def _typed_keys(cfg: DictConfig) -> list[str]:
    """Return the dotted keys of what was typed.

    Raises
    ------
    ConfigError
        If an experiment is among it.
    """
    typed = overridden_keys()
    if "experiment" in typed:
        raise ConfigError(
            "experiment= and resume= exclude each other: a resumed run keeps its own settings. "
            "Give one of the two."
        )
    # Raw arguments never reach Hydra; they stand in the config where they were put.
    paths = ["description", *FILES, "data.cache_dir"]
    typed += [path for path in paths if OmegaConf.select(cfg, path) is not None]
    if "seed" in typed:
        typed.append("data.seed")
    return [key for key in typed if key not in _WHERE_IT_RUNS]


def _check_files_given(
    cfg: DictConfig, stored: Mapping[str, Any], typed: Collection[str], version: str
) -> None:
    """Ask for the files that a run was made with: a version does not say what is read here."""
    never = OmegaConf.select(cfg, "callbacks.export.set_as_latest") in (None, "never")
    gated = never or gate_queries(OmegaConf.select(cfg, GATE_QUERIES)) is not None
    wanted = [key for key in FILES if not (gated if key == GATE_QUERIES else "data" in typed)]
    named = {key: value_at(stored, key) for key in wanted if OmegaConf.select(cfg, key) is None}
    files = {key: f"{key}={str(name)[:80]!r}" for key, name in named.items() if name is not None}
    if files:
        raise ConfigError(
            f"{version} was trained with {', '.join(files.values())}, and a version does not "
            f"choose which files are read. Give {', '.join(f'{key}=FILE' for key in files)}."
        )


def read_state(root: str | Path, version: str) -> dict[str, Any]:
    """Read the state to go on training from, as far as it is of team5's own run.

    What callbacks of others keep may name files to delete (`ModelCheckpoint`), so that these begin
    anew.

    Raises
    ------
    CheckpointError
        As `read_optimizer`, or if it is no state of a training.
    """
    state = read_optimizer(root, version)
    faults = [
        key
        for key, kind in _STATE.items()
        if not isinstance(state.get(key), kind) or isinstance(state[key], bool)
    ]
    if faults:
        raise CheckpointError(
            f"{OPTIMIZER_NAME} of {version} is no state of a training: {', '.join(faults)} missing "
            f"or of another kind. Start from its weights: from_version={version}."
        )
    own = {key: each for key, each in state["callbacks"].items() if str(key).startswith(_OWN)}
    return {**state, "callbacks": own}


def best_score(version: StoredVersion) -> float:
    """Return the score that a version was exported with.

    Raises
    ------
    CheckpointError
        If it does not say.
    """
    score = value_at(version.config, "training.score")
    if score is None:
        raise CheckpointError(
            f"{version.folder}/config.json names no training score, so {version.version} cannot be "
            f"resumed. Start from its weights: from_version={version.version}."
        )
    return float(score)


def check_epochs_left(cfg: DictConfig, parent: StoredVersion, state: Mapping[str, Any]) -> None:
    """Refuse to go on where nothing is left to do.

    Raises
    ------
    ConfigError
        If the version has had all its epochs.
    """
    done, wanted = state["epoch"] + 1, cfg.trainer.max_epochs
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
    return read_state(cfg.checkpoints_root, begun.version)
