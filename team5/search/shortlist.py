"""The best of many candidates for one spectrum: all are scored, the best reported in full."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress, islice

import numpy as np
import torch

from team5.chemistry.molecule import Molecule
from team5.data.spectrum import Spectrum
from team5.errors import AdductError, MoleculeError, SpectrumError
from team5.inference.adduct_priors import prior_score
from team5.inference.engine import Scored, iter_scores
from team5.inference.loading import LoadedModel
from team5.inference.matches import count_wrong_precursors, judge, rank_key, to_match
from team5.inference.question import check_ions, usable_references
from team5.inference.references import (
    ReferenceScores,
    compare,
    isomers_of,
    renumbered,
    scores_of,
)
from team5.inference.results import Match
from team5.search.checks import KEEP
from team5.search.prefilter import promising

# Structures parsed ahead of the scoring, some 10 kB each.
_PARSED_AT_ONCE = 1_024
# The prefilter compares candidates with each other, and needs more of them for it.
_FILTERED_AT_ONCE = 8_192


@dataclass(frozen=True, slots=True)
class Shortlist:
    """The best candidates for one spectrum.

    Attributes
    ----------
    matches : tuple of Match
        Best first, each with its rank among all that were scored.
    indices : tuple of int
        Which of the candidates each match is of.
    inchikey14 : tuple of str
        Of the matches.
    n_candidates, n_scored : int
        Candidates given, and those that were scored; what the prefilter thinned out was not.
    unusable : Counter
        Candidates that cannot be used, by reason.
    """

    matches: tuple[Match, ...]
    indices: tuple[int, ...]
    inchikey14: tuple[str, ...]
    n_candidates: int
    n_scored: int
    unusable: Counter[str]


def shortlist(
    model: LoadedModel,
    spectra: Spectrum | Sequence[Spectrum],
    smiles: Sequence[str],
    inchikey14: Sequence[str | None],
    *,
    keep: int = KEEP,
    prefilter: bool = False,
    max_error: float | None = None,
    references: Sequence[Molecule] = (),
) -> Shortlist:
    """Score candidates and return the best; scores and probabilities are those of `infer`.

    Only numbers of all of them are in memory, so that a list may have hundreds of thousands.

    Parameters
    ----------
    model : LoadedModel
    spectra : Spectrum or sequence of Spectrum
        Those of one compound are judged together; the prefilter looks at the first.
    smiles : sequence of str, C of them
    inchikey14 : sequence of str or None, C of them
        First blocks of the InChIKeys; where there is none it is computed.
    keep : int, default 100
        How many are reported in full.
    prefilter : bool, default False
        Score only the promising ones of a long list, see `promising`. Probabilities are then those
        among these.
    max_error : float, optional
        As for `infer`.
    references : sequence of Molecule
        Further ones to compare with, as for `infer`.

    Raises
    ------
    MoleculeError, AdductError, SpectrumError
        If not one of the candidates can be used; what the first of them says.
    """
    together = [spectra] if isinstance(spectra, Spectrum) else spectra
    unusable: Counter[str] = Counter()
    faults: list[Exception] = []

    def usable() -> Iterator[tuple[int, Molecule, str]]:
        for index, (text, key) in enumerate(zip(smiles, inchikey14, strict=True)):
            try:
                molecule = model.encodings.parse(text)
                check_ions([molecule], together)
                yield index, molecule, key or molecule.inchikey14
            except (MoleculeError, AdductError, SpectrumError) as error:
                unusable[_REASONS[type(error)]] += 1
                if not faults:
                    faults.append(error)

    candidates = usable()
    field = _Field(model, together, keep)
    while batch := list(islice(candidates, _FILTERED_AT_ONCE if prefilter else _PARSED_AT_ONCE)):
        if prefilter:
            is_promising = promising([molecule for _, molecule, _ in batch], together[0])
            batch = list(compress(batch, is_promising))
        field.add(batch)
    if not field.indices:
        raise faults[0]
    matches = field.matches(max_error, references)
    return Shortlist(
        matches=tuple(match for _, match in matches),
        indices=tuple(field.indices[i] for i, _ in matches),
        inchikey14=tuple(field.keys[i] for i, _ in matches),
        n_candidates=len(smiles),
        n_scored=len(field.indices),
        unusable=unusable,
    )


_REASONS = {
    MoleculeError: "structure not understood, or larger than the model takes",
    AdductError: "lacks the atoms that the adduct loses",
    SpectrumError: "cannot be matched with the spectrum",
}


class _Field:
    """Numbers of all candidates, and the matches of those that are the best so far."""

    def __init__(self, model: LoadedModel, spectra: Sequence[Spectrum], keep: int) -> None:
        self.indices: list[int] = []
        self.keys: list[str] = []
        self._model, self._spectra, self._keep = model, spectra, keep
        self._masses: list[float] = []
        # Score, logit and share of impossible peaks for each spectrum; as the model says them.
        self._numbers = np.empty((0, 3, len(spectra)), np.float32)
        self._n_wrong = np.empty(0, np.int64)
        self._priors = np.empty(0)
        # What ranks go by, the best first.
        self._best: list[tuple[int, float, int]] = []
        self._matches: dict[int, Match] = {}

    def add(self, candidates: Sequence[tuple[int, Molecule, str]]) -> None:
        """Score some more."""
        start = len(self.indices)
        self.indices += [index for index, _, _ in candidates]
        self.keys += [key for _, _, key in candidates]
        self._masses += [molecule.exact_mass for _, molecule, _ in candidates]
        numbers = np.empty((len(candidates), 3, len(self._spectra)), np.float32)
        n_wrong = np.empty(len(candidates), np.int64)
        priors = np.empty(len(candidates))
        molecules = [molecule for _, molecule, _ in candidates]
        for scored in iter_scores(self._model, molecules, self._spectra, self._model.encodings):
            numbers[scored.index] = scored.scores, scored.logits, scored.impossible
            n_wrong[scored.index] = count_wrong_precursors(scored, self._spectra)
            prior = priors[scored.index] = prior_score(self._model, scored, self._spectra)
            score = float(scored.scores.mean(dtype=np.float64)) + prior
            key = rank_key(int(n_wrong[scored.index]), score, start + scored.index)
            self._consider(scored, key, prior)
        self._numbers = np.concatenate([self._numbers, numbers])
        self._n_wrong = np.concatenate([self._n_wrong, n_wrong])
        self._priors = np.concatenate([self._priors, priors])

    def _consider(self, scored: Scored, key: tuple[int, float, int], prior: float) -> None:
        if len(self._best) == self._keep and key > self._best[-1]:
            return
        bisect.insort(self._best, key)
        self._matches[key[-1]] = to_match(self._model, scored, self._spectra, prior)
        if len(self._best) > self._keep:
            del self._matches[self._best.pop()[-1]]

    def matches(
        self, max_error: float | None, references: Sequence[Molecule]
    ) -> list[tuple[int, Match]]:
        """Return the best with their index, judged by the rules of `infer`."""
        model, n = self._model, len(self.keys)
        best = [index for _, _, index in self._best]
        others = usable_references(references, self._spectra)
        comparisons, wanting = compare(
            model,
            [*self.keys, *(other.inchikey14 for other in others)],
            np.array([*self._masses, *(other.exact_mass for other in others)]),
            n,
            best,
        )
        used, comparisons = renumbered(comparisons, n)
        scored: Sequence[Molecule] = [others[i - n] for i in used]
        for index in wanting:
            isomers = isomers_of(self._matches[index].smiles)
            indices = range(n + len(scored), n + len(scored) + len(isomers))
            if isomers:
                comparisons[index] = replace(
                    comparisons[index], kind="isomers", indices=tuple(indices)
                )
            scored = [*scored, *isomers]
        scores = ReferenceScores(*torch.from_numpy(self._numbers).unbind(1))
        if scored:
            more = scores_of(model, scored, self._spectra, model.encodings)
            scores = ReferenceScores.join([scores, more])
        matches = judge(
            model,
            {index: self._matches[index] for index in best},
            comparisons,
            scores,
            self._n_wrong,
            np.array(self._masses),
            self._priors,
            max_error=max_error,
            n_references=len(references),
        )
        return list(zip(best, matches, strict=True))
