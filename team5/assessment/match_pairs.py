"""Match probabilities of a query's own structure and its decoy, as whoever asks would get them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from team5.chemistry.molecule import Molecule
from team5.data.spectrum import Spectrum
from team5.evaluation.records import MANY_REFERENCES
from team5.inference.engine import iter_scores
from team5.inference.references import (
    Fit,
    add_references,
    compare_with_candidates,
    compared_logits,
)
from team5.models.model import Team5Model

Array = NDArray[Any]


class PairMatches:
    """Two candidates of a query, judged one by one under S spectra.

    Parameters
    ----------
    model : Team5Model
    molecules : sequence of Molecule
        The candidates.
    fits : sequence of Fit
        Theirs to the spectra; -inf where a candidate cannot form the ion.
    judged : list of int
        The places of the two; empty where there is no decoy.
    spectra : sequence of Spectrum
    """

    def __init__(
        self,
        model: Team5Model,
        molecules: Sequence[Molecule],
        fits: Sequence[Fit],
        judged: list[int],
        spectra: Sequence[Spectrum],
    ) -> None:
        self.model = model
        self.molecules = molecules
        self.fits = fits
        self.judged = judged
        self.spectra = spectra
        # Neither is compared with the other: the truth must not be among the references.
        self._others = [i for i in range(len(fits)) if i not in judged and _is_formed(fits[i])]

    def alone(self) -> Array:
        """Return probabilities (S, 2), each structure compared with isomers of itself."""
        logits = []
        for i in self.judged:
            (_, *isomers), comparisons = add_references(self.model, [self.molecules[i]])
            scored = {each.index: each for each in iter_scores(self.model, isomers, self.spectra)}
            of_isomers = [Fit.of(scored[k]) for k in range(len(isomers))]
            logits += compared_logits(self.model, [self.fits[i], *of_isomers], comparisons)
        return self._probabilities(logits)

    def beside(self) -> Array:
        """Return the same beside the other candidates, shape (0,) where these are too few."""
        logits: list[torch.Tensor] = []
        if len(self._others) >= MANY_REFERENCES:
            others = [self.molecules[k] for k in self._others]
            for i in self.judged:
                comparisons = compare_with_candidates(self.model, [self.molecules[i], *others], 1)
                if comparisons[0].kind is None:
                    return np.empty(0)
                fits = [self.fits[i], *(self.fits[k] for k in self._others)]
                logits += compared_logits(self.model, fits, comparisons)
        return self._probabilities(logits)

    def _probabilities(self, logits: list[torch.Tensor]) -> Array:
        if not logits:
            return np.empty(0)
        formed = [_is_formed(self.fits[i]) for i in self.judged]
        probabilities: Array = torch.stack(logits, dim=1).double().sigmoid().numpy()
        return np.where(formed, probabilities, 0.0)


def _is_formed(fit: Fit) -> bool:
    return bool(fit.scores.isfinite().all())
