"""evaluate(cfg): load a version, score queries with a progress bar, print and write the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from team5.assessment.examples import make_examples
from team5.assessment.queries import Query, draw_queries, read_queries
from team5.assessment.scoring import score_queries
from team5.assessment.structure_only import MoleculeOnly, fit_molecule_only, training_similarities
from team5.cli.cross_folds import evaluate_cross_folds
from team5.cli.massspecgym import evaluate_massspecgym
from team5.data.decoys import CandidatePool
from team5.data.structures import TrainingStructures, read_training_structures
from team5.data.validation_set import draw_rankings
from team5.errors import ConfigError, DataError
from team5.evaluation.confidence import fit_confidence
from team5.evaluation.confidence_report import confidence_metrics, lists_to_fit
from team5.evaluation.metrics import breakdowns, compute_metrics, reliability_diagram
from team5.evaluation.records import (
    ALL,
    COSINE,
    MATCH,
    MATCH_WITH_REFERENCES,
    SAME_FORMULA,
    SIMULATE,
    Metric,
    ScoredQuery,
)
from team5.evaluation.report import Report
from team5.evaluation.selective_report import selective_metrics
from team5.inference.inference import LoadedModel, load_model
from team5.registry.card import rewrite_card, rewrite_config
from team5.registry.export import resolve_version
from team5.registry.report import read_config
from team5.registry.tracker import Tracker
from team5.runtime.places import call_of
from team5.runtime.progress import progress
from team5.runtime.tables import print_text
from team5.search.writers import check_output_path, write_json_file, write_text_file
from team5.training.settings import check_settings

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Metrics kept in the tracker besides accuracy and F1, and their names there.
_RANKING = {"hit@1": "hit_rate@1", "hit@5": "hit_rate@5", "hit@20": "hit_rate@20", "MRR": "mrr"}
_RECORDED = {
    MATCH: {"AUROC": "auroc"},
    MATCH_WITH_REFERENCES: {"accuracy": "accuracy_references", "AUROC": "auroc_references"},
    ALL: _RANKING,
    SAME_FORMULA: {name: f"same_formula_{key}" for name, key in _RANKING.items()},
    SIMULATE: {COSINE: "cosine"},
}
_ENDINGS = (".json", ".html")

# What a call can measure on, and where settings have an effect that have none elsewhere.
_VERSIONS, _FILE, _QUERIES = "versions", "data=file", "data.queries"
_MASSSPECGYM = "data.massspecgym"
_EFFECT = {
    "version": (_FILE, _QUERIES, _MASSSPECGYM),
    "baseline": (_VERSIONS,),
    "at_most": (_VERSIONS, _FILE),
    "output": (_FILE, _QUERIES, _MASSSPECGYM),
    "record": (_FILE, _QUERIES),
    "confidence": (_FILE, _QUERIES),
    "card": (_FILE, _QUERIES),
    "data.cross_fold": (_FILE,),
    "data.train": (_QUERIES,),
    "data.pool": (_VERSIONS, _FILE, _QUERIES),
    "data.candidates": (_MASSSPECGYM,),
    "data.mces": (_MASSSPECGYM,),
}


def evaluate(cfg: DictConfig) -> int:
    """Measure a version as configured in ``configs/evaluate.yaml``; print the figures."""
    if cfg.format not in ("text", "json"):
        raise ConfigError(f"format={cfg.format}: choose text or json.", argument="format")
    check_settings(cfg)
    measured = _measured_on(cfg)
    _check_effect(cfg, measured)
    if measured == _VERSIONS:
        return _answer(cfg, *evaluate_cross_folds(cfg))

    def load() -> LoadedModel:
        return load_model(
            cfg.version,
            device=cfg.device,
            root=cfg.checkpoints_root,
            verify=cfg.verify,
            allow=cfg.allow,
        )

    if measured == _MASSSPECGYM:
        return _answer(cfg, *evaluate_massspecgym(cfg, load))
    return _answer(cfg, *_evaluate_queries(cfg, load))


def _measured_on(cfg: DictConfig) -> str:
    """Return what a call measures on, one of those that ``_EFFECT`` names."""
    if cfg.versions is not None:
        if not _is_on_file(cfg):
            raise ConfigError(
                "versions= needs the spectra that they were trained on: data=crossfold with "
                "data.archive=, data.folds= and data.pool= as in their training.",
                argument="versions",
            )
        return _VERSIONS
    if _is_on_file(cfg):
        return _FILE
    if cfg.data.queries is None and cfg.data.massspecgym is None:
        raise ConfigError(
            "no spectra to measure on. Give data=file data.path=FILE for your own spectra with "
            "SMILES, data.queries=FILE for a table with candidates, or data.massspecgym=FILE and "
            "data.candidates=FILE."
        )
    if cfg.data.queries is not None and cfg.data.massspecgym is not None:
        raise ConfigError(
            "data.queries and data.massspecgym exclude each other. Give one of the two."
        )
    return _QUERIES if cfg.data.massspecgym is None else _MASSSPECGYM


def _check_effect(cfg: DictConfig, measured: str) -> None:
    """Refuse settings that have no effect on what is measured."""
    for key, places in _EFFECT.items():
        value = OmegaConf.select(cfg, key)
        if value is not None and value is not False and measured not in places:
            raise ConfigError(
                f"{key} goes with {' or '.join(places)}; leave it out with {measured}.",
                argument=key,
            )


def _answer(cfg: DictConfig, values: dict[str, Any], text: str) -> int:
    if cfg.format == "json":
        print(json.dumps(values, indent=2))
    else:
        print_text(text)
    return 0


def _evaluate_queries(
    cfg: DictConfig, load: Callable[[], LoadedModel]
) -> tuple[dict[str, Any], str]:
    write = _writer(cfg)
    queries = _draw_from_file(cfg) if _is_on_file(cfg) else read_queries(cfg.data.queries)
    controls = _Controls(cfg, queries)
    model = load()
    scored = list(_with_progress(model, queries, cfg.seed, controls))
    metrics = compute_metrics(scored, threshold=model.threshold, seed=cfg.seed)
    if cfg.confidence:
        _fit_confidence(cfg, model, scored)
    if model.confidence:
        metrics |= confidence_metrics(scored, model.confidence, seed=cfg.seed)
    if model.calibration:
        metrics |= selective_metrics(
            scored,
            model.calibration,
            threshold=model.threshold,
            seed=cfg.seed,
        )
    report = Report(
        model.version,
        model.version_hash,
        Path(_source(cfg)).name,
        len(queries),
        len({query.inchikey14 for query in queries}),
        cfg.seed,
        model.threshold,
        metrics,
        breakdowns(scored, seed=cfg.seed),
        reliability_diagram(scored, seed=cfg.seed),
        tuple(controls.notes),
    )
    write(_Measured(report, model, queries, scored))
    if cfg.record:
        _record(cfg, model.version, report.metrics, len(queries))
    if cfg.card:
        command = _command(cfg, model.version)
        rewrite_card(
            cfg.checkpoints_root, model.version, lambda card: report.to_card(card, command)
        )
    return report.to_dict(), report.to_text()


def _is_on_file(cfg: DictConfig) -> bool:
    """Tell whether candidate lists are drawn for spectra (data=file, demo or massbank)."""
    return "kind" in cfg.data


def _source(cfg: DictConfig) -> str:
    """Return the file that is measured on, or the kind of data where none is given."""
    data = cfg.data
    return str(data.path or data.get("archive") or data.kind if _is_on_file(cfg) else data.queries)


def _draw_from_file(cfg: DictConfig) -> list[Query]:
    """Draw one spectrum of each compound of a file, with candidates of its mass.

    If the version was trained on the file, only of the compounds that it held out.
    """
    root = Path(cfg.checkpoints_root)
    version = resolve_version(root, cfg.version)
    config = read_config(root, version)
    trained = config.get("data") or {}
    seed = (config.get("training_config") or {}).get("seed", cfg.seed)
    with progress("Drawing lists"):
        data = instantiate(cfg.data, seed=seed, n_references=0, val_max_spectra=1)
        data.prepare_data()
        data.setup()
    compounds = [*data.train, *data.val, *data.held_out]
    if data.facts["table_sha256"] == trained.get("table_sha256"):
        if data.facts["folds_sha256"] != trained["folds_sha256"]:
            raise ConfigError(
                f"{version} learned from these spectra, split in another way. Give the "
                "data settings that it was trained with."
            )
        compounds = data.val
    rankings = draw_rankings(compounds, data.candidate_pool, data.n_candidates, cfg.seed)
    return draw_queries(rankings, cfg.at_most or len(rankings), cfg.seed)


@dataclass(frozen=True)
class _Measured:
    """A report with the queries and scores for examples."""

    report: Report
    model: LoadedModel
    queries: Sequence[Query]
    scored: Sequence[ScoredQuery]


class _Controls:
    """Controls prepared from data.train and data.pool before scoring."""

    def __init__(self, cfg: DictConfig, queries: Sequence[Query]) -> None:
        self.molecule_only: MoleculeOnly | None = None
        self.training_similarity: dict[str, float] | None = None
        self.notes: list[str] = []
        if _is_on_file(cfg):
            return
        if cfg.data.train is None:
            self.notes.append(
                "no molecule-only control and no similarity to training structures; give "
                "data.train=FILE (CSV or Parquet with smiles, and fold where not all rows were "
                "trained on) for both, and data.pool=FILE (Parquet with smiles, inchikey14, "
                "formula, exact_mass) for the control."
            )
            return
        with progress("Reading and comparing structures"):
            training = read_training_structures(cfg.data.train)
            self.notes += _notes_on(training, queries, Path(cfg.data.train).name)
            self.training_similarity = training_similarities(
                {query.inchikey14: query.candidates[query.truth] for query in queries}, training
            )
        if cfg.data.pool is None:
            self.notes.append(
                "no molecule-only control; give data.pool=FILE (Parquet with smiles, inchikey14, "
                "formula, exact_mass) beside data.train."
            )
            return
        with progress("Fitting the molecule-only control"):
            self.molecule_only = fit_molecule_only(
                training, CandidatePool.read(cfg.data.pool), seed=cfg.seed
            )
        self.notes.append(
            f"the molecule-only control was fitted on {self.molecule_only.n_positive} structures "
            f"of {Path(cfg.data.train).name} and {self.molecule_only.n_negative} of "
            f"{Path(cfg.data.pool).name}."
        )


def _notes_on(training: TrainingStructures, queries: Sequence[Query], name: str) -> list[str]:
    notes = []
    if training.unreadable:
        notes.append(
            f"structures of {name} left out: {len(training.unreadable)}; the first: "
            f"{training.unreadable[0]}"
        )
    structures = {query.inchikey14 for query in queries}
    training_keys = structures & training.molecules.keys()
    if training_keys:
        notes.append(
            f"of the {len(structures)} structures measured here {len(training_keys)} are in the "
            f"train fold of {name}: the model may know them, and the molecule-only control does."
        )
    return notes


def _writer(cfg: DictConfig) -> Callable[[_Measured], None]:
    """Return the writer of the report; an unwritable output is refused before any work."""
    if cfg.output is None:
        return lambda measured: None
    read_from = (_source(cfg), cfg.data.get("train"), cfg.data.pool)
    path = check_output_path(cfg.output, read_from, cfg.checkpoints_root, endings=_ENDINGS)
    if path.suffix.lower() == ".json":
        return lambda measured: write_json_file(measured.report.to_dict(), path)
    from team5.viz.report import to_html  # needs an extra, and says so

    def write(measured: _Measured) -> None:
        examples = make_examples(measured.model, measured.queries, measured.scored, seed=cfg.seed)
        facts = {
            "Version": f"{measured.model.version} ({measured.model.version_hash})",
            "Data": _source(cfg),
            "Seed": str(cfg.seed),
            "Command": _command(cfg, measured.model.version),
        }
        config = OmegaConf.to_yaml(cfg, resolve=True)
        page = to_html(measured.report, facts=facts, examples=examples, config=config)
        write_text_file(page, path, endings=_ENDINGS)

    return write


def _fit_confidence(cfg: DictConfig, model: LoadedModel, scored: Sequence[ScoredQuery]) -> None:
    """Fit the confidence of rankings on these queries, and store it in the version."""
    confidence = fit_confidence(lists_to_fit(scored), seed=cfg.seed)
    if confidence is None:
        raise DataError(f"{_source(cfg)}: no query has two candidates. Give another file.")
    rewrite_config(cfg.checkpoints_root, model.version, {"confidence": confidence.to_config()})
    model.confidence = confidence


def _record(
    cfg: DictConfig, version: str, metrics: dict[str, list[Metric]], n_queries: int
) -> None:
    """Replace the metrics in the version's entry of the tracker."""
    values = {title: {row.name: row.value for row in rows} for title, rows in metrics.items()}
    Tracker(cfg.checkpoints_root).add(
        version,
        accuracy=values[MATCH]["accuracy"],
        f1_score=values[MATCH]["F1"],
        update=True,
        extra_performance={
            key: values[title][name]
            for title, names in _RECORDED.items()
            for name, key in names.items()
            if name in values.get(title, {})
        },
        replace_figures=True,
        extra={"measured_on": f"{Path(_source(cfg)).name}, {n_queries} queries, seed {cfg.seed}"},
    )


def _command(cfg: DictConfig, version: str) -> str:
    """Return the command that makes these figures, with files by name."""
    files = {
        f"data.{name}": Path(cfg.data[name]).name
        for name in ("path", "archive", "folds", "queries", "train", "pool")
        if cfg.data.get(name) is not None
    }
    if _is_on_file(cfg):
        files = {"data": cfg.data.kind, **files}
    seed = {} if cfg.seed == 0 else {"seed": cfg.seed}
    words = [f"{key}={value}" for key, value in {"version": version, **files, **seed}.items()]
    return " ".join([call_of("evaluate"), *words])


def _with_progress(
    model: LoadedModel, queries: Sequence[Query], seed: int, controls: _Controls
) -> Iterator[ScoredQuery]:
    with progress("Scoring", len(queries), unit="spectra") as bar:
        yield from score_queries(
            model,
            queries,
            seed=seed,
            molecule_only=controls.molecule_only,
            training_similarity=controls.training_similarity,
            on_progress=bar.advance,
        )
