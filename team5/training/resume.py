"""Resuming of runs: one named by the user, or one that SLURM has restarted."""

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
    """Return the user's config merged with the settings of the run that wrote a version.

    Settings typed by the user take precedence. Only plain values of the version are used (see
    `taken_settings`).

    Raises
    ------
    CheckpointError
        If the version does not hold the settings of its training.
    ConfigError
        If a version may not give these settings, or they need values that only the user can give.
    """
    stored = parent.config.get("training_config")
    if stored is None:
        raise CheckpointError(
            f"{parent.folder}/config.json holds no training config, so {parent.version} cannot "
            f"be resumed. Start from its weights: from_version={parent.version}."
        )
    typed = _typed_keys(cfg)
    settings = taken_settings(stored, parent.version, typed=typed, allow=cfg.allow)
    _check_files_given(cfg, stored, typed, parent.version)
    resumed = copy.deepcopy(cfg)
    OmegaConf.set_struct(resumed, False)
    missing = [f"callbacks.{name}" for name in put_settings(resumed, settings)]
    loggers, user_loggers = stored.get("logger"), cfg.logger or {}
    if isinstance(loggers, Mapping):
        missing += [f"logger.{name}" for name in loggers if name not in user_loggers]
    for key in typed:
        OmegaConf.update(resumed, key, OmegaConf.select(cfg, key), merge=False, force_add=True)
    if missing:
        _log.warning(
            "Not taken from %s: %s. Loggers and callbacks come only from your own settings.",
            parent.version,
            ", ".join(missing),
        )
    return resumed


def overridden_keys() -> list[str]:
    """Return the dotted keys on the command line; none outside a Hydra program."""
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return [override.partition("=")[0].lstrip("+~") for override in overrides]


def _typed_keys(cfg: DictConfig) -> list[str]:
    """Return the dotted keys of typed overrides.

    Raises
    ------
    ConfigError
        If they contain an experiment.
    """
    typed = overridden_keys()
    if "experiment" in typed:
        raise ConfigError(
            "experiment= and resume= exclude each other: a resumed run keeps its own settings. "
            "Give one of the two."
        )
    # Raw arguments never reach Hydra; they are put into the config directly.
    paths = ["description", *FILES, "data.cache_dir"]
    typed += [path for path in paths if OmegaConf.select(cfg, path) is not None]
    if "seed" in typed:
        typed.append("data.seed")
    return [key for key in typed if key not in _WHERE_IT_RUNS]


def _check_files_given(
    cfg: DictConfig, stored: Mapping[str, Any], typed: Collection[str], version: str
) -> None:
    """Require the files of a run from the user: a version does not decide what is read here."""
    never = OmegaConf.select(cfg, "callbacks.export.set_as_latest") in (None, "never")
    gated = never or gate_queries(OmegaConf.select(cfg, GATE_QUERIES)) is not None
    keys = [key for key in FILES if not (gated if key == GATE_QUERIES else "data" in typed)]
    stored_files = {
        key: value_at(stored, key) for key in keys if OmegaConf.select(cfg, key) is None
    }
    files = {
        key: f"{key}={str(name)[:80]!r}" for key, name in stored_files.items() if name is not None
    }
    if files:
        raise ConfigError(
            f"{version} was trained with {', '.join(files.values())}, and a version does not "
            f"choose which files are read. Give {', '.join(f'{key}=FILE' for key in files)}."
        )


def read_state(root: str | Path, version: str) -> dict[str, Any]:
    """Read the state to resume from, as far as it belongs to team5's objects.

    The state of other callbacks may name files to delete (`ModelCheckpoint`), so these start
    afresh.

    Raises
    ------
    CheckpointError
        As `read_optimizer`, or if it is not the state of a training.
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
    callbacks = {key: each for key, each in state["callbacks"].items() if str(key).startswith(_OWN)}
    return {**state, "callbacks": callbacks}


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
    """Refuse to resume a finished run.

    Raises
    ------
    ConfigError
        If the version was trained for all its epochs.
    """
    done, max_epochs = state["epoch"] + 1, cfg.trainer.max_epochs
    if max_epochs is not None and 0 <= max_epochs <= done:
        raise ConfigError(
            f"{parent.version} has been trained for {done} epochs, and trainer.max_epochs is "
            f"{max_epochs}. Give more, trainer.max_epochs={2 * done}."
        )


def slurm_run(folder: str | Path) -> str | None:
    """Return a name for a SLURM job's run in a folder, the same after a restart.

    A version's config.json records it at every export. None outside SLURM.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return None
    # A job may do several runs, one after the other.
    return "/".join((os.environ.get("SLURM_CLUSTER_NAME", "slurm"), job, Path(folder).name))


def version_begun(root: str | Path, run: str | None) -> StoredVersion | None:
    """Return the last version of a run whose job SLURM has requeued.

    None if nothing was exported before, or this is the job's first start.
    """
    if run is None or os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        return None
    for version in sorted(Tracker(root).read().versions, reverse=True):
        try:
            config = read_config(Path(root), str(version))
        except CheckpointError as error:
            _log.warning("Not searched for a run to resume: %s", error)
            continue
        if config.get("slurm_run") == run:
            return read_version(root, str(version))
    return None


def state_begun(cfg: DictConfig, begun: StoredVersion) -> dict[str, Any] | None:
    """Return the state from which a restarted job resumes."""
    if not (begun.folder / OPTIMIZER_NAME).exists():
        _log.warning(
            "Restarted: %s holds no optimizer state, so its run starts over.",
            begun.version,
        )
        return None
    _log.info("Restarted: resuming %s", begun.version)
    return read_state(cfg.checkpoints_root, begun.version)
