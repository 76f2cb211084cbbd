"""evaluate(cfg): load a version, score queries with a progress bar, print and write the figures."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from team5.cli.output import check_output_path, write_json_file
from team5.errors import ConfigError
from team5.inference.inference import load_model
from team5.inference.scoring import Figure, figures, format_figures, read_queries, score_queries

if TYPE_CHECKING:
    from omegaconf import DictConfig

_log = logging.getLogger(__name__)


def evaluate(cfg: DictConfig) -> int:
    """Measure a version as ``configs/evaluate.yaml`` says; figures go to standard output."""
    if cfg.format not in ("text", "json"):
        raise ConfigError(f"format={cfg.format}: choose text or json.")
    if cfg.output is not None and check_output_path(cfg.output).suffix != ".json":
        raise ConfigError(f"output={cfg.output}: the figures are written as .json.")
    queries = read_queries(cfg.data.queries)
    model = load_model(cfg.version, device=cfg.device, root=cfg.checkpoints_root, verify=cfg.verify)
    scored = list(_with_progress(model, queries, cfg.seed))
    found = figures(scored, threshold=model.threshold, seed=cfg.seed)
    report = _report(cfg, model.version, model.version_hash, found)
    if cfg.output is not None:
        write_json_file(report, cfg.output)
    if cfg.format == "json":
        print(json.dumps(report, indent=2))
    else:
        name = Path(cfg.data.queries).name
        print(f"{model.version} ({model.version_hash}) on {name}, {len(queries)} queries\n")
        print(format_figures(found))
    return 0


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
