"""Queries from the parts that versions trained with ``data.cross_fold`` have not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from team5.assessment.queries import Query, draw_queries, shuffle_spectra
from team5.assessment.scoring import ranked_only
from team5.chemistry.isomers import make_isomers
from team5.chemistry.molecule import parse_smiles
from team5.data.datamodule import SpectrumDataModule
from team5.data.validation_set import draw_rankings
from team5.errors import ConfigError
from team5.evaluation.records import ScoredQuery
from team5.inference.inference import LoadedModel
from team5.registry.export import StoredVersion

N_EDITED = 15  # other structures in a list of the second panel


def part_of(version: StoredVersion) -> int:
    """Return the part that a version has not seen.

    Raises
    ------
    ConfigError
        If it was trained on all of them.
    """
    part = (version.config.get("data") or {}).get("cross_fold")
    if part is None:
        raise ConfigError(
            f"{version.version} was not trained with data.cross_fold=, so that it knows every "
            "part. Give versions that were."
        )
    return int(part)


def check_alike(version: StoredVersion, baseline: StoredVersion) -> None:
    """Check that a version can be compared with another on what neither has seen.

    Raises
    ------
    ConfigError
        If they are one, or their folds differ.
    """
    if version.version == baseline.version:
        raise ConfigError(f"baseline= names {version.version} as well. Give another version.")
    if _folds_of(version) != _folds_of(baseline):
        raise ConfigError(
            f"{baseline.version} learned from other spectra or folds than {version.version}, so "
            "that the part it has not seen is another. Give versions of the same data."
        )


def _folds_of(version: StoredVersion) -> str | None:
    folds: str | None = (version.config.get("data") or {}).get("folds_sha256")
    return folds


def held_out_queries(
    data: SpectrumDataModule, version: StoredVersion, *, n_candidates: int, seed: int, at_most: int
) -> list[Query]:
    """Return one spectrum of each compound that a version's run held out, with candidates.

    Candidates of the formula come first, then others of the mass.

    Parameters
    ----------
    data : SpectrumDataModule
        With the version's ``cross_fold``, set up.
    at_most : int
        Compounds, drawn by seed.

    Raises
    ------
    ConfigError
        If the data or their folds are not those the version was trained on.
    """
    if data.facts["folds_sha256"] != _folds_of(version):
        raise ConfigError(
            f"{version.version} learned from other spectra or folds, so that the part it has not "
            "seen is another. Give the data it was trained with."
        )
    rankings = draw_rankings(data.held_out, data.candidate_pool, n_candidates, seed)
    return draw_queries(rankings, at_most, seed)


def edited(query: Query) -> Query | None:
    """Return a query whose other candidates are edits of the true structure that keep its formula.

    The structures alone do not reveal the true one. None if there are no edits.
    """
    truth = query.candidates[query.truth]
    others = make_isomers(parse_smiles(truth), N_EDITED)
    if not others:
        return None
    return replace(
        query,
        candidates=(truth, *others),
        truth=0,
        same_formula=np.ones(1 + len(others), dtype=bool),
    )


def score_edited(
    model: LoadedModel, queries: Sequence[Query], *, seed: int
) -> Iterator[ScoredQuery]:
    """Rank the true structure of each query among edits of it."""
    for query, shuffled in zip(queries, shuffle_spectra(queries, seed), strict=True):
        panel = edited(query)
        if panel is None:
            continue
        molecules = [parse_smiles(smiles) for smiles in panel.candidates]
        yield from ranked_only(model, molecules, [panel], [shuffled])
