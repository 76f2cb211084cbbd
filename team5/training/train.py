"""Training from a config: resolve, build, fit, report."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import lightning
import torch
from hydra.utils import instantiate
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor
from omegaconf import DictConfig

from team5.assessment.promotion import FrozenQueries
from team5.callbacks.checkpoint_export import CheckpointExport
from team5.callbacks.stop_on_signal import StopOnSignal
from team5.data.datamodule import SpectrumDataModule
from team5.data.preprocess import FIRST_RULE
from team5.errors import CheckpointError, ConfigError, DeviceError, ProcessError
from team5.inference.familiarity import seen_with_parents
from team5.models.encoders import MoleculeEncoder
from team5.models.lightning_module import VAL_METRICS, Team5LightningModule
from team5.models.model import ModelConfig
from team5.models.version_weights import check_weights
from team5.registry.allowed import check_allow
from team5.registry.export import StoredVersion, read_version
from team5.registry.roots import find_checkpoints
from team5.registry.tracker import Tracker
from team5.runtime.command import TERMINATED, raising_at_sigterm
from team5.training.interfaces import check_data, check_module
from team5.training.lineage import (
    check_part,
    code_state,
    description,
    package_versions,
    plain_settings,
)
from team5.training.model_card import write_model_card
from team5.training.next_steps import log_how_to_resume, log_outcome, log_places
from team5.training.pretraining import Pretraining, pretrain
from team5.training.processes import is_first_process, together
from team5.training.report import n_in_report, write_report
from team5.training.resume import (
    best_score,
    check_epochs_left,
    overridden_keys,
    read_state,
    resumed_config,
    slurm_run,
    state_begun,
    version_begun,
)
from team5.training.settings import PATHS, check_settings

_log = logging.getLogger(__name__)

# Exit code of a program ended by a signal: this plus the signal's number.
_SIGNAL_EXIT = 128
_CTRL_C_EXIT = 1  # of Lightning


@dataclass(frozen=True)
class Trained:
    """Result of a training; both None if nothing was exported.

    Attributes
    ----------
    version : str
        The last exported one.
    score : float
        Its ``callbacks.export.monitor``, the best of the run.
    """

    version: str | None
    score: float | None


@dataclass(frozen=True, eq=False)
class Run:
    """A configured training, with the versions it starts from.

    Attributes
    ----------
    cfg : DictConfig
        Complete: with the sizes of the parent version, and a precision.
    parent : StoredVersion or None
        The version whose weights are taken.
    resumed : StoredVersion or None
        The version whose run continues; it is replaced at a better epoch.
    state : dict or None
        State of optimizer, schedule, loops and callbacks to continue from.
    slurm_run : str or None
        Name of the run within SLURM.
    started : float
        Of `time.monotonic`.
    """

    cfg: DictConfig
    parent: StoredVersion | None
    resumed: StoredVersion | None
    state: dict[str, Any] | None
    slurm_run: str | None
    started: float


@dataclass(frozen=True, eq=False)
class Training:
    """A run with its module, data, callbacks and trainer."""

    run: Run
    module: Team5LightningModule
    data: SpectrumDataModule
    trainer: lightning.Trainer
    stop: StopOnSignal
    allow: list[str]

    @property
    def trained(self) -> Trained:
        """The version exported so far."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, CheckpointExport):
                return Trained(callback.version, callback.best_score)
        return Trained(None, None)

    def write_report(self) -> Path | None:
        """Write ``report.html`` of the exported version."""
        return write_report(
            self.run.cfg, self.trained.version, self.data, self.trainer.loggers,
            allow=self.allow, started=self.run.started,
        )  # fmt: skip


