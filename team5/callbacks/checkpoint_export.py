"""Callback that exports each improved epoch as a version and moves ``latest``."""

import datetime as dt
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args, runtime_checkable

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, device
from torch.random import fork_rng

from team5 import __version__
from team5.assessment.promotion import FrozenQueries, compare, judge, read_frozen_queries
from team5.errors import ConfigError, StorageError, Team5Error, TrackerError, VersionError
from team5.registry.export import export_version
from team5.registry.gate import gate_queries as configured_queries
from team5.registry.report import judged_lines
from team5.registry.tracker import Tracker, TrackerEntryFields
from team5.runtime.progress import progress

Mode = Literal["min", "max"]
WhenLatest = Literal["on_success", "always", "never"]

MIN_VAL_PAIRS = 50  # with fewer, the best epoch is a matter of luck

_VALIDATION = "val/"
_ACCURACY = f"{_VALIDATION}accuracy"
_F1_SCORE = f"{_VALIDATION}f1_score"

_log = logging.getLogger(__name__)


@runtime_checkable
class Exportable(Protocol):
    """Interface of a LightningModule that can be exported as a version."""

    def export_weights(self) -> dict[str, Tensor]:
        """Return the model's tensors, by name."""

    def export_config(self) -> dict[str, Any]:
        """Return everything needed to rebuild the model, JSON-serialisable."""

    def optimizer_state(self) -> dict[str, Any] | None:
        """Return the state to continue training from, None to leave it out."""

    def export_files(self) -> dict[str, str]:
        """Return further files by name."""


