"""report.html of a run: its settings, curves, metrics with controls, and examples."""

from __future__ import annotations

import datetime as dt
import logging
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.loggers import CSVLogger
from omegaconf import OmegaConf

from team5.assessment.examples import Examples, make_examples
from team5.assessment.queries import Query, draw_queries
from team5.assessment.scoring import score_queries
from team5.data.datamodule import SpectrumDataModule
from team5.errors import ConfigError, MissingExtraError, Team5Error
from team5.evaluation.metrics import compute_metrics, reliability_diagram
from team5.evaluation.records import ScoredQuery
from team5.evaluation.report import Report
from team5.inference.inference import LoadedModel, load_model
from team5.registry.tracker import Tracker
from team5.runtime.places import call_of
from team5.runtime.progress import progress
from team5.runtime.storage import storage_errors, write_whole
from team5.runtime.tables import counted, counted_spectra

if TYPE_CHECKING:
    from omegaconf import DictConfig

NAME = "report.html"
_OPTIMISTIC = (
    "The best epoch was chosen, and the match probability fitted, on the compounds of these "
    "spectra, so the figures are optimistic. Measure on others: {} data.queries=FILE."
)
_COMPUTED = "The spectra are computed, not measured: figures on them say nothing about chemistry."
_NOTHING_EXPORTED = (
    "Nothing was exported: no validation improved callbacks.export.monitor. There is no model to "
    "show answers of."
)
_log = logging.getLogger(__name__)


def write_report(
    cfg: DictConfig,
    version: str | None,
    data: SpectrumDataModule,
    loggers: Sequence[lightning.pytorch.loggers.Logger],
    *,
    allow: Sequence[str] = (),
    started: float,
) -> Path | None:
    """Write a run's report into its folder; a failure is logged in one line, not raised.

    Parameters
    ----------
    cfg : DictConfig
        Of the run; ``report_spectra`` of the validation rankings are scored.
    version : str or None
        The exported one.
    allow : sequence of str
        As for `load_model`.
    started : float
        Start of the run, of `time.monotonic`.

    Returns
    -------
    path or None
        None if no report was written.
    """
    n_spectra = n_in_report(cfg)
    if n_spectra == 0:
        return None
    path = Path(cfg.output_dir) / NAME
    try:
        # Needs an extra, and says so.
        from team5.viz.report import Training, to_html

        tracker = Tracker(cfg.checkpoints_root).read()
        entry = tracker.entry(version) if version else None
        compared = [entry.extra.get("compared")] if entry else []
        compared += [move.judged for move in tracker.history if move.latest == version]
        training = Training(
            f"Training of {version}" if version else "Training, nothing exported",
            _metrics_file(loggers),
            dict(entry.performance) if entry else {},
            [judged for judged in compared if judged],
            _notes(version, data),
        )
        report, examples = _measure(cfg, version, data, n_spectra, allow)
        page = to_html(
            report,
            training=training,
            facts=_facts(cfg, version, report, data.facts, started),
            examples=examples,
            spectra="computed" if data.is_computed else "measured",
            config=OmegaConf.to_yaml(cfg, resolve=True),
        )
        with storage_errors(path):
            write_whole(path, page.encode())
    except MissingExtraError as error:
        _log.warning("No %s: %s", NAME, error)
        return None
    except Team5Error as error:
        _log.warning("No %s: %s", path, error)
        return None
    return path


def n_in_report(cfg: DictConfig) -> int:
    """Return the number of validation spectra in a run's report; 0 for no report.

    Raises
    ------
    ConfigError
        If the setting is not such a number.
    """
    n_spectra = OmegaConf.select(cfg, "report_spectra", default=0)
    if isinstance(n_spectra, bool) or not isinstance(n_spectra, int) or n_spectra < 0:
        raise ConfigError(
            f"report_spectra={n_spectra}: give the number of validation spectra in report.html, "
            "100 or so; 0 writes none."
        )
    return n_spectra


def _measure(
    cfg: DictConfig, version: str | None, data: SpectrumDataModule, n: int, allow: Sequence[str]
) -> tuple[Report | None, Examples]:
    queries = draw_queries(data.rankings, n, cfg.seed)
    if version is None or not queries:
        return None, Examples()
    model = load_model(version, device=_device(cfg), root=cfg.checkpoints_root, allow=allow)
    scored = _with_progress(model, queries, cfg.seed)
    report = Report(
        model.version,
        model.version_hash,
        f"the validation fold of {data.facts['source']}, with candidates of their mass",
        len(queries),
        len({query.inchikey14 for query in queries}),
        cfg.seed,
        model.threshold,
        compute_metrics(scored, threshold=model.threshold, seed=cfg.seed),
        {},
        reliability_diagram(scored, seed=cfg.seed),
    )
    return report, make_examples(model, queries, scored, seed=cfg.seed)


def _with_progress(
    model: LoadedModel, queries: Sequence[Query], seed: int
) -> Sequence[ScoredQuery]:
    with progress(f"Scoring for {NAME}", len(queries), unit="spectra") as bar:
        return list(score_queries(model, queries, seed=seed, on_progress=bar.advance))


def _device(cfg: DictConfig) -> str:
    return {"gpu": "cuda", "cuda": "cuda", "mps": "mps"}.get(cfg.trainer.accelerator, "cpu")


def _metrics_file(loggers: Sequence[lightning.pytorch.loggers.Logger]) -> Path | None:
    for logger in loggers:
        if isinstance(logger, CSVLogger):
            logger.save()
            path = Path(logger.log_dir) / "metrics.csv"
            return path if path.is_file() else None
    return None


def _notes(version: str | None, data: SpectrumDataModule) -> tuple[str, ...]:
    notes = [_NOTHING_EXPORTED if version is None else _OPTIMISTIC.format(call_of("evaluate"))]
    if data.is_computed:
        notes.append(_COMPUTED)
    return tuple(notes)


def _facts(
    cfg: DictConfig,
    version: str | None,
    report: Report | None,
    data: Mapping[str, Any],
    started: float,
) -> dict[str, str]:
    exported = f"{version} ({report.version_hash})" if report else version or "none"
    folds = cfg.data.get("folds") or "those of the table, or by structural cluster"
    facts = {
        "Version": exported,
        "Started from": cfg.resume or cfg.from_version or "scratch",
        "Data": (
            f"{data['source']}: {counted_spectra(data['train_spectra'])} of "
            f"{counted(data['train_compounds'], 'compound')}, validated on "
            f"{data['val_pairs']:,} pairs of "
            f"{counted(data['val_compounds'], 'other')}"
        ),
        "Folds": f"{folds} (sha256 {data['folds_sha256'][:12]})",
        "Seed": str(cfg.seed),
        "Duration": str(dt.timedelta(seconds=round(time.monotonic() - started))),
        "Date": dt.date.today().isoformat(),
    }
    if HydraConfig.initialized():
        facts["Command"] = shlex.join(["python", "train.py", *sys.argv[1:]])
    return facts
