"""Scores of structures against spectra, in batches bounded by work, the same for every caller."""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from team5.chemistry.adducts import Adduct, check_adduct, default_adduct, parse_adduct
from team5.chemistry.molecule import Molecule
from team5.chemistry.tokenizer import MoleculeTokens, pad_molecules
from team5.data.collate import (
    Pair,
    PreparedSpectrum,
    collate_pairs,
    make_pair,
    match_fragments,
    prepare_spectrum,
)
from team5.data.hypotheses import fitting_adduct
from team5.data.preprocess import N_OUTCOMES
from team5.data.spectrum import Spectrum
from team5.errors import CheckpointError
from team5.inference.encodings import EncodingCache
from team5.models.heads import MatchFeature
from team5.models.model import Team5Model
from team5.models.unpadded import (
    EncodedStructure,
    Outcomes,
    OutcomeWeights,
    PairScores,
    encode_structures,
    outcome_weights,
    outcomes_of,
    score_pair,
)
from team5.runtime.memory import give_back_free_memory

Array = NDArray[Any]

# Fragments of one batch: bounds memory (about 20 kB each with one spectrum) whatever comes in.
_MAX_FRAGMENTS_PER_BATCH = 16_000
_SPECTRA_PER_STRUCTURE = 8  # that cost as much as encoding it once for all
# Molecules that are tokenized ahead, so that those of like size share a batch.
_WINDOW = 128
# Molecules that are tokenized together, where each is scored by itself.
_MOLECULES_AT_ONCE = 32
# Molecules after which free memory is given back, which takes the time of a few of them.
_TRIM_EVERY = 256


@dataclass(frozen=True)
class Scored:
    """Scores of one structure against S spectra.

    Attributes
    ----------
    index : int
        Which of the structures given.
    tokens : MoleculeTokens
    pairs : tuple of Pair
        One per spectrum.
    details : tuple of PairScores
        One per spectrum.
    logits : array of shape (S,)
        Of the match by itself.
    """

    index: int
    tokens: MoleculeTokens
    pairs: tuple[Pair, ...]
    details: tuple[PairScores, ...]
    logits: Array

    @cached_property
    def features(self) -> Array:
        """Of the match, shape (S, len(MATCH_FEATURES))."""
        return np.stack([detail.features for detail in self.details])

    @property
    def scores(self) -> Array:
        """What ranks candidates, shape (S,)."""
        return self.features[:, MatchFeature.SCORE]

    @property
    def impossible(self) -> Array:
        """Share of the peaks' weight that lies above the precursor, shape (S,)."""
        return np.array([pair.impossible_weight for pair in self.pairs], dtype=np.float32)

    def log_p_outcomes(self, spectrum: int) -> Array:
        """Return log probabilities of the structure's ions, shape (F * K + 1,); last: none."""
        return self.details[spectrum].outcomes.log_p_outcomes


def adduct_of(spectrum: Spectrum, molecule: Molecule) -> Adduct:
    """Return the adduct a spectrum is judged under.

    Its own; of several hypotheses the one that has its precursor; or the usual one of the
    structure.
    """
    if spectrum.adduct is not None:
        return parse_adduct(spectrum.adduct)
    if spectrum.hypotheses and spectrum.precursor_mz is not None:
        return fitting_adduct(spectrum.hypotheses, spectrum.precursor_mz, molecule)
    return parse_adduct(default_adduct(spectrum.ion_mode, molecule.charge))


def iter_scores(
    model: Team5Model,
    molecules: Sequence[Molecule],
    spectra: Sequence[Spectrum],
    encodings: EncodingCache | None = None,
) -> Iterator[Scored]:
    """Score every structure against every spectrum; structures come in any order.

    Each structure is encoded once for all its spectra.
    """
    return iter_mixed(model, [(molecule, spectra) for molecule in molecules], encodings)


def iter_mixed(
    model: Team5Model,
    work: Sequence[tuple[Molecule, Sequence[Spectrum]]],
    encodings: EncodingCache | None = None,
) -> Iterator[Scored]:
    """Score structures, each against its own spectra, so that several questions share batches.

    Other members of a batch change a score's last digits only. ``encodings`` caches, on a
    processor, the encodings of structures.
    """
    if encodings is None:
        encodings = EncodingCache(0)
    encodings.belong_to(model)
    # A user's encoder takes only padded batches.
    one_by_one = model.device.type == "cpu" and model.is_own
    for items in _windows(work, _MOLECULES_AT_ONCE if one_by_one else _WINDOW):
        with one_thread() if one_by_one else nullcontext():
            of_items = (
                _score_each(model, items, encodings) if one_by_one else _score_padded(model, items)
            )
        for scored in of_items:
            if not (np.isfinite(scored.logits).all() and np.isfinite(scored.scores).all()):
                raise CheckpointError(
                    "the version answers with no number, which no trained one does. Use another."
                )
            yield scored
        if one_by_one and (items[-1].index + 1) % _TRIM_EVERY == 0:
            give_back_free_memory()


