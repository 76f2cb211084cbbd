"""Batches: spectra and the molecules they are matched with, as named tensors."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from team5.chemistry.adducts import Adduct, check_adduct
from team5.chemistry.tokenizer import MoleculeBatch, MoleculeTokens, pad_molecules
from team5.constants import PRECURSOR_MARGIN
from team5.data.context import context_features
from team5.data.preprocess import (
    FIRST_RULE,
    ModelPeaks,
    ScoreRule,
    ion_offsets,
    match_peaks,
    outcome_offsets,
    select_peaks,
)

if TYPE_CHECKING:
    import torch

Array = NDArray[Any]

# Bytes; a multiple of every element's size.
_ALIGNED_TO = 64


@dataclass(frozen=True)
class PreparedSpectrum:
    """A spectrum prepared for all molecules of one mass.

    Attributes
    ----------
    adduct : Adduct
    context : array of shape (C,)
    offsets : array of shape (K,)
        m/z of each outcome minus its fragment's mass; NaN where the adduct has none.
    precursor_mz : float
        Calculated from the structure.
    peaks : ModelPeaks
    """

    adduct: Adduct
    context: Array
    offsets: Array
    precursor_mz: float
    peaks: ModelPeaks

    @property
    def max_mz(self) -> float:
        """Ions above it cannot come from this precursor."""
        return self.precursor_mz + PRECURSOR_MARGIN


@dataclass(frozen=True)
class Pair(PreparedSpectrum):
    """One spectrum matched with one molecule, peak by peak.

    Attributes
    ----------
    molecule_index : int
        Index of the molecule in the batch.
    match_peaks, match_outcomes : arrays of shape (N,)
        Ions within the tolerance of a peak: index of the peak, ``fragment * K + k``.
    spectrum_index : int
        Index of the spectrum in the batch; the same for all molecules it is matched with.
    """

    molecule_index: int
    match_peaks: Array
    match_outcomes: Array
    spectrum_index: int = 0

    @property
    def impossible_weight(self) -> float:
        """Share of the peaks' weight that lies above the precursor."""
        return float(self.peaks.weights[self.peaks.mzs > self.max_mz].sum())

    def moved(self, molecules: int, spectra: int) -> Pair:
        """Return the same pair with its indices shifted by preceding molecules and spectra."""
        return replace(
            self,
            molecule_index=self.molecule_index + molecules,
            spectrum_index=self.spectrum_index + spectra,
        )


def prepare_spectrum(
    exact_mass: float,
    *,
    mzs: Array,
    intensities: Array,
    adduct: Adduct,
    collision_energy: str | None,
    instrument_type: str | None,
    keep_impossible: bool = True,
    rule: ScoreRule = FIRST_RULE,
) -> PreparedSpectrum:
    """Prepare a spectrum; see ``select_peaks`` for the last two."""
    precursor_mz = adduct.precursor_mz(exact_mass)
    return PreparedSpectrum(
        adduct=adduct,
        context=context_features(adduct, precursor_mz, collision_energy, instrument_type),
        offsets=outcome_offsets(*ion_offsets(adduct)),
        precursor_mz=precursor_mz,
        peaks=select_peaks(
            mzs, intensities, precursor_mz, keep_impossible=keep_impossible, rule=rule
        ),
    )


def match_fragments(
    spectrum: PreparedSpectrum, tokens: MoleculeTokens, molecule_index: int
) -> Pair:
    """Match a prepared spectrum with the fragments of a molecule that can form the ion."""
    fragments = tokens.fragments
    matched, outcomes = match_peaks(
        spectrum.peaks.mzs,
        fragments.masses,
        fragments.hydrogens,
        spectrum.offsets,
        order=fragments.by_mass,
    )
    return Pair(
        **vars(spectrum),
        molecule_index=molecule_index,
        match_peaks=matched,
        match_outcomes=outcomes,
    )


