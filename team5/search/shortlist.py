"""The best of many candidates for one spectrum: all are scored, the best are told in full."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress, islice

import numpy as np
import torch

from team5.chemistry.adducts import check_adduct
from team5.chemistry.molecule import Molecule
from team5.data.spectrum import Spectrum
from team5.errors import AdductError, MoleculeError, SpectrumError
from team5.inference.abstain import why_held_back
from team5.inference.engine import Scored, adduct_of, iter_scores
from team5.inference.inference import LoadedModel
from team5.inference.matches import count_wrong_precursors, to_match, with_probability
from team5.inference.references import (
    MAX_WITH_ISOMERS,
    Comparison,
    Fit,
    Neighbours,
    compared_logits,
    isomers_of,
)
from team5.inference.results import Match
from team5.search.prefilter import worth_scoring

# Structures parsed ahead of the scoring, some 10 kB each.
_PARSED_AT_ONCE = 1_024
# A first look compares candidates with each other, and needs more of them for it.
_LOOKED_AT_ONCE = 8_192


@dataclass(frozen=True, slots=True)
class Shortlist:
    """The best candidates for one spectrum.

    Attributes
    ----------
    matches : tuple of Match
        Best first, each with its rank among all that were scored.
    places : tuple of int
        Which of the candidates each match is of.
    inchikey14 : tuple of str
        Of the matches.
    n_candidates, n_scored : int
        Candidates given, and those that were scored; what a first look thinned out was not.
    unusable : Counter
        Candidates that cannot be used, by reason.
    """

    matches: tuple[Match, ...]
    places: tuple[int, ...]
    inchikey14: tuple[str, ...]
    n_candidates: int
    n_scored: int
    unusable: Counter[str]


def shortlist(
    model: LoadedModel,
    spectrum: Spectrum,
    smiles: Sequence[str],
    inchikey14: Sequence[str | None],
    *,
    keep: int = 100,
    first_look: bool = False,
    max_error: float | None = None,
) -> Shortlist:
    """Score candidates and return the best; scores and probabilities are those of `infer`.

    Only numbers are held of all of them, so that a list may have hundreds of thousands.

    Parameters
    ----------
    model : LoadedModel
    spectrum : Spectrum
    smiles : sequence of str, C of them
    inchikey14 : sequence of str or None, C of them
        First blocks of the InChIKeys; where there is none it is computed.
    keep : int, default 100
        How many are told in full.
    first_look : bool, default False
        Score only those of a long list that are worth it at first sight, see `worth_scoring`.
        Probabilities then say how a structure stands among these.
    max_error : float, optional
        As for `infer`.

    Raises
    ------
    MoleculeError, AdductError, SpectrumError
        If not one of the candidates can be used; what the first of them says.
    """
    unusable: Counter[str] = Counter()
    faults: list[Exception] = []

    def usable() -> Iterator[tuple[int, Molecule, str]]:
        for place, (text, key) in enumerate(zip(smiles, inchikey14, strict=True)):
            try:
                molecule = model.encodings.parse(text)
                check_adduct(molecule, adduct_of(spectrum, molecule))
                yield place, molecule, key or molecule.inchikey14
            except (MoleculeError, AdductError, SpectrumError) as error:
                unusable[_REASONS[type(error)]] += 1
                if not faults:
                    faults.append(error)

    found = usable()
    field = _Field(model, spectrum, keep)
    while part := list(islice(found, _LOOKED_AT_ONCE if first_look else _PARSED_AT_ONCE)):
        if first_look:
            kept = worth_scoring([molecule for _, molecule, _ in part], spectrum)
            part = list(compress(part, kept))
        field.add(part)
    if not field.places:
        raise faults[0]
    matches = field.matches(max_error)
    return Shortlist(
        matches=tuple(match for _, match in matches),
        places=tuple(field.places[i] for i, _ in matches),
        inchikey14=tuple(field.keys[i] for i, _ in matches),
        n_candidates=len(smiles),
        n_scored=len(field.places),
        unusable=unusable,
    )


_REASONS = {
    MoleculeError: "structure not understood, or larger than the model takes",
    AdductError: "lacks the atoms that the adduct loses",
    SpectrumError: "cannot be held against the spectrum",
}


class _Field:
    """Numbers of all candidates, and the matches of those that are the best so far."""

    def __init__(self, model: LoadedModel, spectrum: Spectrum, keep: int) -> None:
        self.places: list[int] = []
        self.keys: list[str] = []
        self._model, self._spectra, self._keep = model, [spectrum], keep
        self._masses: list[float] = []
        # Score, logit and share of impossible peaks; as the model says them, in float32.
        self._numbers = np.empty((0, 3), np.float32)
        self._n_wrong = np.empty(0, np.int64)
        # Best first: what ranks go by, its index among the candidates last.
        self._best: list[tuple[int, float, int]] = []
        self._matches: dict[int, Match] = {}

    def add(self, part: Sequence[tuple[int, Molecule, str]]) -> None:
        """Score some more."""
        start = len(self.places)
        self.places += [place for place, _, _ in part]
        self.keys += [key for _, _, key in part]
        self._masses += [molecule.exact_mass for _, molecule, _ in part]
        numbers = np.empty((len(part), 3), np.float32)
        n_wrong = np.empty(len(part), np.int64)
        molecules = [molecule for _, molecule, _ in part]
        for scored in iter_scores(self._model, molecules, self._spectra, self._model.encodings):
            numbers[scored.index] = scored.scores[0], scored.logits[0], scored.impossible[0]
            n_wrong[scored.index] = count_wrong_precursors(scored, self._spectra)
            self._consider(scored, start + scored.index, int(n_wrong[scored.index]))
        self._numbers = np.concatenate([self._numbers, numbers])
        self._n_wrong = np.concatenate([self._n_wrong, n_wrong])

    def _consider(self, scored: Scored, index: int, n_wrong: int) -> None:
        standing = n_wrong, -float(scored.scores[0]), index
        if len(self._best) == self._keep and standing > self._best[-1]:
            return
        bisect.insort(self._best, standing)
        self._matches[index] = to_match(self._model, scored, self._spectra)
        if len(self._best) > self._keep:
            del self._matches[self._best.pop()[-1]]

    def matches(self, max_error: float | None) -> list[tuple[int, Match]]:
        """Return the best with their index, ranked, with probabilities."""
        best = [index for _, _, index in self._best]
        comparisons, fits = self._compared(best)
        logits = compared_logits(self._model, fits, comparisons)
        found = []
        for rank, (index, comparison, own) in enumerate(
            zip(best, comparisons, logits, strict=True), start=1
        ):
            n_wrong = int(self._n_wrong[index])
            match = with_probability(self._model, self._matches[index], own, n_wrong, comparison)
            found.append((index, replace(match, rank=rank)))
        if max_error is not None and self._model.calibration is not None:
            reason = why_held_back(
                found[0][1].probability,
                self._numbers[:, 0].astype(float),
                self._n_wrong == 0,
                self._model.calibration,
                max_error,
            )
            found = [(index, replace(match, abstained=reason)) for index, match in found]
        return found

    def _compared(self, best: Sequence[int]) -> tuple[list[Comparison], list[Fit]]:
        """Return what the best stand beside, and the fits that these comparisons name.

        The rules are those of `choose_references` for all candidates, and only what the best need
        is worked out.
        """
        model = self._model
        if model.candidate_head.is_fitted:
            neighbours = Neighbours(self.keys, np.array(self._masses))
            comparisons = [neighbours.of(index) for index in best]
            n_without = neighbours.n_without()
        else:
            comparisons = [Comparison()] * len(best)
            n_without = len(self.keys)
        beside = sorted({i for comparison in comparisons for i in comparison.places} - set(best))
        at = {index: place for place, index in enumerate([*best, *beside])}
        fits = [self._fit(index) for index in at]
        comparisons = [
            replace(comparison, places=tuple(at[i] for i in comparison.places))
            for comparison in comparisons
        ]
        if model.isomer_head.is_fitted and n_without <= MAX_WITH_ISOMERS:
            for place, index in enumerate(best):
                if comparisons[place].kind is None and (
                    isomers := isomers_of(self._matches[index].smiles)
                ):
                    scored = iter_scores(model, isomers, self._spectra, model.encodings)
                    made = {each.index: Fit.of(each) for each in scored}
                    comparisons[place] = replace(
                        comparisons[place],
                        kind="isomers",
                        places=tuple(range(len(fits), len(fits) + len(made))),
                    )
                    fits += [made[i] for i in range(len(made))]
        return comparisons, fits

    def _fit(self, index: int) -> Fit:
        score, logit, impossible = torch.from_numpy(self._numbers[index]).split(1)
        return Fit(score, logit, impossible)