def train(cfg: DictConfig) -> Trained:
    """Train as configured and return the result.

    A job that SLURM restarted continues with the version it had begun, in its run folder.

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
    run = resolve(cfg)
    try:
        with raising_at_sigterm(SystemExit(TERMINATED)):
            training = build(run)
    except (KeyboardInterrupt, SystemExit):
        if is_first_process():
            log_how_to_resume(run.resumed.version if run.resumed else None, run.cfg)
        raise
    try:
        fit(training)
    except ProcessError:
        log_how_to_resume(training.trained.version, run.cfg)
        raise
    except SystemExit as stopped:  # how Lightning ends when interrupted
        if training.stop.received is None and stopped.code != _CTRL_C_EXIT:
            raise  # submitit has requeued the job
        if training.trainer.is_global_zero:
            log_how_to_resume(training.trained.version, run.cfg)
            log_places(run.cfg, None)  # a report would keep waiting whoever stopped the run
        if training.stop.received is not None:
            raise SystemExit(_SIGNAL_EXIT + training.stop.received) from stopped
        raise KeyboardInterrupt from stopped
    trained = training.trained
    if training.trainer.is_global_zero:
        report = training.write_report()
        is_computed = training.data.is_computed
        log_outcome(trained.version, run.cfg, report, training.allow, is_computed=is_computed)
    return trained


def resolve(cfg: DictConfig) -> Run:
    """Check the settings and read the version that the training starts from."""
    started = time.monotonic()
    check_allow(cfg.allow)
    Tracker(cfg.checkpoints_root).read()  # faults there are reported before an epoch is trained
    slurm = slurm_run(cfg.output_dir)
    begun = version_begun(cfg.checkpoints_root, slurm)
    parent = resumed = None
    state: dict[str, Any] | None = None
    if cfg.resume is not None:
        if cfg.from_version is not None:
            raise ConfigError(
                "from_version= and resume= exclude each other: a resumed run keeps its own "
                "weights. Give one of the two."
            )
        parent = resumed = read_version(cfg.checkpoints_root, cfg.resume)
        cfg = resumed_config(cfg, parent)
        state = read_state(cfg.checkpoints_root, cfg.resume)
        if begun is None:
            check_epochs_left(cfg, parent, state)
    elif cfg.from_version is not None:
        # Those that shipped are elsewhere while the folder of this run has only its own.
        root = find_checkpoints(cfg.checkpoints_root, cfg.from_version, or_elsewhere=True)
        parent = read_version(root, cfg.from_version)
    if begun is not None:
        resumed, state = begun, state_begun(cfg, begun)
    check_settings(cfg)
    n_in_report(cfg)
    _check_accelerator(cfg.trainer.accelerator)
    if "_target_" not in cfg.data:
        raise ConfigError(
            "this data is for evaluate.py. To train, pass data=demo, "
            "data=massbank, or data=file with data.path=FILE (MassSpecGym.tsv, for one)."
        )
    if parent is not None:
        _take_sizes(cfg, parent)
        _leave_out_pretraining(cfg, parent)
    elif cfg.rescore:
        raise ConfigError(
            "rescore=true has no effect without the version to score anew. Give from_version=, or "
            "leave it out: model.score counts in any case."
        )
    cfg.trainer.precision = precision_of(cfg.trainer)
    return Run(cfg, parent, resumed, state, slurm, started)


def build(run: Run) -> Training:
    """Create module, data, callbacks and trainer; load the initial weights."""
    cfg, parent = run.cfg, run.parent
    # Lightning 2.6 brings it about in every run with torch 2.13.
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
    # This program is not started with srun.
    warnings.filterwarnings("ignore", message="The `srun` command is available")
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)

    module: Team5LightningModule = instantiate(cfg.model, _convert_="all")
    check_module(module)
    _check_monitors(cfg.callbacks, module)
    if parent is not None:
        _check_same_encoder(module, parent)
    _log.info("%s parameters", f"{sum(p.numel() for p in module.model.parameters()):,}")
    data: SpectrumDataModule = instantiate(cfg.data)
    check_data(data)
    data.tokenizer = module.model.tokenizer
    data.rule = module.model.rule
    data.prepare_data()
    data.setup("fit")
    if parent is not None:
        check_part(cfg.data.get("cross_fold"), data.facts, parent)
        module.take_weights(parent.weights, f"{parent.folder}/model.safetensors")
        if cfg.rescore:
            module.forget_heads()
    elif cfg.pretraining is not None:
        _pretrain(module, data, Pretraining(**cfg.pretraining), cfg.seed)
    allow = _allowed(cfg, module)
    loggers = [instantiate(logger) for logger in (cfg.logger or {}).values() if logger]
    callbacks = _callbacks(run, data, allow, has_logger=bool(loggers))
    stop = StopOnSignal()
    trainer: lightning.Trainer = instantiate(
        cfg.trainer, callbacks=[*callbacks, stop], logger=loggers, plugins=_plugins()
    )
    return Training(run, module, data, trainer, stop, allow)


def _pretrain(
    module: Team5LightningModule, data: SpectrumDataModule, settings: Pretraining, seed: int
) -> None:
    """Pretrain the atom layers; the first process does, whose weights DDP gives to the others."""
    encoder = module.model.molecule_encoder
    if not isinstance(encoder, MoleculeEncoder):
        _log.info("No pretraining: the encoder is your own.")
        return
    if not hasattr(data, "structures"):
        raise ConfigError(
            f"pretraining needs structures(n) of the data, which {type(data).__qualname__} lacks. "
            "Give pretraining=null, or derive the class from team5's own.",
            argument="pretraining",
        )
    if is_first_process():
        pretrain(encoder, data.structures(settings.structures), settings, seed=seed)


def _check_monitors(callbacks: DictConfig | None, module: lightning.LightningModule) -> None:
    """Refuse metrics that team5's module never logs before an epoch is trained for nothing."""
    if type(module) is not Team5LightningModule:
        return
    for name, settings in (callbacks or {}).items():
        monitor = (settings or {}).get("monitor")
        if monitor not in (None, *VAL_METRICS) and not monitor.startswith("train/"):
            key = f"callbacks.{name!s}.monitor"
            raise ConfigError(
                f"{key}={monitor!r} is no metric of validation. There are: "
                f"{', '.join(VAL_METRICS)}.",
                argument=key,
            )


