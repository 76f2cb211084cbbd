"""evaluate(cfg): load a version, score queries with a progress bar, print and write the figures."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from team5.cli.output import check_output_path, write_json_file
from team5.data.queries import read_queries
from team5.errors import ConfigError
from team5.inference.inference import load_model
from team5.inference.scoring import Figure, figures, format_figures, score_queries
from team5.registry.tracker import Tracker

if TYPE_CHECKING:
    from omegaconf import DictConfig

_log = logging.getLogger(__name__)

# What the tracker keeps of the rankings, and under which names.
_RECORDED_RANKINGS = {
    "rank, all candidates": "",
    "rank, candidates of the same formula": "same_formula_",
}
_NAMES = {"hit@1": "hit_rate@1", "hit@5": "hit_rate@5", "hit@20": "hit_rate@20", "MRR": "mrr"}


def evaluate(cfg: DictConfig) -> int:
    """Measure a version as ``configs/evaluate.yaml`` says; figures go to standard output."""
    if cfg.format not in ("text", "json"):
        raise ConfigError(f"format={cfg.format}: choose text or json.")
    output = cfg.output and check_output_path(cfg.output, versions=cfg.checkpoints_root)
    if output is not None and output.suffix != ".json":
        raise ConfigError(f"output={cfg.output}: the figures are written as .json.")
    queries = read_queries(cfg.data.queries)
    model = load_model(cfg.version, device=cfg.device, root=cfg.checkpoints_root, verify=cfg.verify)
    scored = list(_with_progress(model, queries, cfg.seed))
    found = figures(scored, threshold=model.threshold, seed=cfg.seed)
    report = _report(cfg, model.version, model.version_hash, found)
    if cfg.output is not None:
        write_json_file(report, cfg.output)
    if cfg.record:
        _record(cfg, model.version, found, len(queries))
    if cfg.format == "json":
        print(json.dumps(report, indent=2))
    else:
        name = Path(cfg.data.queries).name
        print(f"{model.version} ({model.version_hash}) on {name}, {len(queries)} queries\n")
        print(format_figures(found))
    return 0


def _record(cfg: DictConfig, version: str, found: dict[str, list[Figure]], n_queries: int) -> None:
    """Put the figures into the version's entry of the tracker."""
    rankings: dict[str, float] = {}
    of_match: dict[str, float] = {}
    of_simulation: dict[str, float] = {}
    for title, rows in found.items():
        values = {row.name: row.value for row in rows}
        if title.startswith("match"):
            of_match = values
        elif title.startswith("simulate"):
            of_simulation = values
        elif title in _RECORDED_RANKINGS:
            prefix = _RECORDED_RANKINGS[title]
            rankings |= {f"{prefix}{_NAMES.get(k, k)}": value for k, value in values.items()}
    Tracker(cfg.checkpoints_root).add(
        version,
        accuracy=of_match["accuracy"],
        f1_score=of_match["F1"],
        update=True,
        extra_performance={"auroc": of_match["AUROC"], **rankings, **of_simulation},
        extra={
            "measured_on": f"{Path(cfg.data.queries).name}, {n_queries} queries, seed {cfg.seed}"
        },
    )


def _with_progress(model: Any, queries: Any, seed: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(
        "Scoring",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("", total=len(queries))
        yield from score_queries(
            model, queries, seed=seed, on_progress=lambda n: bar.advance(task, n)
        )


def _report(
    cfg: DictConfig, version: str, version_hash: str, found: dict[str, list[Figure]]
) -> dict[str, Any]:
    return {
        "version": version,
        "version_hash": version_hash,
        "queries": Path(cfg.data.queries).name,
        "seed": cfg.seed,
        "figures": {title: [asdict(row) for row in rows] for title, rows in found.items()},
    }