class _Threads:
    """Number of scorings in progress, and torch's number of threads before the first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_under_way = 0
        self.before = 0


_threads = _Threads()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread, even if several Python threads do so at once.

    With several, products this small wait for each other, and last digits differ.
    """
    with _threads.lock:
        if _threads.n_under_way == 0:
            _threads.before = torch.get_num_threads()
        _threads.n_under_way += 1
    torch.set_num_threads(1)
    try:
        yield
    finally:
        with _threads.lock:
            _threads.n_under_way -= 1
        torch.set_num_threads(_threads.before)


def iter_padded(
    model: Team5Model, molecules: Sequence[Molecule], spectra: Sequence[Spectrum]
) -> Iterator[Scored]:
    """Score as on an accelerator, wherever the model is."""
    for items in _windows([(molecule, spectra) for molecule in molecules], _WINDOW):
        yield from _score_padded(model, items)


def _windows(
    work: Sequence[tuple[Molecule, Sequence[Spectrum]]], size: int
) -> Iterator[list[_Item]]:
    for start in range(0, len(work), size):
        yield [_Item(start + i, *each) for i, each in enumerate(work[start : start + size])]


@dataclass(frozen=True, slots=True)
class _Item:
    index: int
    molecule: Molecule
    spectra: Sequence[Spectrum]


@torch.inference_mode()
def _score_each(
    model: Team5Model, items: Sequence[_Item], encodings: EncodingCache
) -> list[Scored]:
    """Score on a processor; structures that are alike in a list are encoded once."""
    ready = _ReadySpectra(model)
    measured = [_measurements(item, ready) for item in items]
    known = [[encodings.outcomes.get(measurement.key) for measurement in each] for each in measured]
    unknown = [
        _Unknown(item.molecule, measurements[i], of_item, i)
        for item, measurements, of_item in zip(items, measured, known, strict=True)
        for i, outcomes in enumerate(of_item)
        if outcomes is None
    ]
    weights = ready.weights([each.measurement for each in unknown])
    for alike, encoded in _encoded(model, unknown, weights, encodings):
        for each in alike:
            computed = outcomes_of(encoded, weights[id(each.measurement.prepared)])
            each.of_item[each.place] = computed
            encodings.outcomes.put(each.measurement.key, computed)
    rows = []
    for item, measurements, of_item in zip(items, measured, known, strict=True):
        pairs, details = [], []
        for measurement, outcomes in zip(measurements, of_item, strict=True):
            assert outcomes is not None  # noqa: S101 - for the type checker
            pairs.append(match_fragments(measurement.prepared, outcomes.tokens, 0))
            details.append(score_pair(outcomes, pairs[-1], model.rule.log_p_floor))
        # Atoms of the same structure written otherwise have other numbers.
        tokens = details[0].outcomes.tokens
        if tokens.molecule is not item.molecule:
            tokens = replace(tokens, molecule=item.molecule)
        rows.append((item.index, tokens, tuple(pairs), tuple(details)))
    logits = _logits(model, [(d, p) for _, _, ps, ds in rows for d, p in zip(ds, ps, strict=True)])
    ends = np.cumsum([len(pairs) for _, _, pairs, _ in rows])
    return [Scored(*row, own) for row, own in zip(rows, np.split(logits, ends[:-1]), strict=True)]


@dataclass(frozen=True, slots=True)
class _Measurement:
    """A prepared spectrum, and the key of its structure and conditions."""

    prepared: PreparedSpectrum
    key: tuple[str, str, str | None, str | None]


def _measurements(item: _Item, ready: _ReadySpectra) -> list[_Measurement]:
    smiles = item.molecule.canonical_smiles
    measurements = []
    for spectrum in item.spectra:
        adduct = adduct_of(spectrum, item.molecule)
        check_adduct(item.molecule, adduct)
        prepared = ready.at(spectrum, adduct, item.molecule.exact_mass)
        key = smiles, adduct.name, spectrum.collision_energy, spectrum.instrument_type
        measurements.append(_Measurement(prepared, key))
    return measurements


@dataclass(frozen=True, slots=True)
class _Unknown:
    """A structure and a measurement whose ions are not known yet, and the place for them."""

    molecule: Molecule
    measurement: _Measurement
    of_item: list[Outcomes | None]
    place: int


def _encoded(
    model: Team5Model,
    unknown: Sequence[_Unknown],
    weights: dict[int, OutcomeWeights],
    encodings: EncodingCache,
) -> Iterator[tuple[list[_Unknown], EncodedStructure]]:
    """Yield those that share an encoding with it, cached ones first.

    With conditions at the atoms, only the tokens of a cached one are of use.
    """
    at_atoms = model.conditions_at_atoms
    sharing: dict[Hashable, list[_Unknown]] = {}
    for each in unknown:
        key = each.measurement.key
        sharing.setdefault(key if at_atoms else key[0], []).append(each)
    tokens: dict[str, MoleculeTokens] = {}
    new = []
    for alike in sharing.values():
        smiles = alike[0].measurement.key[0]
        known = encodings.structures.get(smiles)
        if known is not None and not at_atoms:
            yield alike, known
            continue
        if smiles not in tokens:
            tokens[smiles] = known.tokens if known else model.tokenizer.encode(alike[0].molecule)
        new.append((alike, tokens[smiles], weights[id(alike[0].measurement.prepared)].embedding))
    encodings_of = encode_structures(model, [(cut, embedding) for _, cut, embedding in new])
    for (alike, _, _), encoded in zip(new, encodings_of, strict=True):
        encodings.structures.put(alike[0].measurement.key[0], encoded)
        yield alike, encoded


