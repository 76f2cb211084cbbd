"""Data sets: compounds with draws of their spectra to train on, and validation queries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from itertools import groupby
from typing import TypeVar

import numpy as np
from torch.utils.data import Dataset, Sampler

from team5.chemistry.isomers import N_ISOMERS, make_isomers
from team5.chemistry.molecule import parse_smiles
from team5.chemistry.tokenizer import MoleculeTokenizer, MoleculeTokens
from team5.data.collate import Batch, Pair, collate
from team5.data.compounds import Compound, Measurement
from team5.errors import AdductError

T = TypeVar("T")

# Label of a pair: the spectrum is of the structure, of another structure of its mass, or, with its
# peaks replaced by another compound's, of neither.
TARGET, DECOY, SHUFFLED = 1, 0, -1
# Or the structure is a reference for one of these: a generated isomer, or a molecule of its mass.
ISOMER_OF_TARGET, ISOMER_OF_DECOY, REFERENCE = 2, 3, 4
_SHUFFLE_ATTEMPTS = 30
# Structures, the spectra matched with them, and the label of each of these pairs.
Item = tuple[list[MoleculeTokens], list[Pair], list[int]]


@dataclass(eq=False)
class CompoundDataset(Dataset[Item]):
    """Compounds, each with a draw of its spectra and of decoys of the same mass.

    Indices are pairs (compound, epoch): draws depend on seed, epoch and compound alone, so that a
    resumed run sees what an uninterrupted one would have seen.

    Parameters
    ----------
    compounds : sequence of Compound
    tokenizer : MoleculeTokenizer
    max_spectra : int
        Per compound and epoch.
    decoys : sequence of sequences of str, optional
        SMILES of other structures for each compound.
    n_decoys : int
        Per spectrum and epoch, at most.
    n_shuffled : int
        Spectra of other compounds that a compound and its decoys are also matched with.
    seed : int
    """

    compounds: Sequence[Compound]
    tokenizer: MoleculeTokenizer
    _: KW_ONLY
    max_spectra: int
    decoys: Sequence[Sequence[str]] | None = None
    n_decoys: int = 0
    n_shuffled: int = 0
    seed: int
    # A few kilobytes per molecule, cheaper than cutting it again; decoys are too many to cache.
    _tokens: dict[int, MoleculeTokens] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self.compounds)

    def __getitem__(self, index: tuple[int, int]) -> Item:
        position, epoch = index
        compound = self.compounds[position]
        if position not in self._tokens:
            self._tokens[position] = self.tokenizer.encode(compound.smiles)
        chosen = draw(compound.measurements, self.max_spectra, (self.seed, epoch, position))
        target = self._tokens[position]
        tokens, labels = [target], [TARGET] * len(chosen)
        pairs = [m.pair(target, 0, i, keep_impossible=False) for i, m in enumerate(chosen)]
        decoys = [self.tokenizer.encode(smiles) for smiles in self._decoys(position, epoch)]
        shuffled = self._shuffled(position, epoch, chosen[0]) if decoys else []
        for i, measurement in enumerate(shuffled, start=len(chosen)):
            pairs.append(measurement.pair(target, 0, i))
            labels.append(SHUFFLED)
        for decoy in decoys:
            decoy_pairs, decoy_labels = [], []
            for i, measurement in enumerate([*chosen, *shuffled]):
                is_shuffled = i >= len(chosen)
                # A decoy that lacks the atoms the adduct loses is no candidate.
                with contextlib.suppress(AdductError):
                    decoy_pairs.append(
                        measurement.pair(decoy, len(tokens), i, keep_impossible=is_shuffled)
                    )
                    decoy_labels.append(SHUFFLED if is_shuffled else DECOY)
            if decoy_pairs:
                tokens.append(decoy)
                pairs += decoy_pairs
                labels += decoy_labels
        return tokens, pairs, labels

    def _shuffled(self, position: int, epoch: int, conditions: Measurement) -> list[Measurement]:
        """Return peaks of other compounds of the ion mode, under a spectrum's conditions."""
        random = np.random.default_rng((self.seed, epoch, position, 2))
        shuffled: list[Measurement] = []
        for other in random.integers(len(self.compounds), size=_SHUFFLE_ATTEMPTS):
            if len(shuffled) == self.n_shuffled:
                break
            measurements = self.compounds[other].measurements
            drawn = measurements[int(random.integers(len(measurements)))]
            same_mode = (drawn.adduct.charge > 0) == (conditions.adduct.charge > 0)
            if other != position and same_mode:
                shuffled.append(replace(conditions, peaks=drawn.peaks, row=drawn.row))
        return shuffled

    def _decoys(self, position: int, epoch: int) -> Sequence[str]:
        if self.decoys is None:
            return ()
        return draw(self.decoys[position], self.n_decoys, (self.seed, epoch, position, 1))


def draw(items: Sequence[T], at_most: int, key: tuple[int, ...]) -> Sequence[T]:
    """Return at most so many of the items, drawn by key, in their original order."""
    if len(items) <= at_most:
        return items
    drawn = np.random.default_rng(key).choice(len(items), at_most, replace=False)
    return [items[i] for i in np.sort(drawn)]


