"""evaluate(cfg) on MassSpecGym's files: read, rank, print and write the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from team5.assessment.massspecgym import MassSpecGym, read_massspecgym
from team5.assessment.massspecgym_benchmark import benchmark_metrics, rank_queries
from team5.errors import ConfigError
from team5.evaluation.mces import MCES_THRESHOLD, load_mces_distance
from team5.evaluation.records import Metric
from team5.inference.inference import LoadedModel
from team5.runtime.progress import progress
from team5.runtime.tables import counted, to_columns
from team5.search.writers import check_output_path, write_json_file

if TYPE_CHECKING:
    from omegaconf import DictConfig

_COMPARABLE = (
    "comparable with published figures only if the version was trained on no structure of this "
    "fold; MassSpecGym contains spectra of MassBank."
)

_FIELDS = ("name", "value", "low", "high", "chance", "exchanged", "n_queries")  # of a metric


def evaluate_massspecgym(
    cfg: DictConfig, load: Callable[[], LoadedModel]
) -> tuple[dict[str, Any], str]:
    """Measure a loaded version on a fold of MassSpecGym; return JSON and text."""
    _check(cfg)
    distance = load_mces_distance() if cfg.data.mces else None
    model = load()
    with progress("Reading", 1.0) as bar:
        benchmark = read_massspecgym(
            cfg.data.massspecgym, cfg.data.candidates, cfg.data.fold, on_progress=bar.update
        )
    n = len(benchmark.queries)
    with progress("Scoring", n, unit="spectra") as bar:
        ranked = list(
            rank_queries(model, benchmark.queries, seed=cfg.seed, on_progress=bar.advance)
        )
    with progress("MCES", n, unit="spectra", show=distance is not None) as bar:
        metrics = benchmark_metrics(
            ranked, distance=distance, seed=cfg.seed, on_progress=bar.advance
        )
    report = _report(cfg, model.version, model.version_hash, benchmark, metrics)
    if cfg.output is not None:
        write_json_file(report, cfg.output)
    return report, _to_text(report)


def _check(cfg: DictConfig) -> None:
    if cfg.data.candidates is None:
        raise ConfigError(
            "data.candidates must be given with data.massspecgym: "
            "MassSpecGym_retrieval_candidates_mass.json or ..._formula.json."
        )
    if cfg.output is not None:
        read_from = (cfg.data.massspecgym, cfg.data.candidates)
        check_output_path(cfg.output, read_from, cfg.checkpoints_root, endings=(".json",))


def _report(
    cfg: DictConfig,
    version: str,
    version_hash: str,
    benchmark: MassSpecGym,
    metrics: list[Metric],
) -> dict[str, Any]:
    share = len(benchmark.queries) / benchmark.n_rows
    return {
        "version": version,
        "version_hash": version_hash,
        "table": {"name": Path(cfg.data.massspecgym).name, "sha256": benchmark.table_sha256},
        "candidates": {
            "name": Path(cfg.data.candidates).name,
            "sha256": benchmark.candidates_sha256,
        },
        "fold": cfg.data.fold,
        "seed": cfg.seed,
        "n_rows": benchmark.n_rows,
        "n_queries": len(benchmark.queries),
        "n_structures": len({query.inchikey14 for query in benchmark.queries}),
        "rows_left_out": dict(benchmark.left_out.most_common()),
        "candidates_left_out": dict(benchmark.candidates_left_out.most_common()),
        "figures": [{field: getattr(m, field) for field in _FIELDS} for m in metrics],
        # What is left out cannot be found: the figures of those who rank every row.
        "rows_left_out_as_misses": {
            m.name: m.value * share for m in metrics if not m.lower_is_better
        },
        "mces_threshold": MCES_THRESHOLD if cfg.data.mces else None,
        "notes": [_COMPARABLE],
    }


def _to_text(report: dict[str, Any]) -> str:
    table, candidates = report["table"], report["candidates"]
    title = (
        f"{report['version']} ({report['version_hash']}) on fold {report['fold']} of "
        f"{table['name']}: {report['n_queries']:,} of {report['n_rows']:,} rows, "
        f"{counted(report['n_structures'], 'structure')}"
    )
    rows = [
        (
            figure["name"],
            f"{figure['value']:.3f}",
            f"{figure['low']:.3f} to {figure['high']:.3f}",
            _or_blank(figure["chance"]),
            _or_blank(figure["exchanged"]),
        )
        for figure in report["figures"]
    ]
    header = ("", "value", "95 % interval", "chance", "exchanged")
    lines = [title, "", *to_columns(header, rows, left={""}, indent=0)]
    lines.append("")
    if report["mces_threshold"] is not None:
        lines.append(f"MCES@1: lower is better; exact up to {report['mces_threshold']:g}")
    if report["rows_left_out"]:
        as_misses = report["rows_left_out_as_misses"].items()
        lines += [
            f"rows left out: {_counts(report['rows_left_out'])}",
            "with these as misses: "
            + ", ".join(f"{name} {value:.3f}" for name, value in as_misses),
        ]
    if report["candidates_left_out"]:
        lines.append(f"candidates left out: {_counts(report['candidates_left_out'])}")
    lines += [f"{file['name']}: sha256 {file['sha256']}" for file in (table, candidates)]
    return "\n".join(lines + [f"note: {note}" for note in report["notes"]])


def _or_blank(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _counts(reasons: dict[str, int]) -> str:
    return ", ".join(f"{reason} ({n:,})" for reason, n in Counter(reasons).most_common())