class CheckpointExport(Callback):  # no dataclass: Hydra would instantiate what `facts` name
    """Write a version each time the monitored validation metric improves.

    Its tracker entry holds the metrics the module logged at that validation: ``val/accuracy``,
    ``val/f1_score`` and all other ``val/`` metrics. Validation before training, or by itself,
    exports nothing.

    Parameters
    ----------
    root : path
        The registry.
    monitor : str
        Name of a logged metric, such as "val/loss"; NaN and infinity never improve it.
    mode : "min" or "max"
        Whether lower or higher is better.
    every_best : bool
        Export each improved epoch as a new version. Otherwise the run owns one, created at its
        first export (next minor after the highest present) and replaced at every improved epoch.
    set_as_latest : "on_success", "always" or "never"
        Move ``latest`` when the run ends successfully, at each export, or never.
    version, best_score : str and float, optional
        The version that a resumed run owns, and its score at export.
    facts : mapping, optional
        Facts for ``config.json`` that the module does not know, such as the data set.
    model_card : str
        Text of the version's README.md, if any.
    allow : sequence of str
        Encoders outside team5 that may be imported to judge versions.
    parent : path, optional
        Folder of the parent version, whose number a new version follows.
    held_out : FrozenQueries, optional
        Validation spectra of the run. Without ``gate_queries``, ``latest`` moves at the
        end only to a version whose hit@1 on these is not below that of its parent or of what was
        latest, and no metric of which is worse by its entire interval.
    n_val_pairs : int, optional
        Validation pairs of the run; with fewer than 50 ``latest`` does not move at its end.
    description : str
        One line for the tracker.
    save_optimizer : bool
        Write ``optimizer.bin``, four times the size of the weights, which resuming needs.
    gate_queries : path, optional
        Frozen queries, in the format of evaluate.py: ``latest`` moves only to a version that is not
        worse on these than the present one; the version is exported regardless. None uses the
        file that ``TEAM5_GATE_QUERIES`` names, if it is set. A latest version that is replaced at
        an improved epoch is not judged again: its predecessor is gone.

    Raises
    ------
    ConfigError
        If ``mode`` or ``set_as_latest`` is none of these.
    """

    def __init__(
        self,
        root: str | Path,
        monitor: str,
        mode: Mode,
        every_best: bool = False,
        set_as_latest: WhenLatest = "on_success",
        description: str = "",
        save_optimizer: bool = True,
        gate_queries: str | Path | None = None,
        version: str | None = None,
        best_score: float | None = None,
        facts: Mapping[str, Any] | None = None,
        model_card: str = "",
        allow: Sequence[str] = (),
        parent: Path | None = None,
        held_out: FrozenQueries | None = None,
        n_val_pairs: int | None = None,
    ) -> None:
        super().__init__()
        _check_choice("mode", mode, get_args(Mode))
        _check_choice("set_as_latest", set_as_latest, get_args(WhenLatest))
        self.root = Path(root)
        self.monitor = monitor
        self.mode = mode
        self.every_best = every_best
        self.set_as_latest = set_as_latest
        self.description = description
        self.save_optimizer = save_optimizer
        self.gate_queries = gate_queries
        self.version = version
        self.best_score = best_score
        self.facts = dict(facts or {})
        self.model_card = model_card
        self.allow = allow
        self.parent = parent
        self.held_out = held_out
        self.n_val_pairs = n_val_pairs
        self._is_resumed = version is not None
        self._frozen: FrozenQueries | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Read the frozen queries, so that faults in them are reported before training.

        Raises
        ------
        DataError
            If they are missing or cannot be read.
        """
        path = configured_queries(self.gate_queries)
        if stage == TrainerFn.FITTING and path is not None and self.set_as_latest != "never":
            self._frozen = read_frozen_queries(path)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Export the model if it is the best so far."""
        if (
            trainer.state.fn != TrainerFn.FITTING
            or trainer.sanity_checking
            or getattr(trainer, "fast_dev_run", False)
        ):
            return
        metrics = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if value.numel() == 1
        }
        score = _metric(metrics, self.monitor)
        if not trainer.strategy.broadcast(self._is_better(score)):
            return
        self.version = self._export(trainer, pl_module, metrics, score)
        self.best_score = score
        if self.set_as_latest == "always" and self._frozen is not None and trainer.is_global_zero:
            self._move_latest(self.version, "exported", pl_module.device)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move ``latest``; Lightning calls this only if the fit succeeded."""
        if self.version is None or not trainer.is_global_zero:
            return
        may_be_latest = self._may_be_latest(self.version, pl_module.device)
        if self.set_as_latest == "on_success" and may_be_latest:
            self._move_latest(self.version, "its training ended well", pl_module.device)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a resumed run: the version it owns and the score to beat."""
        return {
            "version": self.version,
            "best_score": self.best_score,
            "monitor": self.monitor,
            "mode": self.mode,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the version of an earlier run, and its score if the metric is the same.

        The state within a version was taken just before its export, so the constructor's
        arguments take precedence.
        """
        if self._is_resumed:
            return
        self.version = state_dict["version"]
        if (state_dict["monitor"], state_dict["mode"]) == (self.monitor, self.mode):
            self.best_score = state_dict["best_score"]

    def _is_better(self, score: float) -> bool:
        if not math.isfinite(score):
            return False
        if self.best_score is None:
            return True
        return score < self.best_score if self.mode == "min" else score > self.best_score

    def _move_latest(self, version: str, reason: str, where: device) -> None:
        """Move ``latest``, unless the version is worse on frozen queries."""
        tracker = Tracker(self.root)
        if self._frozen is None:
            tracker.set_latest(version, reason)
        else:
            try:
                verdict, differences = self._judge(self._frozen, version, where)
                if differences is not None:
                    lines = "\n".join(judged_lines(differences, indent=2))
                    _log.info("On %s:\n%s", self._frozen.name, lines)
                tracker.set_latest(version, f"{reason}; {verdict}", differences)
            except (StorageError, TrackerError):
                raise
            except Team5Error as error:
                _log.warning("latest in %s stays %s: %s", self.root, tracker.latest(), error)
                return
        _log.info("latest in %s is %s", self.root, version)

    def _may_be_latest(self, version: str, where: device) -> bool:
        """Compare with the parent and with latest on held-out spectra, record and log it."""
        if self.held_out is not None and self.parent is not None:
            tracker = Tracker(self.root)
            rivals = [self.parent]
            latest = tracker.latest()
            if latest not in (None, version, self.parent.name):
                rivals.append(self.root / latest)
            for rival in rivals:
                before, after = (rival.parent, rival.name), (self.root, version)
                try:
                    with self._judging(version, where) as options:
                        comparison = compare(before, after, self.held_out, **options)
                except VersionError as error:
                    _log.warning("latest in %s stays: %s", self.root, error)
                    return False
                _log.info("On %s:\n  %s", self.held_out.name, "\n  ".join(comparison.lines))
                if rival == self.parent:
                    tracker.add(version, update=True, extra={"compared": comparison.judged})
                fell = comparison.judged["figures"]["hit_rate@1"]["difference"] < 0
                if comparison.worse or fell:
                    _log.warning(
                        "%s is worse than %s there: latest stays. Use it by name: version=%s",
                        version, rival.name, version,
                    )  # fmt: skip
                    return False
        if self.n_val_pairs is not None and self.n_val_pairs < MIN_VAL_PAIRS:
            _log.warning(
                "%d validation pairs are too few to tell whether %s is better (%d are needed): "
                "latest stays. Use it by name: version=%s",
                self.n_val_pairs, version, MIN_VAL_PAIRS, version,
            )  # fmt: skip
            return False
        return True

    def _judge(
        self, frozen: FrozenQueries, version: str, where: device
    ) -> tuple[str, dict[str, Any] | None]:
        _log.info("Comparing %s with latest on %d queries", version, len(frozen.queries))
        with self._judging(version, where) as options:
            return judge(self.root, version, frozen, **options)

    @contextmanager
    def _judging(self, version: str, where: device) -> Iterator[dict[str, Any]]:
        """Show progress, and yield the options of `judge` and `compare`."""
        # Creating a model draws random weights, which must not affect the training's random state.
        with fork_rng(devices=[]), progress(f"Judging {version}", unit="spectra") as bar:
            # Lightning calls Apple's device mps:0; there is only one.
            name = where.type if where.type == "mps" else str(where)
            yield {"device": name, "allow": self.allow, "on_progress": bar.advance}

    def _export(
        self, trainer: Trainer, module: LightningModule, metrics: dict[str, float], score: float
    ) -> str:
        if not isinstance(module, Exportable):
            raise ConfigError(
                f"{type(module).__name__} cannot be exported. Give it export_weights, "
                "export_config, optimizer_state and export_files, or drop callbacks.export."
            )
        version = self._write(trainer, module, metrics, score) if trainer.is_global_zero else None
        return cast(str, trainer.strategy.broadcast(version))

    def _write(
        self, trainer: Trainer, model: Exportable, metrics: dict[str, float], score: float
    ) -> str:
        today = dt.date.today().isoformat()
        config = {**model.export_config(), **self.facts}
        card = {"README.md": self.model_card} if self.model_card else {}
        training = {
            **config.get("training", {}),
            "epoch": trainer.current_epoch,
            "global_step": trainer.global_step,
            "monitor": self.monitor,
            "mode": self.mode,
            "score": score,
            "team5_version": __version__,
            "date": today,
        }
        # Immediately, so that a run interrupted from now on names it.
        self.version = version = export_version(
            self.root,
            version=None if self.every_best else self.version,
            config={**config, "training": training},
            weights=model.export_weights(),
            optimizer=model.optimizer_state() if self.save_optimizer else None,
            extra_files={**card, **model.export_files()},
            entry=TrackerEntryFields(
                description=self.description,
                accuracy=_metric(metrics, _ACCURACY),
                f1_score=_metric(metrics, _F1_SCORE),
                date=today,
                extra_performance=_further_metrics(metrics),
            ),
            set_as_latest=self.set_as_latest == "always" and self._frozen is None,
            replace=not self.every_best,
            after=self.parent.name if self.parent is not None else None,
        )
        _log.info("%s %.6g is the best so far: exported %s", self.monitor, score, version)
        return version


def _metric(metrics: dict[str, float], name: str) -> float:
    if name not in metrics:
        logged = ", ".join(sorted(other for other in metrics if other.startswith(_VALIDATION)))
        raise ConfigError(
            f"{name} is not among the metrics logged in validation ({logged or 'none'}). "
            "Log it, or set callbacks.export.monitor to one of these."
        )
    return metrics[name]


def _further_metrics(metrics: dict[str, float]) -> dict[str, float]:
    further = {
        name.removeprefix(_VALIDATION): value
        for name, value in metrics.items()
        if name.startswith(_VALIDATION) and name not in (_ACCURACY, _F1_SCORE)
    }
    undefined = sorted(name for name, value in further.items() if not math.isfinite(value))
    if undefined:  # such as AUROC of one class; JSON has no number for it
        _log.warning("not recorded, because not finite: %s", ", ".join(undefined))
    return {name: value for name, value in further.items() if math.isfinite(value)}


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}. Choose one of {', '.join(choices)}.")
