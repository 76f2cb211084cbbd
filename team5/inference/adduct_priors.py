"""Prior probabilities of adduct hypotheses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from team5.chemistry.adducts import Adduct, parse_adduct, structure_charge
from team5.chemistry.molecule import Molecule
from team5.data.spectrum import Spectrum
from team5.evaluation.confidence import USUAL
from team5.inference.engine import Scored
from team5.inference.loading import LoadedModel


def prior_score(model: LoadedModel, scored: Scored, spectra: Sequence[Spectrum]) -> float:
    """Return the contribution of a structure's adducts to its score; 0 if all of them are known.

    It is the logarithm of their prior, in the unit that turns scores into confidence: of two
    structures that explain the spectra equally well, one whose adduct is ten times as frequent has
    ten times the confidence.
    """
    if not any(spectrum.hypotheses for spectrum in spectra):
        return 0.0
    molecule = scored.tokens.molecule
    priors = [
        math.log(adduct_prior(model, molecule, pair.adduct, spectrum.hypotheses))
        for pair, spectrum in zip(scored.pairs, spectra, strict=True)
    ]
    return fmean(priors) / math.exp((model.confidence or USUAL).log_scale)


def adduct_prior(
    model: LoadedModel, molecule: Molecule, adduct: Adduct, hypotheses: Sequence[str]
) -> float:
    """Return the prior probability of one of the hypotheses for a structure, regardless of peaks.

    It is the adduct's share of the version's training spectra, among the hypotheses that structures
    of this charge form; each count is increased by one, and adducts that only structures of
    another charge form count as never seen.
    """
    if not hypotheses:
        return 1.0
    counts = model.coverages[0]["adducts"]
    seen = {
        name: counts.get(name, 0) * (structure_charge(parse_adduct(name)) == molecule.charge) + 1
        for name in hypotheses
    }
    return seen[adduct.name] / sum(seen.values())