@dataclass(eq=False)
class CompoundBatchSampler(Sampler[list[tuple[int, int]]]):
    """Shuffled batches of molecules of similar size, the same for a seed and an epoch.

    The processes of a distributed run share the batches, each getting equally many.
    """

    sizes: Sequence[int]
    batch_size: int
    _: KW_ONLY
    seed: int
    rank: int = 0
    world_size: int = 1
    epoch: int = field(default=0, init=False)

    @property
    def sampler(self) -> CompoundBatchSampler:
        """Itself: Lightning calls ``set_epoch`` on this attribute."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose shuffling the following iterations use."""
        self.epoch = epoch

    def __len__(self) -> int:
        n_batches = -(-len(self.sizes) // self.batch_size)
        return n_batches // self.world_size if n_batches >= self.world_size else 1

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        random = np.random.default_rng((self.seed, self.epoch))
        sizes = np.asarray(self.sizes)
        order = random.permutation(len(sizes))
        # Sorted within windows only, so that batches differ from epoch to epoch.
        window = self.batch_size * 24
        batches = []
        for start in range(0, len(order), window):
            part = order[start : start + window]
            part = part[np.argsort(sizes[part], kind="stable")]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        shuffled = random.permutation(len(batches))
        share = [batches[i] for i in shuffled[self.rank :: self.world_size]] or [batches[0]]
        for batch in share[: len(self)]:
            yield [(int(i), self.epoch) for i in batch]


@dataclass(frozen=True)
class Query:
    """One validation spectrum with candidates of its mass, the true structure first."""

    measurement: Measurement
    candidates: tuple[str, ...]


class PairDataset(Dataset[Item]):
    """Validation spectra by compound, each matched with its true structure and a decoy.

    References follow these: isomers generated from them, and other molecules of the mass.

    Parameters
    ----------
    queries : sequence of Query
        With two candidates each; queries of one structure are adjacent.
    references : mapping of str to sequence of str
        By true structure, other molecules of its mass, without its decoys.
    tokenizer : MoleculeTokenizer
    n_isomers : int
        Generated from each structure, at most.
    """

    def __init__(
        self,
        queries: Sequence[Query],
        references: Mapping[str, Sequence[str]],
        tokenizer: MoleculeTokenizer,
        *,
        n_isomers: int = N_ISOMERS,
    ) -> None:
        self.compounds = [
            list(group) for _, group in groupby(queries, key=lambda query: query.candidates[0])
        ]
        self.references = references
        self.tokenizer = tokenizer
        self.n_isomers = n_isomers
        # Slow to make, and the same in every epoch.
        self._isomers: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self.compounds)

    def __getitem__(self, index: int) -> Item:
        queries = self.compounds[index]
        tokens: list[MoleculeTokens] = []
        pairs: list[Pair] = []
        labels: list[int] = []

        def add(smiles: str, spectra: Sequence[int], label: int) -> None:
            encoded = self.tokenizer.encode(smiles)
            matched = []
            for i in spectra:
                # A reference that lacks the atoms the adduct loses is none.
                with contextlib.suppress(AdductError):
                    matched.append(queries[i].measurement.pair(encoded, len(tokens), i))
            if matched:
                tokens.append(encoded)
                pairs.extend(matched)
                labels.extend([label] * len(matched))

        target, _ = queries[0].candidates
        every = range(len(queries))
        add(target, every, TARGET)
        for isomer in self._isomers_of(target):
            add(isomer, every, ISOMER_OF_TARGET)
        for reference in self.references[target]:
            add(reference, every, REFERENCE)
        for i, query in enumerate(queries):
            _, decoy = query.candidates
            add(decoy, [i], DECOY)
            for isomer in self._isomers_of(decoy):
                add(isomer, [i], ISOMER_OF_DECOY)
        return tokens, pairs, labels

    def _isomers_of(self, smiles: str) -> list[str]:
        if smiles not in self._isomers:
            self._isomers[smiles] = make_isomers(parse_smiles(smiles), self.n_isomers)
        return self._isomers[smiles]


@dataclass(eq=False)
class QueryDataset(Dataset[Item]):
    """Validation rankings: molecules, pairs and labels (1: the true structure)."""

    queries: Sequence[Query]
    tokenizer: MoleculeTokenizer

    def __len__(self) -> int:
        return len(self.queries)

    def __getitem__(self, index: int) -> Item:
        query = self.queries[index]
        tokens = [self.tokenizer.encode(smiles) for smiles in query.candidates]
        pairs = [query.measurement.pair(t, i) for i, t in enumerate(tokens)]
        return tokens, pairs, [int(i == 0) for i in range(len(pairs))]


def collate_items(items: Sequence[Item]) -> Batch:
    """Join items into one batch."""
    tokens: list[MoleculeTokens] = []
    pairs: list[Pair] = []
    labels: list[int] = []
    n_spectra = 0
    for item_tokens, item_pairs, item_labels in items:
        pairs += [pair.moved(len(tokens), n_spectra) for pair in item_pairs]
        tokens += item_tokens
        labels += item_labels
        n_spectra += 1 + max(pair.spectrum_index for pair in item_pairs)
    return collate(tokens, pairs, labels)
