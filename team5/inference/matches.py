"""Matches from scores: explanation, probability and rank of structures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from team5.chemistry.adducts import Adduct, parse_adduct
from team5.chemistry.molecule import Molecule
from team5.constants import PRECURSOR_TOLERANCE
from team5.data.collate import Pair
from team5.data.collision_energy import parse_collision_energy
from team5.data.context import ADDUCTS
from team5.data.spectrum import Spectrum
from team5.evaluation.confidence import have_one_formula
from team5.evaluation.selective import match_confidence, ranking_confidence
from team5.inference.engine import Scored
from team5.inference.explain import explain_peaks, predict_spectrum, strongest
from team5.inference.familiarity import unfamiliar
from team5.inference.loading import LoadedModel
from team5.inference.references import (
    Comparisons,
    ReferenceScores,
    compared_logits,
    note_unused,
)
from team5.inference.results import ExplainedPeak, Match, Simulation
from team5.inference.selective import Question, why_withheld
from team5.runtime.places import call_of
from team5.runtime.tables import counted

# Of a precursor that the structure cannot have, in units of the match logit.
_PENALTY = 12.0
# Highest probability of a structure that explains nothing: no match, half way to the threshold.
# Not less, as some spectra are of no ion that their true structure is known to give.
_MOST_UNEXPLAINED = math.log(0.25 / 0.75)


def rank_key(n_wrong: int, score: float, index: int) -> tuple[int, float, int]:
    """Return the sort key of a candidate; the lowest ranks first.

    Candidates that can have the precursor come first, then higher scores; ties keep their order.
    """
    return n_wrong, -score, index


def ranks(n_wrong: ArrayLike, scores: ArrayLike) -> NDArray[np.intp]:
    """Return ranks from 1 on by `rank_key`, shape (C,)."""
    order = np.lexsort((-np.asarray(scores), np.asarray(n_wrong)))
    by_index = np.empty(len(order), dtype=np.intp)
    by_index[order] = np.arange(1, len(order) + 1)
    return by_index


def match_probabilities(
    logits: Tensor, n_wrong: ArrayLike = 0, explained: ArrayLike = 1.0
) -> NDArray[np.float64]:
    """Return match probabilities (...) from the mean over S spectra of logits (..., S).

    Parameters
    ----------
    logits : tensor of shape (..., S)
    n_wrong : array of shape (...)
        Spectra with a precursor that the structure cannot have.
    explained : array of shape (...)
        Share of the intensity that the structure explains; at 0 there is no match.
    """
    mean = logits.double().mean(dim=-1)
    unexplained = torch.as_tensor(explained) <= 0
    mean = torch.where(unexplained, mean.clamp(max=_MOST_UNEXPLAINED), mean)
    share_wrong = torch.as_tensor(n_wrong) / logits.shape[-1]
    return torch.sigmoid(mean - _PENALTY * share_wrong).numpy()


def judge(
    model: LoadedModel,
    matches: Mapping[int, Match],
    comparisons: Comparisons,
    scores: ReferenceScores,
    n_wrong: NDArray[np.int64],
    exact_masses: NDArray[np.float64],
    priors: NDArray[np.float64],
    *,
    max_error: float | None = None,
    n_references: int = 0,
) -> list[Match]:
    """Complete matches with probability, confidence, rank, and the reason if they are withheld.

    Parameters
    ----------
    matches : mapping of int to Match
        From `to_match`, by index among all C candidates; others may have no match.
    comparisons : mapping of int to Comparison
        In the same order.
    scores : ReferenceScores
        Of all candidates, then of their references.
    n_wrong : array of shape (C,)
        Spectra with a precursor that the candidate cannot have.
    exact_masses : array of shape (C,)
        Of the candidates, in u.
    priors : array of shape (C,)
        Contributions of their adducts to the scores, from `prior_score`.
    max_error
        As for `infer`.
    n_references : int
        References that were given.
    """
    n = len(n_wrong)
    mean_scores = scores.scores[:n].double().mean(dim=1).numpy() + priors
    rank = ranks(n_wrong, mean_scores)
    logits = compared_logits(model, scores, comparisons)
    explained = [match.explained_intensity for match in matches.values()]
    probabilities = match_probabilities(logits, n_wrong[list(matches)], explained)
    competing = np.where(n_wrong == n_wrong.min(), mean_scores, -np.inf)
    confidences = None
    if model.confidence is not None:
        confidences = model.confidence.of(competing, same_formula=have_one_formula(exact_masses))
        # If no candidate can have the precursor or explains a peak, none is the right one.
        if n_wrong.min() > 0 or max(explained) <= 0:
            confidences = confidences * math.exp(-_PENALTY)
    is_only_one = np.isfinite(competing).sum() == 1
    withheld = None
    if max_error is not None and model.calibration is not None:
        question: Question = "match" if n == 1 else "rank"
        of_label = match_confidence(float(probabilities[0]))
        reached = of_label if n == 1 else ranking_confidence(competing)
        withheld = why_withheld(question, reached, model.calibration, max_error)
    judged = []
    for (index, match), p in zip(matches.items(), probabilities.tolist(), strict=True):
        comparison = comparisons[index]
        confidence = None if confidences is None else float(confidences[index])
        further = [note_unused(comparison, n_references, is_alone=n == 1)]
        if n > 1 and confidences is None:
            further.append(
                f"{model.version} was not calibrated for the confidence of rankings, to add it: "
                f"{call_of('evaluate')} version={model.version} data.queries=FILE confidence=true"
            )
        judged.append(
            replace(
                match,
                probability=p,
                label=p >= model.threshold,
                rank=int(rank[index]),
                confidence=p if is_only_one and rank[index] == 1 else confidence,
                notes=(*match.notes, *filter(None, further)),
                abstained=withheld,
                references=comparison.kind,
                n_references=len(comparison.indices),
            )
        )
    return judged


def to_match(
    model: LoadedModel, scored: Scored, spectra: Sequence[Spectrum], prior: float
) -> Match:
    """Return the match of a structure, to be completed by `judge`."""
    molecule = scored.tokens.molecule
    notes = list(molecule.notes)
    energies = [spectrum.collision_energy for spectrum in spectra]
    score, explained = prior, 0.0
    peaks: list[ExplainedPeak] = []
    impossible: list[float] = []
    for i, (pair, spectrum) in enumerate(zip(scored.pairs, spectra, strict=True)):
        notes += _notes(model, pair, spectrum, molecule)
        score += float(scored.scores[i]) / len(spectra)
        peaks += explain_peaks(scored.tokens, pair, scored.log_p_outcomes(i))
        matched = scored.details[i].matched
        explained += float(
            (pair.peaks.intensities * matched).sum() / pair.peaks.intensities.sum()
        ) / len(spectra)
        impossible += pair.peaks.impossible_mzs.tolist()
    if impossible:
        notes.append(
            f"{counted(len(impossible), 'peak')} above the precursor: no ion of this structure "
            "gives them"
        )
    return Match(
        smiles=molecule.smiles,
        probability=math.nan,
        label=False,
        threshold=model.threshold,
        rank=None,
        score=score,
        explained_intensity=explained,
        peaks=strongest(peaks) if len(spectra) > 1 else tuple(peaks),
        impossible_mzs=tuple(impossible),
        formula=molecule.formula,
        adduct=scored.pairs[0].adduct.name,
        precursor_mz=scored.pairs[0].precursor_mz,
        precursor_fits=(
            None
            if all(spectrum.precursor_mz is None for spectrum in spectra)
            else count_wrong_precursors(scored, spectra) == 0
        ),
        collision_energy="; ".join(dict.fromkeys(filter(None, energies))) or None,
        version=model.version,
        version_hash=model.version_hash,
        notes=tuple(dict.fromkeys(notes)),
    )


def to_simulation(
    model: LoadedModel, scored: Scored, conditions: Spectrum, index: int = 0
) -> Simulation:
    """Return the spectrum predicted for a structure, regardless of the peaks of `conditions`.

    ``index`` is that of these conditions among the spectra that were scored.
    """
    molecule, pair = scored.tokens.molecule, scored.pairs[index]
    notes = [*molecule.notes, *_notes(model, pair, conditions, molecule, simulated=True)]
    predicted = predict_spectrum(scored.tokens, pair, scored.log_p_outcomes(index))
    return Simulation(
        smiles=molecule.smiles,
        mzs=tuple(predicted.mzs.tolist()),
        intensities=tuple(predicted.intensities.tolist()),
        formulas=predicted.formulas,
        formula=molecule.formula,
        adduct=pair.adduct.name,
        precursor_mz=pair.precursor_mz,
        collision_energy=conditions.collision_energy,
        version=model.version,
        version_hash=model.version_hash,
        notes=tuple(notes),
    )


def count_wrong_precursors(scored: Scored, spectra: Sequence[Spectrum]) -> int:
    """Return how many of the spectra have a precursor that the structure cannot have."""
    return sum(
        _is_wrong(spectrum, pair.precursor_mz)
        for pair, spectrum in zip(scored.pairs, spectra, strict=True)
    )


def _notes(
    model: LoadedModel,
    pair: Pair,
    spectrum: Spectrum,
    molecule: Molecule,
    *,
    simulated: bool = False,
) -> list[str]:
    """Return notes on what was assumed about a spectrum, and what is unusual about it."""
    notes = list(spectrum.notes)
    n_considered = len(spectrum.hypotheses)
    if n_considered and not _is_wrong(spectrum, pair.precursor_mz):
        notes.append(
            f"adduct {pair.adduct.name} by the precursor m/z, of {n_considered} considered"
        )
    elif spectrum.adduct is None and not n_considered:
        notes.append(f"adduct {pair.adduct.name} assumed")
    if simulated and spectrum.collision_energy is None:
        notes.append("no collision energy given: predicted as for spectra that do not state one")
    notes += _unusual(pair.adduct, molecule)
    notes += unfamiliar(model.coverages, molecule, pair.adduct, spectrum)
    energy = spectrum.collision_energy
    if energy is not None and parse_collision_energy(energy).value is None:
        notes.append(
            f"collision energy {energy!r} is not understood: answered as if none were given"
        )
    return notes + _wrong_precursor(spectrum, molecule, pair)


def _unusual(adduct: Adduct, molecule: Molecule) -> list[str]:
    if adduct.n_molecules > 1 or abs(adduct.charge) > 1:
        learned = "the model learned from singly charged ions of one molecule"
        return [f"{adduct.name}: {learned} (do not rely on it here)"]
    gained = [symbol for symbol, count in adduct.composition if count > 0]
    if adduct.charge < 0 <= molecule.charge and gained == ["H"]:
        return [f"{adduct.name} is unusual: the deprotonated molecule is [M-H]-"]
    return []


def _wrong_precursor(spectrum: Spectrum, molecule: Molecule, pair: Pair) -> list[str]:
    measured: Any = spectrum.precursor_mz
    if not _is_wrong(spectrum, pair.precursor_mz):
        return []
    if spectrum.hypotheses:
        names = ", ".join(spectrum.hypotheses)
        return [f"precursor m/z {measured:.4f} is none of {names} of {molecule.formula}"]
    fitting = [
        name
        for name in ADDUCTS
        if abs(parse_adduct(name).precursor_mz(molecule.exact_mass) - measured)
        <= PRECURSOR_TOLERANCE
    ]
    hint = f", but would be {' or '.join(fitting)}" if fitting else ""
    ion = f"{pair.adduct.name} of {molecule.formula} ({pair.precursor_mz:.4f})"
    return [f"precursor m/z {measured:.4f} is not {ion}{hint}"]


def _is_wrong(spectrum: Spectrum, calculated: float) -> bool:
    measured = spectrum.precursor_mz
    return measured is not None and abs(measured - calculated) > PRECURSOR_TOLERANCE
