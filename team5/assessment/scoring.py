"""Scores of queries by a version and by controls that see less than it does, for evaluate.py.

One control is the version itself on shuffled spectra: each query gets the peaks of another
query of its ion mode, so that a model that ignores the spectrum keeps its metrics.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from team5.assessment.match_pairs import MatchJudge
from team5.assessment.queries import (
    Query,
    by_candidates,
    choose_decoy,
    conditions_of,
    shuffle_spectra,
)
from team5.assessment.structure_only import MoleculeOnly
from team5.chemistry.adducts import check_adduct
from team5.chemistry.molecule import Molecule, parse_smiles
from team5.data.preprocess import HYDROGEN_SHIFTS, N_OUTCOMES
from team5.data.spectrum import Spectrum
from team5.errors import AdductError
from team5.evaluation.controls import HYDROGEN_COST, bond_breaking_score, mass_error_scores
from team5.evaluation.records import (
    BIN_WIDTH,
    COSINE,
    COSINE_WITHOUT,
    ENTROPY,
    ENTROPY_WITHOUT,
    MODEL,
    SHUFFLED,
    ScoredQuery,
)
from team5.evaluation.simulation import (
    cosine,
    merge_close_peaks,
    spectral_entropy_similarity,
    without_precursor,
)
from team5.evaluation.strata import EXPLAINED, SIMILARITY, stratum_of
from team5.inference.engine import Scored, adduct_of, iter_scores
from team5.inference.explain import predict_spectrum
from team5.inference.references import ReferenceScores
from team5.models.heads import MatchFeature
from team5.models.model import Team5Model

Array = NDArray[Any]
Similarities = dict[str, float | None]

_HYDROGEN_COSTS = HYDROGEN_COST * np.abs(HYDROGEN_SHIFTS)


def score_queries(
    model: Team5Model,
    queries: Sequence[Query],
    *,
    seed: int = 0,
    molecule_only: MoleculeOnly | None = None,
    training_similarity: Mapping[str, float] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[ScoredQuery]:
    """Score all candidates of all queries; those that share candidates share the work.

    A candidate that cannot form a query's ion has the score -inf and the probability 0.

    Parameters
    ----------
    seed : int
        Of shuffled spectra and decoys.
    molecule_only : MoleculeOnly, optional
        The control that sees only the structure.
    training_similarity : mapping of str to float, optional
        Of each query's structure, by InChIKey first block, to the nearest training structure.
    on_progress : callable, optional
        Called with the number of queries done since the last call.
    """
    all_shuffled = shuffle_spectra(queries, seed)
    for candidates, members in by_candidates(queries).items():
        molecules = [parse_smiles(smiles) for smiles in candidates]
        log_odds = None if molecule_only is None else molecule_only.log_odds(molecules)
        group, shuffled = [queries[i] for i in members], [all_shuffled[i] for i in members]
        scores = _Scores(model, molecules, group, shuffled)
        for column, query in enumerate(group):
            decoy = choose_decoy(query, seed)
            judged = [] if decoy is None else [query.truth, decoy]
            spectra = [query.spectrum, shuffled[column]]
            explained = scores.explained[:, both_spectra([column])]
            judge = MatchJudge(
                model, molecules, scores.of_query(column), explained, judged, spectra
            )
            alone, with_references = (
                {MODEL: p[0], SHUFFLED: p[1]} if len(p) else {}
                for p in (judge.alone(), judge.with_references())
            )
            by_source = scores.by_source(column)
            if log_odds is not None:
                by_source["molecule_only"] = log_odds
                for each in filter(None, (alone, with_references)):
                    each["molecule_only"] = torch.from_numpy(log_odds[judged]).sigmoid().numpy()
            conditions = conditions_of(query)
            conditions[EXPLAINED] = stratum_of(EXPLAINED, explained[query.truth, 0])
            if training_similarity is not None:
                similarity = training_similarity[query.inchikey14]
                conditions[SIMILARITY] = stratum_of(SIMILARITY, similarity)
            yield ScoredQuery(
                query.spectrum.identifier,
                query.inchikey14,
                query.truth,
                decoy,
                query.same_formula,
                by_source,
                alone,
                with_references,
                scores.similarities[column],
                conditions,
                query.candidates,
            )
        if on_progress:
            on_progress(len(members))


class _Scores:
    """Scores of one list of candidates (C) against the spectra of its queries (Q).

    Attributes
    ----------
    scores, logits, impossible, explained : array of shape (C, 2 Q)
        Scores and lone-pair logits of the model, and shares of peaks and intensity; for each
        query's spectrum, then for the shuffled one.
    calculated_mzs, bond_breaking : array of shape (C, Q)
    similarities : dict of column to dict of measure to dict of source to float or None
    """

    def __init__(
        self,
        model: Team5Model,
        molecules: Sequence[Molecule],
        queries: Sequence[Query],
        shuffled: Sequence[Spectrum],
    ) -> None:
        self.queries = queries
        n_candidates, n_queries = len(molecules), len(queries)
        self.scores = np.full((n_candidates, 2 * n_queries), -np.inf)
        self.logits = np.full(self.scores.shape, -np.inf)
        self.impossible = np.zeros(self.scores.shape)
        self.explained = np.zeros(self.scores.shape)
        self.bond_breaking = np.zeros((n_candidates, n_queries))
        self.calculated_mzs = np.array(
            [
                [adduct_of(q.spectrum, m).precursor_mz(m.exact_mass) for q in queries]
                for m in molecules
            ]
        )
        self.similarities: dict[int, dict[str, Similarities]] = {}
        for scored, index, columns in iter_query_scores(model, molecules, queries, shuffled):
            both = both_spectra(columns)
            self.scores[index, both] = scored.scores
            self.logits[index, both] = scored.logits
            self.impossible[index, both] = scored.impossible
            self.explained[index, both] = scored.features[:, MatchFeature.EXPLAINED_INTENSITY]
            for i, column in enumerate(columns):
                query = queries[column]
                self.bond_breaking[index, column] = _bond_breaking(scored, 2 * i)
                if query.truth == index:
                    self.similarities[column] = _simulated(
                        scored, 2 * i, query.spectrum, shuffled[column]
                    )

    def of_query(self, column: int) -> ReferenceScores:
        """Return scores of the candidates for a query's spectrum and the shuffled one."""
        both = both_spectra([column])
        columns = (values[:, both] for values in (self.scores, self.logits, self.impossible))
        return ReferenceScores(*(torch.from_numpy(values).float() for values in columns))

    def by_source(self, column: int) -> dict[str, Array]:
        """Return the ranking scores of the candidates of a query, by model and controls."""
        measured_mz = self.queries[column].spectrum.precursor_mz
        return {
            MODEL: self.scores[:, 2 * column],
            SHUFFLED: self.scores[:, 2 * column + 1],
            "mass_error": mass_error_scores(self.calculated_mzs[:, column], measured_mz),
            "bond_breaking": self.bond_breaking[:, column],
        }


