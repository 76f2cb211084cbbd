"""train(cfg): seed, build, fit, report."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import lightning
import torch
from hydra.utils import instantiate
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor
from omegaconf import DictConfig, OmegaConf

from team5.callbacks.checkpoint_export import CheckpointExport
from team5.callbacks.stop_on_signal import StopOnSignal
from team5.data.datamodule import SpectrumDataModule
from team5.errors import ConfigError, DeviceError, ProcessError
from team5.models.lightning_module import Team5LightningModule
from team5.registry.allowed import check_allow
from team5.registry.export import StoredVersion, read_optimizer, read_version
from team5.registry.tracker import Tracker
from team5.training.interfaces import check_data, check_module
from team5.training.lineage import code_state, package_versions
from team5.training.model_card import write_model_card
from team5.training.processes import together
from team5.training.report import n_in_report, write_report
from team5.training.resume import (
    PATHS,
    check_epochs_left,
    resumed_config,
    slurm_run,
    state_begun,
    version_begun,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_log = logging.getLogger(__name__)

# What a shell reports for a program that a signal ended: this and the signal's number.
_SIGNAL_EXIT = 128
_CTRL_C_EXIT = 1  # of Lightning


@dataclass(frozen=True)
class Trained:
    """What came of a training; both None if nothing was exported.

    Attributes
    ----------
    version : str
        The one exported last.
    score : float
        Its ``callbacks.export.monitor``, the best of the run.
    """

    version: str | None
    score: float | None


def train(cfg: DictConfig) -> Trained:
    """Train as configured and say what was exported.

    A job that SLURM started again goes on with the version it had begun, in its run folder.

    Parameters
    ----------
    cfg : DictConfig
        ``configs/train.yaml``, composed.

    Raises
    ------
    ConfigError
        If settings contradict each other.
    Team5Error
        Whatever reading data, versions or writing them raises.
    """
    allow = check_allow(cfg.allow)
    started = time.monotonic()
    run = slurm_run(cfg.output_dir)
    begun = version_begun(cfg.checkpoints_root, run)
    parent: StoredVersion | None = None
    state: dict[str, Any] | None = None
    if cfg.resume is not None:
        if cfg.from_version is not None:
            raise ConfigError(
                "from_version= and resume= exclude each other: a resumed run goes on with its own "
                "weights. Give one of the two."
            )
        parent = read_version(cfg.checkpoints_root, cfg.resume)
        cfg = resumed_config(cfg, parent)
        state = read_optimizer(cfg.checkpoints_root, cfg.resume)
        if begun is None:
            check_epochs_left(cfg, parent, state)
    elif cfg.from_version is not None:
        parent = read_version(cfg.checkpoints_root, cfg.from_version)
    if begun is not None:
        state = state_begun(cfg, begun)
    n_in_report(cfg)
    _check_accelerator(cfg.trainer.accelerator)
    # Lightning 2.6 asks torch 2.13 for it in every run; nothing a user could change.
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
    # Its advice, to write srun in front, is not how this program is given to SLURM.
    warnings.filterwarnings("ignore", message="The `srun` command is available")
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)

    if parent is not None:
        _take_sizes(cfg, parent)
    cfg.trainer.precision = precision_of(cfg.trainer)
    module: Team5LightningModule = instantiate(cfg.model, _convert_="all")
    check_module(module)
    if parent is not None:
        _check_same_encoder(module, parent)
    _log.info("%s parameters", f"{sum(p.numel() for p in module.model.parameters()):,}")
    if "_target_" not in cfg.data:
        raise ConfigError(
            "this data is what evaluate.py measures on. To learn from spectra pass data=demo, "
            "data=massbank, or data=file with data.path=FILE (MassSpecGym.tsv, for one)."
        )
    data: SpectrumDataModule = instantiate(cfg.data)
    check_data(data)
    data.tokenizer = module.model.tokenizer
    data.prepare_data()
    data.setup("fit")
    if parent is not None:
        module.take_weights(parent.weights, f"{parent.folder}/model.safetensors")
    module.export_facts = _facts(cfg, parent, data.facts)
    if run is not None:
        module.export_facts["slurm_run"] = run
    module.model_card = write_model_card(module.export_facts)
    allow = _allowed(allow, module)
    report = partial(write_report, cfg, data=data, allow=allow, started=started)

    callbacks = [instantiate(callback) for callback in (cfg.callbacks or {}).values() if callback]
    for callback in callbacks:
        if isinstance(callback, CheckpointExport):
            callback.allow = allow
            callback.description = cfg.description or _description(data.facts, parent, cfg)
            if data.is_computed:
                # Computed spectra teach the machinery, not chemistry.
                callback.set_as_latest = "never"
    loggers = [instantiate(logger) for logger in (cfg.logger or {}).values() if logger]
    if not loggers:  # without one Lightning refuses to watch the learning rate
        callbacks = [c for c in callbacks if not isinstance(c, LearningRateMonitor)]
    stop = StopOnSignal()
    trainer: lightning.Trainer = instantiate(
        cfg.trainer, callbacks=[*callbacks, stop], logger=loggers, plugins=_plugins()
    )
    own = begun or (parent if cfg.resume is not None else None)
    if own is not None:
        _own(callbacks, own)
    try:
        with together():
            if state is None:
                trainer.fit(module, datamodule=data)
            else:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "state.ckpt"
                    torch.save(state, path)
                    trainer.fit(module, datamodule=data, ckpt_path=path, weights_only=True)
    except ProcessError:
        _say_how_to_go_on(_exported(callbacks).version, cfg)
        raise
    except SystemExit as stopped:  # how Lightning ends when interrupted
        if stop.received is None and stopped.code != _CTRL_C_EXIT:
            raise  # submitit has put the job back into the queue
        if trainer.is_global_zero:
            version = _exported(callbacks).version
            _say_how_to_go_on(version, cfg)
            if _has_validated(trainer):
                _say_where_to_look(cfg, report(version, loggers=loggers))
        if stop.received is not None:
            raise SystemExit(_SIGNAL_EXIT + stop.received) from stopped
        raise KeyboardInterrupt from stopped
    trained = _exported(callbacks)
    if trainer.is_global_zero:
        _say_what_came(
            trained.version,
            cfg,
            report(trained.version, loggers=loggers),
            allow,
            is_computed=data.is_computed,
        )
    return trained


def _plugins() -> list[SLURMEnvironment]:
    """Let submitit put a job back into the queue: it knows the run folder; Lightning would too."""
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


def _take_sizes(cfg: DictConfig, parent: StoredVersion) -> None:
    """Use the network sizes and cutting limits of the version whose weights are taken."""
    network, tokenizer = parent.config["model"], parent.config["tokenizer"]
    cfg.model.network.update(network)
    for key in ("max_depth", "max_fragments"):
        cfg.model.tokenizer[key] = tokenizer[key]


def _check_same_encoder(module: Team5LightningModule, parent: StoredVersion) -> None:
    """Refuse weights of one encoder for another; both are told apart by name and arguments."""
    own, stored = module.model.to_config().get("encoder"), parent.config.get("encoder")
    if own != stored:
        raise ConfigError(
            f"{parent.version} has the encoder {_said(stored)}, and model.encoder is {_said(own)}. "
            "Give both the same, or train without from_version=."
        )


def _said(encoder: Mapping[str, Any] | None) -> str:
    if encoder is None:
        return "of team5"
    arguments = ", ".join(f"{key}={value!r}" for key, value in encoder["arguments"].items())
    return f"{encoder['class']}({arguments})"


def _allowed(allow: list[str], module: Team5LightningModule) -> list[str]:
    """Return what may be imported to judge the versions: what is trained is there already."""
    encoder = module.model.to_config().get("encoder")
    return allow if encoder is None else [*allow, encoder["class"]]


def _check_accelerator(name: str) -> None:
    absent = (name in ("gpu", "cuda") and not torch.cuda.is_available()) or (
        name == "mps" and not torch.backends.mps.is_available()
    )
    if absent:
        raise DeviceError(f"trainer={name}: this machine has none. Train with trainer=cpu.")


def precision_of(trainer: DictConfig) -> str:
    """Return the precision asked for; ``auto`` is bfloat16 where the device computes in it."""
    if trainer.precision != "auto":
        return str(trainer.precision)
    if trainer.accelerator == "cpu":
        known = torch.cpu.get_capabilities()
        computes = bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    else:
        computes = torch.cuda.is_available() and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
    return "bf16-mixed" if computes else "32-true"


def _facts(
    cfg: DictConfig, parent: StoredVersion | None, data: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what config.json says of a training, without anything of the machine."""
    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=False)  # type: ignore[assignment]
    plain.update(
        (key, OmegaConf.select(cfg, key)) for key in ("seed", "from_version", "description")
    )
    plain.update({"output_dir": None, "checkpoints_root": None, "resume": None})
    # Where this machine keeps prepared tables; a resumed run keeps them where its own does.
    if "cache_dir" in plain["data"]:
        plain["data"]["cache_dir"] = None
    # What may be imported is for each user to say, and never for a version.
    plain.pop("allow")
    export = (plain.get("callbacks") or {}).get("export") or {}
    for part, names in ((plain["data"], PATHS), (export, ("gate_queries",))):
        for name in names:
            value = part.get(name)
            if value is not None and PurePath(value).is_absolute():
                part[name] = PurePath(value).name
    return {
        "training_config": plain,
        "parent_version": parent.version if parent else None,
        "parent_hash": parent.version_hash if parent else None,
        "data": dict(data),
        "code": code_state(),
        "packages": package_versions(),
    }