def _callbacks(
    run: Run, data: SpectrumDataModule, allow: list[str], *, has_logger: bool
) -> list[Callback]:
    """Create the configured callbacks, with what each needs from the run."""
    cfg, resumed = run.cfg, run.resumed
    callbacks = []
    for name, settings in (cfg.callbacks or {}).items():
        if not settings:
            continue
        make: partial[Callback] = instantiate(settings, _partial_=True)
        kind = make.func if isinstance(make.func, type) else object
        arguments: dict[str, Any] = {}
        if issubclass(kind, LearningRateMonitor) and not has_logger:
            continue  # Lightning refuses to monitor the learning rate without one
        if issubclass(kind, EarlyStopping) and resumed is not None:
            # The run begins at the end of an epoch whose validation was before.
            arguments["strict"] = False
        if issubclass(kind, CheckpointExport):
            facts = _facts(run, data.facts)
            arguments.update(
                parent=_origin(run),
                held_out=_held_out(run, data),
                n_val_pairs=data.facts.get("val_pairs"),
                allow=allow,
                description=cfg.description or description(data.facts, run.parent, cfg),
                facts=facts,
                model_card=write_model_card(facts),
            )
            if data.is_computed or data.facts.get("cross_fold") is not None:
                # Computed spectra teach no chemistry; a cross-fold is held out only to judge
                # settings.
                arguments["set_as_latest"] = "never"
            if resumed is not None:
                arguments.update(version=resumed.version, best_score=best_score(resumed))
        try:
            callbacks.append(make(**arguments))
        except (TypeError, ValueError, MisconfigurationException) as error:
            raise ConfigError(f"callbacks.{name}: {error}", argument=f"callbacks.{name}") from error
    return callbacks


def _origin(run: Run) -> Path | None:
    """Return the folder of the version that a run started from, interrupted or not."""
    if run.resumed is None:
        return run.parent.folder if run.parent is not None else None
    name = run.resumed.config.get("parent_version")
    folder = Path(run.cfg.checkpoints_root) / (name or "")
    return folder if name is not None and folder.is_dir() else None


def _held_out(run: Run, data: SpectrumDataModule) -> FrozenQueries | None:
    """Return the validation spectra, each with its decoy and references as candidates."""
    if data.is_computed or not isinstance(data, SpectrumDataModule) or _origin(run) is None:
        return None
    pairs = [
        replace(pair, candidates=(*pair.candidates, *data.references[pair.candidates[0]]))
        for pair in data.pairs
    ]
    name = f"validation spectra of {data.facts['source']}"
    return FrozenQueries.held_out(name, pairs, run.cfg.seed)


def fit(training: Training) -> None:
    """Fit, from the state of an earlier run if there is one."""
    module, data, state = training.module, training.data, training.run.state
    with together():
        if state is None:
            training.trainer.fit(module, datamodule=data)
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state.ckpt"
            torch.save(state, path)
            training.trainer.fit(module, datamodule=data, ckpt_path=path, weights_only=True)