def iter_query_scores(
    model: Team5Model,
    molecules: Sequence[Molecule],
    queries: Sequence[Query],
    shuffled: Sequence[Spectrum],
) -> Iterator[tuple[Scored, int, tuple[int, ...]]]:
    """Score candidates against the queries whose ion they can form.

    Parameters
    ----------
    shuffled : sequence of Spectrum
        Of each query.

    Yields
    ------
    scored, index, columns
        Scores of both spectra, the measured and the shuffled one, of those queries (``columns``),
        and the index of the candidate.

    Raises
    ------
    AdductError
        If a query's true structure cannot form its ion.
    """
    for columns, indices in _by_ions_formed(molecules, queries).items():
        spectra = [s for i in columns for s in (queries[i].spectrum, shuffled[i])]
        for scored in iter_scores(model, [molecules[i] for i in indices], spectra):
            yield scored, indices[scored.index], columns


def ranked_only(
    model: Team5Model,
    molecules: Sequence[Molecule],
    queries: Sequence[Query],
    shuffled: Sequence[Spectrum],
) -> Iterator[ScoredQuery]:
    """Score candidates for queries that share them, for rankings alone: without matches.

    A candidate that cannot form a query's ion has the score -inf.
    """
    scores = np.full((len(molecules), 2 * len(queries)), -np.inf)
    for scored, index, columns in iter_query_scores(model, molecules, queries, shuffled):
        scores[index, both_spectra(columns)] = scored.scores
    for column, query in enumerate(queries):
        yield ScoredQuery(
            query.spectrum.identifier,
            query.inchikey14,
            query.truth,
            None,
            query.same_formula,
            {MODEL: scores[:, 2 * column], SHUFFLED: scores[:, 2 * column + 1]},
            candidates=query.candidates,
        )


