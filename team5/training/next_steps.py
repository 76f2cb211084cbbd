"""Log messages at the end of a training: the exported version, its folder, the next steps."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from team5.registry.tracker import Tracker
from team5.runtime.places import call_of, registry_command
from team5.training.settings import FILES

_log = logging.getLogger(__name__)


def log_outcome(
    version: str | None,
    cfg: DictConfig,
    report: Path | None,
    allow: Sequence[str],
    *,
    is_computed: bool,
) -> None:
    """Log what was exported, and how to try, compare and promote it."""
    if version is None:
        _log.warning(
            "Nothing was exported: no validation improved callbacks.export.monitor. Its curves say "
            "why; more epochs or another model.optimizer.lr may help."
        )
    else:
        _log.info("Exported %s to %s", version, Path(cfg.checkpoints_root) / version)
    log_places(cfg, report)
    if version is None:
        return
    root = _root_argument(cfg)
    allowed = f" allow=[{','.join(allow)}]" if allow else ""
    ask = call_of("predict")
    _log.info('Try it: %s version=%s%s%s smiles="CCO"', ask, version, root, allowed)
    command = partial(registry_command, cfg.checkpoints_root)
    tracker = Tracker(cfg.checkpoints_root).read()
    latest = tracker.latest
    if latest == version:
        back = f"; go back: {command('rollback')}" if tracker.rollback_target() else ""
        _log.info("It is latest now%s", back)
        return
    if latest is not None:
        _log.info("Compare it: %s", command(f"compare {latest} {version}"))
    if is_computed:
        _log.info("It cannot become latest, because it was trained on computed spectra.")
        return
    options = ["--allow", *allow] if allow else []
    _log.info("Make it latest: %s", command(f"promote {version}", *options))


def log_places(cfg: DictConfig, report: Path | None) -> None:
    """Log the run folder and the report."""
    folder = _relative(cfg.output_dir)
    _log.info("Run folder: %s (curves as well: tensorboard --logdir %s)", folder, folder)
    if report is not None:
        _log.info("Report: %s", _relative(str(report)))


def log_how_to_resume(version: str | None, cfg: DictConfig) -> None:
    """Log the state of a stopped run, and the command that resumes it."""
    if version is None:
        _log.warning("Stopped before the first export: no version was exported.")
    else:
        _log.warning(
            "Stopped. %s holds the best epoch so far; resume with: %s resume=%s%s%s",
            version, call_of("train"), version, _root_argument(cfg), _file_arguments(cfg),
        )  # fmt: skip


def _file_arguments(cfg: DictConfig) -> str:
    """Return the files of a run as arguments, since a version does not say what is read."""
    files = {key: OmegaConf.select(cfg, key) for key in FILES}
    return "".join(f" {key}={shlex.quote(str(file))}" for key, file in files.items() if file)


def _root_argument(cfg: DictConfig) -> str:
    root = cfg.checkpoints_root
    return "" if root == "checkpoints" else f" checkpoints_root={root}"


def _relative(folder: str) -> Path:
    """Return a folder relative to the working folder, if it is within it."""
    path = Path(folder)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
