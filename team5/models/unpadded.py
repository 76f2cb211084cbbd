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
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from team5.chemistry.atom_masks import count_atoms, write_atoms
from team5.chemistry.fragment_features import FRAGMENT_FEATURES
from team5.chemistry.tokenizer import MoleculeTokens, pad_graphs
from team5.data.collate import Pair, PreparedSpectrum
from team5.data.preprocess import HYDROGEN_SHIFTS, N_OUTCOMES
from team5.models.encoders import KEPT_SUM_SCALE, MoleculeEncoder
from team5.models.heads import MATCH_FEATURES, MatchFeature
from team5.models.layers import padded_length
from team5.models.model import UNEXPLAINED_LOG_PENALTY, Team5Model
from team5.models.symmetry import fragment_kinds

Array = NDArray[Any]

_SHIFTS = np.array(HYDROGEN_SHIFTS)


@dataclass(frozen=True)
class EncodedStructure:
    """Encoding of one structure, independent of spectra.

    Attributes
    ----------
    tokens : MoleculeTokens
    kinds : (U, D)
        Vectors of kinds of fragments; rows at the end are padding (`padded_length`).
    kind : array of shape (F,)
        Of each fragment.
    none : array of shape (R,)
        Its product with the conditions is the logit of "no ion of this structure".
    """

    tokens: MoleculeTokens
    kinds: Tensor
    kind: Array
    none: Array

    @property
    def fragments(self) -> Tensor:
        """Vectors of all fragments, (F, D)."""
        return self.kinds[self.kind]

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
    weight : array of shape (K', D)
    bias : array of shape (K',)
    context : array of shape (R,)
    """

    columns: Array
    shifts: Array
    limits: Array
    weight: Array
    bias: Array
    context: Array


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
    model: Team5Model, tokens: Sequence[MoleculeTokens]
) -> Iterator[EncodedStructure]:
    """Encode structures: atoms of all together, fragments one structure at a time."""
    encoder = model.molecule_encoder
    assert isinstance(encoder, MoleculeEncoder)  # noqa: S101 - see Team5Model.is_own
    vectors = encoder.read_atoms(pad_graphs(tokens))
    none = model.fragment_head.none(vectors.molecule).numpy()
    for i, each in enumerate(tokens):
        n_atoms, n_bonds = len(each.atoms), len(each.bonds)
        alike = fragment_kinds(each, len(encoder.layers))
        counts = _counts(each, alike.first)
        used, parents = _parents(alike.first, alike.kind, each.fragments.parents, len(counts))
        kinds = encoder.read_counts(
            vectors.addends_of(i, n_atoms, n_bonds),
            vectors.molecule[i : i + 1],
            torch.from_numpy(counts).unsqueeze(0),
            torch.from_numpy(parents).unsqueeze(0),
            torch.from_numpy(used[: padded_length(parents.max() + 1)]).unsqueeze(0),
        )
        yield EncodedStructure(each, kinds[0], alike.kind, none[i])


def outcome_weights(model: Team5Model, held: Sequence[PreparedSpectrum]) -> list[OutcomeWeights]:
    """Return the weights of fragments under the conditions of each spectrum."""
    contexts = model.context_encoder(torch.from_numpy(np.stack([each.context for each in held])))
    weights, biases = model.fragment_head.weights(contexts)
    of_spectra = []
    for each, weight, bias, context in zip(
        held, weights.numpy(), biases.numpy(), contexts.numpy(), strict=True
    ):
        columns = np.flatnonzero(np.isfinite(each.offsets))
        # The comparison is made in float32, as in the padded batch.
        limits = (each.max_mz - each.offsets[columns]).astype(np.float32)
        of_spectra.append(
            OutcomeWeights(
                columns, _SHIFTS[columns], limits, weight[columns], bias[columns], context
            )
        )
    return of_spectra


def outcomes_of(encoded: EncodedStructure, weights: OutcomeWeights) -> Outcomes:
    """Return a structure's ion probabilities under a spectrum's conditions."""
    none = float(encoded.none @ weights.context)
    fragments = encoded.tokens.fragments
    logits, n_alike, highest = _possible_logits(
        encoded.kinds.numpy(),
        weights.weight,
        weights.bias,
        encoded.kind,
        fragments.masses,
        fragments.hydrogens,
        weights.shifts,
        weights.limits,
        none,
    )
    likely = torch.from_numpy(logits).sub(highest).exp_().numpy()
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


# Sums may be taken in any order, several at a time; infinities and NaN stay what they are.
@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _possible_logits(  # type: ignore[no-untyped-def]
    kinds, weight, bias, kind, masses, hydrogens, shifts, limits, none
):
    """Return logits of kinds, -inf where they cannot give the ion; their sizes; the highest."""
    n_columns, d = weight.shape
    logits = np.empty((kind.max() + 1, n_columns), dtype=np.float32)
    n_alike = np.zeros(len(logits), dtype=np.int64)
    highest = none
    for f in range(len(kind)):
        k = kind[f]
        n_alike[k] += 1
        if n_alike[k] > 1:
            continue
        for c in range(n_columns):
            if hydrogens[f] + shifts[c] >= 0 and np.float32(masses[f]) <= limits[c]:
                total = bias[c]
                for i in range(d):
                    total += kinds[k, i] * weight[c, i]
                logits[k, c] = total
                highest = max(highest, logits[k, c])
            else:
                logits[k, c] = -np.inf
    return logits, n_alike, highest


def _counts(tokens: MoleculeTokens, which: Array) -> Array:
    """Return the counts of some fragments for ``MoleculeEncoder.read_counts``, zero-padded."""
    start = 2 * (len(tokens.atoms) + len(tokens.bonds))
    width = padded_length(start + len(FRAGMENT_FEATURES), 32)
    out = np.zeros((padded_length(len(which)), width), dtype=np.float32)
    share = np.float32(1 / KEPT_SUM_SCALE)
    _count_kept(out, tokens.fragments.masks, which, len(tokens.atoms), tokens.bond_ends, share)
    tokens.write_features(out, start, which)
    return out


@njit(cache=True, nogil=True)
def _parents(first, kind, parents, n_rows):  # type: ignore[no-untyped-def]
    """Return the kinds that are parents, zero-padded; and the index of each kind's among them."""
    used = np.zeros(n_rows, dtype=np.int64)
    places = np.zeros(n_rows, dtype=np.int64)
    place_of = np.full(n_rows, -1)
    n_used = 0
    for k in range(len(first)):
        parent = kind[parents[first[k]]]
        if place_of[parent] < 0:
            place_of[parent] = n_used
            used[n_used] = parent
            n_used += 1
        places[k] = place_of[parent]
    return used, places


@njit(cache=True, nogil=True)
def _count_kept(out, masks, which, n_atoms, ends, share):  # type: ignore[no-untyped-def]
    n_bonds, cuts = len(ends), 2 * n_atoms
    inside = np.empty(n_atoms, dtype=np.float32)
    for place in range(len(which)):
        low, high = masks[which[place], 0], masks[which[place], 1]
        write_atoms(low, high, inside)
        of_mean = np.float32(1) / np.float32(count_atoms(low, high))
        row = out[place]
        for i in range(n_atoms):
            row[i] = inside[i] * of_mean
            row[n_atoms + i] = inside[i] * share
        for b in range(n_bonds):
            one, two = inside[ends[b, 0]], inside[ends[b, 1]]
            row[cuts + b] = one * (1 - two)
            row[cuts + n_bonds + b] = two * (1 - one)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})  # as above
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


@njit(cache=True, nogil=True)
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