class _ReadySpectra:
    """Prepared spectra, shared by structures of the same mass."""

    def __init__(self, model: Team5Model) -> None:
        self._model = model
        self._ready: dict[tuple[int, str, float], PreparedSpectrum] = {}

    def at(self, spectrum: Spectrum, adduct: Adduct, exact_mass: float) -> PreparedSpectrum:
        # The last digits of a mass depend on the order of its atoms.
        key = id(spectrum), adduct.name, round(exact_mass, 7)
        if key not in self._ready:
            self._ready[key] = prepare_spectrum(
                exact_mass, adduct=adduct, rule=self._model.rule, **_measured(spectrum)
            )
        return self._ready[key]

    def weights(self, measurements: Sequence[_Measurement]) -> dict[int, OutcomeWeights]:
        """Return the weights of fragments under each one's conditions, by id of ``prepared``."""
        distinct = {id(each.prepared): each.prepared for each in measurements}
        if not distinct:
            return {}
        weights = outcome_weights(self._model, list(distinct.values()))
        return dict(zip(distinct, weights, strict=True))


def _measured(spectrum: Spectrum) -> dict[str, Any]:
    names = ("mzs", "intensities", "collision_energy", "instrument_type")
    return {name: getattr(spectrum, name) for name in names}


def _logits(model: Team5Model, scored: Sequence[tuple[PairScores, Pair]]) -> Array:
    """Return match logits (B,) of B scored pairs."""
    features = torch.from_numpy(np.stack([detail.features for detail, _ in scored]))
    impossible = torch.tensor([pair.impossible_weight for _, pair in scored])
    return model.match_head(features, impossible).numpy()


def _score_padded(model: Team5Model, items: Sequence[_Item]) -> Iterator[Scored]:
    """Score in padded batches of structures of like size: on an accelerator, or foreign models."""
    window = [_Encoded(item, model.tokenizer.encode(item.molecule)) for item in items]
    window.sort(key=lambda each: (len(each.tokens.fragments), len(each.tokens.atoms)))
    for batch in _batches(window, 1 if model.conditions_at_atoms else _SPECTRA_PER_STRUCTURE):
        yield from _score_batch(model, batch)


@dataclass(frozen=True, slots=True)
class _Encoded:
    item: _Item
    tokens: MoleculeTokens


def _batches(window: Iterable[_Encoded], free: int) -> Iterator[list[_Encoded]]:
    """Yield batches of bounded work, in which so many spectra cost as much as their structure."""
    batch: list[_Encoded] = []
    n_spectra = 0
    for each in window:
        n_spectra = max(n_spectra, len(each.item.spectra))
        # Padded to the largest, which comes last.
        work = (len(batch) + 1) * len(each.tokens.fragments) * max(1, n_spectra / free)
        if batch and work > _MAX_FRAGMENTS_PER_BATCH:
            yield batch
            batch, n_spectra = [], len(each.item.spectra)
        batch.append(each)
    if batch:
        yield batch


def _score_batch(model: Team5Model, batch: Sequence[_Encoded]) -> Iterator[Scored]:
    pairs = [
        make_pair(
            each.tokens,
            position,
            adduct=adduct_of(spectrum, each.item.molecule),
            rule=model.rule,
            **_measured(spectrum),
        )
        for position, each in enumerate(batch)
        for spectrum in each.item.spectra
    ]
    tensors = collate_pairs(pad_molecules([each.tokens for each in batch]), pairs)
    with torch.inference_mode():
        scores = model(tensors.to(model.device))
    log_p, matched, outcomes, features, logits = (
        tensor.float().cpu().numpy()
        for tensor in (
            scores.log_p, scores.matched, scores.log_p_outcomes, scores.features, scores.logit
        )
    )  # fmt: skip
    row = 0
    for each in batch:
        first, row = row, row + len(each.item.spectra)
        n_ions = len(each.tokens.fragments) * N_OUTCOMES
        details = tuple(
            PairScores(
                log_p[i, : len(pairs[i].peaks.mzs)],
                matched[i, : len(pairs[i].peaks.mzs)] > 0,
                features[i],
                Outcomes(
                    each.tokens,
                    np.arange(N_OUTCOMES),
                    outcomes[i, :n_ions].reshape(-1, N_OUTCOMES),
                    np.arange(len(each.tokens.fragments)),
                    float(outcomes[i, -1]),
                    0.0,
                    math.nan,
                    math.nan,
                ),
            )
            for i in range(first, row)
        )
        yield Scored(
            each.item.index, each.tokens, tuple(pairs[first:row]), details, logits[first:row]
        )