def _description(data: Mapping[str, Any], parent: StoredVersion | None, cfg: DictConfig) -> str:
    begun = (
        f"Resumed {parent.version}"
        if parent and cfg.resume
        else f"Fine-tuned {parent.version}"
        if parent
        else "Trained"
    )
    measured = "computed spectra, not measured ones," if data["computed"] else "spectra"
    return (
        f"{begun} on {data['train_spectra']:,} {measured} of {data['train_compounds']:,} "
        f"compounds ({'built-in demo set' if data['computed'] else data['source']})"
    )


def _own(callbacks: list[lightning.Callback], version: StoredVersion) -> None:
    """Let a resumed run go on with its version: the state within it was taken before its export."""
    for callback in callbacks:
        if isinstance(callback, CheckpointExport):
            callback.resume_as(version.version, version.config["training"]["score"])
        if isinstance(callback, EarlyStopping):
            # The run begins at the end of an epoch whose validation was before.
            callback.strict = False


def _exported(callbacks: list[lightning.Callback]) -> Trained:
    exports = [c for c in callbacks if isinstance(c, CheckpointExport)]
    return Trained(exports[0].version, exports[0].best_score) if exports else Trained(None, None)


def _has_validated(trainer: lightning.Trainer) -> bool:
    return any(name.startswith("val/") for name in trainer.callback_metrics)