def _plugins() -> list[SLURMEnvironment]:
    """Return the plugin that leaves requeuing to submitit, which knows the run folder."""
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


def _take_sizes(cfg: DictConfig, parent: StoredVersion) -> None:
    """Use the sizes, cutting limits and score of the parent version."""
    check_weights(parent)
    try:
        network = asdict(ModelConfig(**parent.config["model"]))
        limits = {key: parent.config["tokenizer"][key] for key in ("max_depth", "max_fragments")}
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{parent.folder}/config.json does not describe a model: {error}. Use another version."
        ) from error
    parts = {"network": network, "tokenizer": limits}
    if not cfg.rescore:
        parts["score"] = parent.config.get("score") or asdict(FIRST_RULE)
    typed = overridden_keys()
    for part, sizes in parts.items():
        for key in sizes:
            if f"model.{part}.{key}" in typed and cfg.model[part][key] != sizes[key]:
                raise ConfigError(
                    f"model.{part}.{key}={cfg.model[part][key]} has no effect: {parent.version}, "
                    f"whose weights are taken, has {sizes[key]}. Leave it out, or train from "
                    "scratch: from_version=null."
                )
        cfg.model[part].update(sizes)


def _leave_out_pretraining(cfg: DictConfig, parent: StoredVersion) -> None:
    """Refuse pretraining that is typed, and drop an experiment's: the parent's weights are taken.

    A resumed run keeps what it was pretrained with, for its version to record.
    """
    typed = any(key.split(".")[0] == "pretraining" for key in overridden_keys())
    if typed and cfg.pretraining is not None:
        raise ConfigError(
            f"pretraining= has no effect: the weights of {parent.version} are taken. Leave it out, "
            "or train from scratch: from_version=null."
        )
    if cfg.resume is None:
        cfg.pretraining = None


def _check_same_encoder(module: Team5LightningModule, parent: StoredVersion) -> None:
    """Refuse weights of an encoder with a different name or arguments."""
    chosen, stored = module.model.to_config().get("encoder"), parent.config.get("encoder")
    if chosen != stored:
        raise ConfigError(
            f"{parent.version} has the encoder {_encoder_text(stored)}, and model.encoder is "
            f"{_encoder_text(chosen)}. Give both the same, or train without from_version=."
        )


def _encoder_text(encoder: Mapping[str, Any] | None) -> str:
    if encoder is None:
        return "of team5"
    arguments = ", ".join(f"{key}={value!r}" for key, value in encoder["arguments"].items())
    return f"{encoder['class']}({arguments})"


def _allowed(cfg: DictConfig, module: Team5LightningModule) -> list[str]:
    """Return the classes that may be imported to judge versions, including the trained encoder."""
    allow, encoder = check_allow(cfg.allow), module.model.to_config().get("encoder")
    return allow if encoder is None else [*allow, encoder["class"]]


def _check_accelerator(name: str) -> None:
    absent = (name in ("gpu", "cuda") and not torch.cuda.is_available()) or (
        name == "mps" and not torch.backends.mps.is_available()
    )
    if absent:
        raise DeviceError(f"trainer={name}: this machine has none. Train with trainer=cpu.")


def precision_of(trainer: DictConfig) -> str:
    """Return the configured precision; ``auto`` is bfloat16 where the device computes in it."""
    if trainer.precision != "auto":
        return str(trainer.precision)
    if trainer.accelerator == "cpu":
        capabilities = torch.cpu.get_capabilities()
        computes = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    else:
        computes = torch.cuda.is_available() and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
    return "bf16-mixed" if computes else "32-true"


def _facts(run: Run, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a training for config.json, without any about the machine."""
    cfg, parent = run.cfg, run.parent
    plain = plain_settings(cfg)
    # A resumed run uses the cache of its machine.
    if "cache_dir" in plain["data"]:
        plain["data"]["cache_dir"] = None
    # What may be imported is up to each user, never to a version.
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
        "seen_before": seen_with_parents(parent.config) if parent else [],
        "data": dict(data),
        "code": code_state(),
        "packages": package_versions(),
        **({} if run.slurm_run is None else {"slurm_run": run.slurm_run}),
    }