def both_spectra(columns: Sequence[int]) -> list[int]:
    """Return the indices of the query's and the shuffled spectrum, for each column."""
    return [2 * column + i for column in columns for i in (0, 1)]


def _by_ions_formed(
    molecules: Sequence[Molecule], queries: Sequence[Query]
) -> dict[tuple[int, ...], list[int]]:
    """Return the candidates by the queries whose ion they can form, both as indices."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, molecule in enumerate(molecules):
        columns = []
        for column, query in enumerate(queries):
            try:
                check_adduct(molecule, adduct_of(query.spectrum, molecule))
            except AdductError as error:
                if query.truth == index:
                    raise AdductError(f"{query.spectrum.identifier}: {error}") from error
                continue
            columns.append(column)
        if columns:
            groups[tuple(columns)].append(index)
    return groups


def _bond_breaking(scored: Scored, column: int) -> float:
    pair = scored.pairs[column]
    fragment, k = np.divmod(pair.match_outcomes, N_OUTCOMES)
    costs = scored.tokens.fragments.costs[fragment] + _HYDROGEN_COSTS[k]
    return bond_breaking_score(pair.peaks.mzs, pair.peaks.intensities, pair.match_peaks, costs)


def _simulated(
    scored: Scored, column: int, measured: Spectrum, shuffled: Spectrum
) -> dict[str, Similarities]:
    """Return the similarities of simulated spectra, by measure, then by model and controls."""
    precursor_mz = scored.pairs[column].precursor_mz
    precursor = (np.array([precursor_mz]), np.array([1.0]))
    by_source = {
        MODEL: _similarities(measured, _predicted(scored, column), precursor_mz),
        SHUFFLED: _similarities(shuffled, _predicted(scored, column + 1), precursor_mz),
        "precursor_alone": _similarities(measured, precursor, precursor_mz),
    }
    measures = by_source[MODEL]
    return {name: {source: s[name] for source, s in by_source.items()} for name in measures}


def _predicted(scored: Scored, column: int) -> tuple[Array, Array]:
    predicted = predict_spectrum(
        scored.tokens, scored.pairs[column], scored.log_p_outcomes(column), with_formulas=False
    )
    return predicted.mzs, predicted.intensities


def _similarities(
    spectrum: Spectrum, predicted: tuple[Array, Array], precursor_mz: float
) -> Similarities:
    measured = (spectrum.mzs, spectrum.intensities)
    similarities: Similarities = {
        COSINE: cosine(*measured, *predicted, bin_width=BIN_WIDTH),
        COSINE_WITHOUT: None,
        ENTROPY: _entropy_similarity(measured, predicted),
        ENTROPY_WITHOUT: None,
    }
    measured = without_precursor(*measured, precursor_mz)
    if measured[0].size:
        predicted = without_precursor(*predicted, precursor_mz)
        similarities[COSINE_WITHOUT] = cosine(*measured, *predicted, bin_width=BIN_WIDTH)
        similarities[ENTROPY_WITHOUT] = _entropy_similarity(measured, predicted)
    return similarities


def _entropy_similarity(a: tuple[Array, Array], b: tuple[Array, Array]) -> float:
    return spectral_entropy_similarity(*merge_close_peaks(*a), *merge_close_peaks(*b))
