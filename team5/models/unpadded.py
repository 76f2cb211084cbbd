"""Forward pass of ``Team5Model`` molecule by molecule, without padding: fast on a CPU.

A molecule's fragments stay in the CPU cache from one layer to the next, and the encoding of a
structure can be kept for further spectra.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from team5.chemistry.tokenizer import MoleculeTokens
from team5.data.collate import Pair, PreparedSpectrum
from team5.data.preprocess import HYDROGEN_SHIFTS, N_OUTCOMES
from team5.models.compiled import (
    condition_weights,
    encode,
    encoder_weights,
    read_conditions,
    write_product,
)
from team5.models.encoders import MoleculeEncoder
from team5.models.heads import MATCH_FEATURES, MatchFeature
from team5.models.model import UNEXPLAINED_LOG_PENALTY, Team5Model
from team5.models.symmetry import fragment_kinds
from team5.runtime.compilation import compiled

Array = NDArray[Any]

_SHIFTS = np.array(HYDROGEN_SHIFTS)


@dataclass(frozen=True)
class EncodedStructure:
    """Encoding of one structure: for all spectra or, with conditions at atoms, for some.

    Attributes
    ----------
    tokens : MoleculeTokens
    kinds : array of shape (U, D)
        Vectors of kinds of fragments.
    kind : array of shape (F,)
        Of each fragment.
    none : array of shape (R,)
        Its product with the conditions is the logit of "no ion of this structure".
    """

    tokens: MoleculeTokens
    kinds: Array
    kind: Array
    none: Array

    @property
    def n_bytes(self) -> int:
        """Approximate size in memory."""
        return self.kinds.nbytes + _token_bytes(self.tokens)


@dataclass(frozen=True)
class OutcomeWeights:
    """Weights of fragments under one spectrum's conditions: K' of the K outcomes are possible.

    Attributes
    ----------
    columns : array of shape (K',)
        Possible outcomes; the others need a group that the adduct does not have.
    shifts, limits : arrays of shape (K',)
        Hydrogens gained; the highest mass, in u, of a fragment that can give the ion.
    weight : array of shape (D, K')
    bias : array of shape (K',)
    context : array of shape (R,)
    embedding : array of shape (D,)
        Of the conditions, added to every atom; 0 without conditions at the atoms.
    """

    columns: Array
    shifts: Array
    limits: Array
    weight: Array
    bias: Array
    context: Array
    embedding: Array


@dataclass(frozen=True)
class Outcomes:
    """Ion probabilities of a structure under given conditions, independent of the peaks.

    Attributes
    ----------
    tokens : MoleculeTokens
    columns : array of shape (K',)
        Which outcomes are possible at all.
    logits : array of shape (U, K')
        Of each kind of fragments; -inf where they cannot give the ion.
    kind : array of shape (F,)
        Of each fragment.
    none_logit, log_total : float
        Of "no ion of this structure"; logarithm of the sum of all ``exp(logit)``.
    squares, entropy : float
        Sum of the squared probabilities of ions; entropy of all.
    """

    tokens: MoleculeTokens
    columns: Array
    logits: Array
    kind: Array
    none_logit: float
    log_total: float
    squares: float
    entropy: float

    @property
    def n_bytes(self) -> int:
        """Approximate size in memory."""
        return self.logits.nbytes + self.kind.nbytes + _token_bytes(self.tokens)

    @property
    def log_p_outcomes(self) -> Array:
        """Log probabilities of the structure's ions, shape (F * K + 1,); last: none."""
        every = np.full((len(self.logits), N_OUTCOMES), -np.inf)
        every[:, self.columns] = self.logits.astype(np.float64) - self.log_total
        every = every[self.kind]
        return np.append(every.ravel(), self.none_logit - self.log_total)


@dataclass(frozen=True)
class PairScores:
    """Scores of one spectrum matched with one structure; see ``Scores``.

    Attributes
    ----------
    log_p, matched : array of shape (P,)
    features : array of shape (len(MATCH_FEATURES),)
        The first is the score.
    outcomes : Outcomes
    """

    log_p: Array
    matched: Array
    features: Array
    outcomes: Outcomes


def _token_bytes(tokens: MoleculeTokens) -> int:
    """Return the bytes of tokens: arrays of 60 bytes per fragment, plus a byte for each atom."""
    return len(tokens.fragments) * (60 + len(tokens.atoms)) + 20_000


def encode_structures(
    model: Team5Model, structures: Sequence[tuple[MoleculeTokens, Array]]
) -> Iterator[EncodedStructure]:
    """Encode structures one at a time, each with its ``OutcomeWeights.embedding``."""
    encoder = model.molecule_encoder
    assert isinstance(encoder, MoleculeEncoder)  # noqa: S101 - see Team5Model.is_own
    weights = encoder_weights(encoder, model.fragment_head.none)
    for each, embedding in structures:
        alike = fragment_kinds(each, len(encoder.layers))
        kinds, none = encode(
            weights,
            each.atoms,
            each.bonds,
            each.countable,
            alike.first,
            alike.kind,
            each.fragments.parents,
            embedding,
        )
        yield EncodedStructure(each, kinds, alike.kind, none)


def outcome_weights(model: Team5Model, held: Sequence[PreparedSpectrum]) -> list[OutcomeWeights]:
    """Return the weights of fragments under the conditions of each spectrum."""
    encoder = model.molecule_encoder
    assert isinstance(encoder, MoleculeEncoder)  # noqa: S101 - see Team5Model.is_own
    of_model = condition_weights(model.context_encoder, model.fragment_head, encoder)
    of_spectra = []
    for each in held:
        context, weight, bias, embedding = read_conditions(of_model, each.context[np.newaxis])
        columns = np.flatnonzero(np.isfinite(each.offsets))
        # The comparison is made in float32, as in the padded batch.
        limits = (each.max_mz - each.offsets[columns]).astype(np.float32)
        weight = np.ascontiguousarray(weight.reshape(N_OUTCOMES, -1)[columns].T)
        of_spectra.append(
            OutcomeWeights(
                columns, _SHIFTS[columns], limits, weight, bias[columns], context, embedding
            )
        )
    return of_spectra


def outcomes_of(encoded: EncodedStructure, weights: OutcomeWeights) -> Outcomes:
    """Return a structure's ion probabilities under a spectrum's conditions."""
    none = float(encoded.none @ weights.context)
    fragments = encoded.tokens.fragments
    logits, likely, n_alike, highest = _possible_logits(
        encoded.kinds,
        weights.weight,
        weights.bias,
        encoded.kind,
        fragments.masses,
        fragments.hydrogens,
        weights.shifts,
        weights.limits,
        none,
    )
    torch.from_numpy(likely).exp_()  # in place; numba takes one number at a time
    totals = _totals(logits, likely, n_alike, highest, none)
    return Outcomes(encoded.tokens, weights.columns, logits, encoded.kind, none, *totals)


def score_pair(outcomes: Outcomes, pair: Pair, floor: float | None = None) -> PairScores:
    """Score one spectrum for one structure; ``floor`` is the lower bound of a peak's log p."""
    place = np.full(N_OUTCOMES, -1)
    place[outcomes.columns] = np.arange(len(outcomes.columns))
    log_p, matched, features = _summarise(
        outcomes.logits,
        outcomes.kind,
        outcomes.none_logit,
        outcomes.log_total,
        outcomes.squares,
        outcomes.entropy,
        pair.match_peaks,
        pair.match_outcomes,
        place,
        pair.peaks.weights,
        pair.peaks.intensities,
        UNEXPLAINED_LOG_PENALTY,
        -np.inf if floor is None else floor,
        len(MATCH_FEATURES),
    )
    return PairScores(log_p, matched, features, outcomes)


@compiled(nogil=True)
def _possible_logits(  # type: ignore[no-untyped-def]
    kinds, weight, bias, kind, masses, hydrogens, shifts, limits, none
):
    """Return logits of kinds, -inf where they cannot give the ion; the same less the highest.

    Also how many fragments are of each kind, and the highest.
    """
    n_columns = len(bias)
    logits = np.empty((len(kinds), n_columns), dtype=np.float32)
    write_product(logits, kinds, weight)
    n_alike = np.zeros(len(logits), dtype=np.int64)
    highest = none
    for f in range(len(kind)):
        k = kind[f]
        n_alike[k] += 1
        if n_alike[k] > 1:
            continue
        for c in range(n_columns):
            if hydrogens[f] + shifts[c] >= 0 and np.float32(masses[f]) <= limits[c]:
                logits[k, c] += bias[c]
                highest = max(highest, logits[k, c])
            else:
                logits[k, c] = -np.inf
    return logits, logits - np.float32(highest), n_alike, highest


# Sums may be taken in any order, several at a time; infinities and NaN stay what they are.
@compiled(nogil=True, fastmath={"reassoc", "contract"})
def _totals(logits, likely, n_alike, highest, none):  # type: ignore[no-untyped-def]
    """Return log sum p, sum p squared and the entropy of the ions and "none".

    ``likely`` is ``exp(logits - highest)``.
    """
    total = np.exp(none - highest)
    for k in range(len(logits)):
        of_kind = np.float32(0)
        for c in range(logits.shape[1]):
            of_kind += likely[k, c]
        total += n_alike[k] * of_kind
    log_total = highest + np.log(total)
    scale = np.float32(np.exp(highest - log_total))
    entropy, squares = 0.0, 0.0
    for k in range(len(logits)):
        own_entropy, own_squares = np.float32(0), np.float32(0)
        for c in range(logits.shape[1]):
            p = likely[k, c] * scale
            own_squares += p * p
            own_entropy -= p * max(logits[k, c] - np.float32(log_total), np.float32(-30.0))
        entropy += n_alike[k] * own_entropy
        squares += n_alike[k] * own_squares
    entropy -= np.exp(none - log_total) * max(none - log_total, -30.0)
    return log_total, squares, entropy


@compiled(nogil=True)
def _summarise(  # type: ignore[no-untyped-def]
    logits,
    kind,
    none,
    log_total,
    squares,
    entropy,
    match_peaks,
    match_outcomes,
    place,
    weights,
    intensities,
    penalty,
    floor,
    n_features,
):
    n_peaks, n_outcomes, n_columns = len(weights), len(place), logits.shape[1]
    log_p_none = none - log_total

    p_peaks = np.zeros(n_peaks)
    # Each ion counts once, however many peaks it matches.
    seen_mask = np.zeros((len(kind), n_columns), dtype=np.bool_)
    seen, seen_squares = 0.0, 0.0
    for m in range(len(match_peaks)):
        outcome = match_outcomes[m]
        f, c = outcome // n_outcomes, place[outcome % n_outcomes]
        p = np.exp(logits[kind[f], c] - log_total)
        p_peaks[match_peaks[m]] += p
        if not seen_mask[f, c]:
            seen_mask[f, c] = True
            seen += p
            seen_squares += p * p

    log_p = np.empty(n_peaks, dtype=np.float32)
    matched = np.zeros(n_peaks, dtype=np.bool_)
    score, matched_weight, matched_log_p, explained = 0.0, 0.0, 0.0, 0.0
    total_intensity, squared_weights, common, peak_squares = 0.0, 0.0, 0.0, 0.0
    for p in range(n_peaks):
        weight = weights[p]
        matched[p] = p_peaks[p] > 0
        if matched[p]:
            log_p[p] = np.log(max(p_peaks[p], 1e-20))
            score += weight * max(log_p[p], floor)
            matched_weight += weight
            matched_log_p += weight * log_p[p]
            explained += intensities[p]
        else:
            log_p[p] = log_p_none
            score += weight * max(log_p_none + penalty, floor)
        total_intensity += intensities[p]
        squared_weights += weight * weight
        common += p_peaks[p] * weight
        peak_squares += p_peaks[p] * p_peaks[p]
    norm = np.sqrt((peak_squares + max(squares - seen_squares, 0.0)) * squared_weights)

    features = np.empty(n_features, dtype=np.float32)
    features[MatchFeature.SCORE] = score
    features[MatchFeature.MATCHED_WEIGHT] = matched_weight
    features[MatchFeature.MEAN_LOG_PROBABILITY_OF_MATCHED_PEAKS] = (
        matched_log_p / max(matched_weight, 1e-6) if matched_weight > 0 else -20.0
    )
    features[MatchFeature.LOG_PROBABILITY_OF_UNEXPLAINED] = log_p_none
    features[MatchFeature.EXPLAINED_INTENSITY] = explained / max(total_intensity, 1e-12)
    features[MatchFeature.ENTROPY_OF_THE_PREDICTION] = entropy
    features[MatchFeature.PREDICTED_PROBABILITY_SEEN] = seen
    features[MatchFeature.COSINE] = common / max(norm, 1e-12)
    features[MatchFeature.LOG_NUMBER_OF_PEAKS] = np.log(max(n_peaks, 1))
    return log_p, matched, features