def make_pair(
    tokens: MoleculeTokens,
    molecule_index: int,
    *,
    mzs: Array,
    intensities: Array,
    adduct: Adduct,
    collision_energy: str | None,
    instrument_type: str | None,
    keep_impossible: bool = True,
    rule: ScoreRule = FIRST_RULE,
) -> Pair:
    """Match one spectrum with one molecule; see ``select_peaks`` for the last two.

    Raises
    ------
    AdductError
        If the molecule cannot form the ion.
    """
    check_adduct(tokens.molecule, adduct)
    spectrum = prepare_spectrum(
        tokens.molecule.exact_mass,
        mzs=mzs,
        intensities=intensities,
        adduct=adduct,
        collision_energy=collision_energy,
        instrument_type=instrument_type,
        keep_impossible=keep_impossible,
        rule=rule,
    )
    return match_fragments(spectrum, tokens, molecule_index)


@dataclass(frozen=True)
class Batch:
    """M molecules and B spectra, each spectrum matched with one molecule.

    Attributes
    ----------
    molecules : MoleculeBatch
    molecule_index : (B,) long
        Index of the molecule that each spectrum is matched with.
    slot : (B,) long
        Position of the spectrum among those of its molecule.
    context : (B, C) float
    offsets : (B, K) double
    max_mz : (B,) double
        Ions above it cannot come from this precursor.
    weights : (B, P) float
        Of the peaks, adding up to 1 in each row; 0 where padded.
    intensities : (B, P) float
    peak_padding_mask : (B, P) bool
    match_rows : (N,) long
        ``spectrum * P + peak`` of each match.
    match_outcomes : (N,) long
        ``fragment * K + k`` of each match, within its spectrum's molecule.
    impossible_weight : (B,) float
        Of peaks above the precursor.
    labels : (B,) float
        1 if the spectrum is of its molecule, 0 for decoys, -1 if the peaks are of another
        compound; above 1 for reference molecules (constants in ``dataset.py``).
    spectrum_index : (B,) long
        The same for all rows of one spectrum.
    """

    molecules: MoleculeBatch
    molecule_index: torch.Tensor
    slot: torch.Tensor
    context: torch.Tensor
    offsets: torch.Tensor
    max_mz: torch.Tensor
    weights: torch.Tensor
    intensities: torch.Tensor
    peak_padding_mask: torch.Tensor
    match_rows: torch.Tensor
    match_outcomes: torch.Tensor
    impossible_weight: torch.Tensor
    labels: torch.Tensor
    spectrum_index: torch.Tensor

    def __len__(self) -> int:
        return len(self.molecule_index)

    def with_own_molecules(self) -> Batch:
        """Return the same batch with a molecule for each spectrum, the first for the first."""
        import torch

        index = self.molecule_index
        return replace(
            self,
            molecules=self.molecules.rows(index),
            molecule_index=torch.arange(len(index), device=index.device),
            slot=torch.zeros_like(index),
        )

    def to(self, device: torch.device | str) -> Batch:
        """Return the same batch with its tensors on ``device``."""
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle all tensors into one block of shared memory.

        Otherwise each of the two dozen tensors costs a round trip between the training process and
        the worker, and the tokens go through a slow pipe; training would wait for both.
        """
        import torch

        spectra, molecules = dict(vars(self)), dict(vars(self.molecules))
        del spectra["molecules"]
        tokens = pickle.dumps(tuple(molecules.pop("tokens")))
        tensors = [*spectra.values(), *molecules.values()]
        contents = [*(tensor.cpu().numpy().tobytes() for tensor in tensors), tokens]
        piece = bytearray().join(_padded(content) for content in contents)
        layout = [
            *((tensor.dtype, tensor.shape, tensor.nbytes) for tensor in tensors),
            (torch.uint8, (len(tokens),), len(tokens)),
        ]
        shared = torch.frombuffer(piece, dtype=torch.uint8)
        return _unpacked, (shared, layout, list(spectra), list(molecules), len(self.molecules))


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % _ALIGNED_TO)


class _PackedTokens(Sequence[MoleculeTokens]):
    """Tokens pickled by another process, unpickled on first use: training never uses them."""

    def __init__(self, n: int, packed: torch.Tensor) -> None:
        self._n = n
        self._packed = packed

    @cached_property
    def _tokens(self) -> tuple[MoleculeTokens, ...]:
        return pickle.loads(self._packed.numpy().tobytes())  # noqa: S301 - part of a pickled batch

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> MoleculeTokens: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[MoleculeTokens, ...]: ...

    def __getitem__(self, index: int | slice) -> MoleculeTokens | tuple[MoleculeTokens, ...]:
        return self._tokens[index]


def _unpacked(
    piece: torch.Tensor,
    layout: Sequence[tuple[torch.dtype, tuple[int, ...], int]],
    spectra: Sequence[str],
    molecules: Sequence[str],
    n_molecules: int,
) -> Batch:
    parts, start = [], 0
    for dtype, shape, size in layout:
        parts.append(piece[start : start + size].view(dtype).view(shape))
        start += size + -size % _ALIGNED_TO
    *tensors, tokens = parts
    return Batch(
        molecules=MoleculeBatch(
            tokens=_PackedTokens(n_molecules, tokens),
            **dict(zip(molecules, tensors[len(spectra) :], strict=True)),
        ),
        **dict(zip(spectra, tensors[: len(spectra)], strict=True)),
    )


def collate(
    tokens: Sequence[MoleculeTokens], pairs: Sequence[Pair], labels: Sequence[int] | None = None
) -> Batch:
    """Pad molecules and the spectra matched with them into one batch."""
    return collate_pairs(pad_molecules(tokens), pairs, labels)


def collate_pairs(
    molecules: MoleculeBatch, pairs: Sequence[Pair], labels: Sequence[int] | None = None
) -> Batch:
    """Pad spectra against molecules that are already padded."""
    import torch

    n = len(pairs)
    n_peaks = max(1, *(len(pair.peaks.mzs) for pair in pairs)) if n else 1
    weights = np.zeros((n, n_peaks), dtype=np.float32)
    intensities = np.zeros((n, n_peaks), dtype=np.float32)
    padding = np.ones((n, n_peaks), dtype=bool)
    for i, pair in enumerate(pairs):
        p = len(pair.peaks.mzs)
        weights[i, :p], intensities[i, :p] = pair.peaks.weights, pair.peaks.intensities
        padding[i, :p] = False
    rows = [i * n_peaks + pair.match_peaks for i, pair in enumerate(pairs)]
    seen: Counter[int] = Counter()
    slots = []
    for pair in pairs:
        slots.append(seen[pair.molecule_index])
        seen[pair.molecule_index] += 1
    return Batch(
        molecules=molecules,
        molecule_index=torch.tensor([pair.molecule_index for pair in pairs], dtype=torch.long),
        slot=torch.tensor(slots, dtype=torch.long),
        context=torch.from_numpy(np.stack([pair.context for pair in pairs])),
        offsets=torch.from_numpy(np.stack([pair.offsets for pair in pairs])),
        max_mz=torch.tensor([pair.max_mz for pair in pairs], dtype=torch.double),
        weights=torch.from_numpy(weights),
        intensities=torch.from_numpy(intensities),
        peak_padding_mask=torch.from_numpy(padding),
        match_rows=torch.from_numpy(np.concatenate(rows)),
        match_outcomes=torch.from_numpy(np.concatenate([pair.match_outcomes for pair in pairs])),
        impossible_weight=torch.tensor(
            [pair.impossible_weight for pair in pairs], dtype=torch.float32
        ),
        labels=torch.tensor([1.0] * n if labels is None else list(labels), dtype=torch.float32),
        spectrum_index=torch.tensor([pair.spectrum_index for pair in pairs], dtype=torch.long),
    )