def _say_what_came(
    version: str | None,
    cfg: DictConfig,
    report: Path | None,
    allow: Sequence[str],
    *,
    is_computed: bool,
) -> None:
    if version is None:
        _log.warning(
            "Nothing was exported: no validation improved callbacks.export.monitor. Its curves say "
            "why; more epochs or another model.optimizer.lr may help."
        )
    else:
        _log.info("Exported %s to %s", version, Path(cfg.checkpoints_root) / version)
    _say_where_to_look(cfg, report)
    if version is None:
        return
    root = _root_argument(cfg)
    allowed = f" allow=[{','.join(allow)}]" if allow else ""
    _log.info('Try it: python predict.py version=%s%s%s smiles="CCO"', version, root, allowed)
    registry = "python -m team5.registry"
    flag = "" if cfg.checkpoints_root == "checkpoints" else f" --root {cfg.checkpoints_root}"
    latest = Tracker(cfg.checkpoints_root).latest()
    if latest == version:
        _log.info("It is latest now; go back: %s rollback%s", registry, flag)
        return
    if latest is not None:
        _log.info("Compare it: %s compare %s %s%s", registry, latest, version, flag)
    if is_computed:
        _log.info("It cannot become latest, as the spectra it learned from are computed.")
        return
    flag += f" --allow {' '.join(allow)}" if allow else ""
    _log.info("Make it latest: %s promote %s%s", registry, version, flag)


def _say_where_to_look(cfg: DictConfig, report: Path | None) -> None:
    folder = _relative(cfg.output_dir)
    _log.info("Run folder: %s (curves as well: tensorboard --logdir %s)", folder, folder)
    if report is not None:
        _log.info("Report: %s", _relative(str(report)))


def _say_how_to_go_on(version: str | None, cfg: DictConfig) -> None:
    if version is None:
        _log.warning("Stopped before the first export: nothing was kept.")
    else:
        _log.warning(
            "Stopped. %s holds the best epoch so far; go on with: python train.py resume=%s%s",
            version, version, _root_argument(cfg),
        )  # fmt: skip


def _root_argument(cfg: DictConfig) -> str:
    root = cfg.checkpoints_root
    return "" if root == "checkpoints" else f" checkpoints_root={root}"


def _relative(folder: str) -> Path:
    """Return a folder as seen from here, where it lies below."""
    path = Path(folder)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
