"""evaluate(cfg) on the parts that versions of data.cross_fold= did not see, pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra.utils import instantiate

from team5.assessment.cross_folds import check_alike, held_out_queries, part_of, score_edited
from team5.assessment.queries import Query
from team5.assessment.scoring import score_queries
from team5.errors import ConfigError
from team5.evaluation.comparison import (
    Difference,
    QueryMetric,
    paired_differences,
    query_metrics,
    ranking_figures,
)
from team5.evaluation.metrics import compute_metrics, ranked_lists, ranking_metrics
from team5.evaluation.records import EDITED, ScoredQuery
from team5.evaluation.report import Report
from team5.inference.inference import load_model
from team5.registry.export import StoredVersion, read_version
from team5.runtime.progress import progress
from team5.runtime.tables import to_columns

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class _Measured:
    """Queries and scores of all parts together."""

    scored: list[ScoredQuery]
    edited: list[ScoredQuery]
    threshold: float
    hashes: list[str]

    def metrics(self) -> dict[str, QueryMetric]:
        """Return the figures by which two variants are compared."""
        return {
            **query_metrics(self.scored, threshold=self.threshold),
            **ranking_figures("same formula, ", ranked_lists(self.scored, same_formula=True)),
            **ranking_figures("edits, ", ranked_lists(self.edited)),
        }


def evaluate_cross_folds(cfg: DictConfig) -> tuple[dict[str, Any], str]:
    """Measure versions, each on the part it has not seen; return JSON and text.

    Raises
    ------
    ConfigError
        If there are none, two of them hold out the same part, or the baseline holds out other
        parts or is one of them.
    """
    versions = _by_part(cfg, "versions")
    baseline = {} if cfg.baseline is None else _by_part(cfg, "baseline")
    if baseline and baseline.keys() != versions.keys():
        raise ConfigError(
            f"versions= hold out parts {sorted(versions)} and baseline= {sorted(baseline)}. "
            "Give versions of the same parts.",
            argument="baseline",
        )
    for part, version in baseline.items():
        check_alike(versions[part], version)
    queries = {part: _queries(cfg, part, version) for part, version in versions.items()}
    measured = _measure(cfg, versions, queries)
    names = ", ".join(version.version for version in versions.values())
    report = Report(
        names,
        ", ".join(measured.hashes),
        "the parts not seen",
        len(measured.scored),
        len({s.structure for s in measured.scored}),
        cfg.seed,
        measured.threshold,
        {
            **compute_metrics(measured.scored, threshold=measured.threshold, seed=cfg.seed),
            EDITED: ranking_metrics(ranked_lists(measured.edited), cfg.seed),
        },
        {},
        [],
    )
    if not baseline:
        return report.to_dict(), report.to_text()
    before = _measure(cfg, baseline, queries)
    differences = paired_differences(before.metrics(), measured.metrics(), seed=cfg.seed)
    title = f"{names} against {', '.join(v.version for v in baseline.values())}"
    values = {name: asdict(difference) for name, difference in differences.items()}
    text = "\n\n".join([report.to_text(), "\n".join([title, *_table(differences)])])
    return {**report.to_dict(), "against_baseline": values}, text


def _by_part(cfg: DictConfig, key: str) -> dict[int, StoredVersion]:
    names = [cfg[key]] if isinstance(cfg[key], str) else cfg[key]
    if not isinstance(names, Sequence) or not names:
        raise ConfigError(
            f"{key}={cfg[key]}: give one version or more, {key}=[v0.4,v0.5].", argument=key
        )
    versions: dict[int, StoredVersion] = {}
    for name in names:
        version = read_version(cfg.checkpoints_root, name, verify=cfg.verify)
        part = part_of(version)
        if part in versions:
            raise ConfigError(f"{versions[part].version} and {name} hold out the same part, {part}")
        versions[part] = version
    return dict(sorted(versions.items()))


def _queries(cfg: DictConfig, part: int, version: StoredVersion) -> list[Query]:
    with progress(f"Drawing the lists of part {part}"):
        data = instantiate(cfg.data, cross_fold=part, n_references=0, val_max_spectra=1)
        data.prepare_data()
        data.setup()
        return held_out_queries(
            data,
            version,
            n_candidates=cfg.data.n_candidates,
            seed=cfg.seed,
            at_most=cfg.at_most or len(data.held_out),
        )


def _measure(
    cfg: DictConfig, versions: dict[int, StoredVersion], queries: dict[int, list[Query]]
) -> _Measured:
    scored: list[ScoredQuery] = []
    edited: list[ScoredQuery] = []
    thresholds, hashes = [], []
    for part, version in versions.items():
        model = load_model(
            version.version, device=cfg.device, root=cfg.checkpoints_root, verify=cfg.verify,
            allow=cfg.allow,
        )  # fmt: skip
        thresholds.append(model.threshold)
        hashes.append(model.version_hash)
        of_part = queries[part]
        with progress(f"Scoring {version.version}", len(of_part), unit="spectra") as bar:
            scored += score_queries(model, of_part, seed=cfg.seed, on_progress=bar.advance)
        with progress(f"Scoring edits with {version.version}"):
            edited += score_edited(model, of_part, seed=cfg.seed)
    return _Measured(scored, edited, float(np.mean(thresholds)), hashes)


def _table(differences: dict[str, Difference]) -> Sequence[str]:
    rows = [
        [
            name,
            f"{d.before:.3f}",
            f"{d.after:.3f}",
            f"{d.value:+.3f}",
            f"{d.low:+.3f} to {d.high:+.3f}",
            str(d.n_queries),
        ]
        for name, d in differences.items()
    ]
    header = ["", "before", "after", "difference", "95 % interval", "queries"]
    return list(to_columns(header, rows, left=[""]))
