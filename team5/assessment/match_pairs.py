"""Match probabilities of a query's true structure and its decoy, equal to those of `infer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from team5.chemistry.molecule import Molecule
from team5.data.spectrum import Spectrum
from team5.evaluation.records import MANY_REFERENCES
from team5.inference.matches import match_probabilities
from team5.inference.references import (
    ReferenceScores,
    add_references,
    compare,
    compared_logits,
    scores_of,
)
from team5.models.model import Team5Model

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class MatchJudge:
    """Match probabilities of two candidates of a query under S spectra.

    Parameters
    ----------
    model : Team5Model
    molecules : sequence of Molecule
        The candidates.
    scores : ReferenceScores
        Of all candidates; -inf if one cannot form the ion.
    explained : array of shape (C, S)
        Share of the intensity that each candidate explains.
    judged : list of int
        Indices of the two; empty without a decoy.
    spectra : sequence of Spectrum
    """

    model: Team5Model
    molecules: Sequence[Molecule]
    scores: ReferenceScores
    explained: Array
    judged: list[int]
    spectra: Sequence[Spectrum]

    @cached_property
    def _is_formed(self) -> Array:
        is_formed: Array = self.scores.scores.isfinite().all(dim=1).numpy()
        return is_formed

    def alone(self) -> Array:
        """Return probabilities (S, 2), each structure compared with its isomers."""
        logits = []
        for i in self.judged:
            (_, *isomers), comparisons = add_references(self.model, [self.molecules[i]])
            of_isomers = scores_of(self.model, isomers, self.spectra)
            scores = ReferenceScores.join([self.scores[[i]], of_isomers])
            logits.append(compared_logits(self.model, scores, comparisons))
        return self._probabilities(logits)

    def with_references(self) -> Array:
        """Return the same with the other candidates as references; (0,) if these are too few."""
        logits = []
        # Neither is compared with the other: the truth must not be among the references.
        others = [i for i in np.flatnonzero(self._is_formed).tolist() if i not in self.judged]
        if len(others) >= MANY_REFERENCES:
            for i in self.judged:
                indices = [i, *others]
                keys = [self.molecules[k].inchikey14 for k in indices]
                masses = np.array([self.molecules[k].exact_mass for k in indices])
                comparisons, _ = compare(self.model, keys, masses, 1)
                if comparisons[0].kind is None:
                    return np.empty(0)
                logits.append(compared_logits(self.model, self.scores[indices], comparisons))
        return self._probabilities(logits)

    def _probabilities(self, logits: list[torch.Tensor]) -> Array:
        if not logits:
            return np.empty(0)
        probabilities = match_probabilities(
            torch.cat(logits).T.unsqueeze(-1), explained=self.explained[self.judged].T
        )
        return np.where(self._is_formed[self.judged], probabilities, 0.0)
