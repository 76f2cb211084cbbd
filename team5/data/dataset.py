"""Examples to learn from: compounds with draws of their spectra, and validation queries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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

# What a spectrum is of: the structure it is held against, another one of its mass, or, its peaks
# exchanged for another compound's, neither.
TARGET, DECOY, SHUFFLED = 1, 0, -1
# Or a molecule that one of these is compared with: an isomer made from it, or any of its mass.
ISOMER_OF_TARGET, ISOMER_OF_DECOY, REFERENCE = 2, 3, 4
_EXCHANGE_ATTEMPTS = 30
# Structures, the spectra held against them, and what each of these pairs is.
Held = tuple[list[MoleculeTokens], list[Pair], list[int]]


class CompoundDataset(Dataset[Held]):
    """Compounds with a draw of their spectra and, if asked for, of decoys of the same mass.

    Indices are pairs (compound, epoch): the draws depend on seed, epoch and compound alone, so
    that a resumed run sees what an unbroken one would have seen.

    Parameters
    ----------
    compounds : sequence of Compound
    tokenizer : MoleculeTokenizer
    max_spectra : int
        Of a compound in one epoch.
    decoys : sequence of sequences of str, optional
        SMILES of other structures for each compound.
    n_decoys : int
        That each spectrum is held against in one epoch, at most.
    n_exchanged : int
        Spectra of other compounds that a compound and its decoys are held against as well.
    seed : int
    """

    def __init__(
        self,
        compounds: Sequence[Compound],
        tokenizer: MoleculeTokenizer,
        *,
        max_spectra: int,
        decoys: Sequence[Sequence[str]] | None = None,
        n_decoys: int = 0,
        n_exchanged: int = 0,
        seed: int,
    ) -> None:
        self.compounds = compounds
        self.tokenizer = tokenizer
        self.max_spectra = max_spectra
        self.decoys = decoys
        self.n_decoys = n_decoys
        self.n_exchanged = n_exchanged
        self.seed = seed
        # Parsing and cutting costs more than looking up; a few kilobytes a molecule. Decoys are
        # too many to be kept.
        self._tokens: dict[int, MoleculeTokens] = {}

    def __len__(self) -> int:
        return len(self.compounds)

    def __getitem__(self, index: tuple[int, int]) -> Held:
        position, epoch = index
        compound = self.compounds[position]
        if position not in self._tokens:
            self._tokens[position] = self.tokenizer.encode(compound.smiles)
        chosen = _drawn(compound.measurements, self.max_spectra, (self.seed, epoch, position))
        own = self._tokens[position]
        tokens, labels = [own], [TARGET] * len(chosen)
        pairs = [m.pair(own, 0, i, keep_impossible=False) for i, m in enumerate(chosen)]
        decoys = [self.tokenizer.encode(smiles) for smiles in self._decoys(position, epoch)]
        exchanged = self._exchanged(position, epoch, chosen[0]) if decoys else []
        for i, measurement in enumerate(exchanged, start=len(chosen)):
            pairs.append(measurement.pair(own, 0, i))
            labels.append(SHUFFLED)
        for decoy in decoys:
            held, of = [], []
            for i, measurement in enumerate([*chosen, *exchanged]):
                is_own = i < len(chosen)
                # A decoy that lacks the atoms the adduct loses needs no telling apart.
                with contextlib.suppress(AdductError):
                    held.append(measurement.pair(decoy, len(tokens), i, keep_impossible=not is_own))
                    of.append(DECOY if is_own else SHUFFLED)
            if held:
                tokens.append(decoy)
                pairs += held
                labels += of
        return tokens, pairs, labels

    def _exchanged(self, position: int, epoch: int, conditions: Measurement) -> list[Measurement]:
        """Return peaks of other compounds of the ion mode, under a spectrum's conditions."""
        random = np.random.default_rng((self.seed, epoch, position, 2))
        exchanged: list[Measurement] = []
        for other in random.integers(len(self.compounds), size=_EXCHANGE_ATTEMPTS):
            if len(exchanged) == self.n_exchanged:
                break
            measurements = self.compounds[other].measurements
            taken = measurements[int(random.integers(len(measurements)))]
            same_mode = (taken.adduct.charge > 0) == (conditions.adduct.charge > 0)
            if other != position and same_mode:
                exchanged.append(replace(conditions, peaks=taken.peaks, row=taken.row))
        return exchanged

    def _decoys(self, position: int, epoch: int) -> Sequence[str]:
        if self.decoys is None:
            return ()
        return _drawn(self.decoys[position], self.n_decoys, (self.seed, epoch, position, 1))


def _drawn(items: Sequence[T], at_most: int, key: tuple[int, ...]) -> Sequence[T]:
    """Return so many of the items, drawn by key, in their order."""
    if len(items) <= at_most:
        return items
    drawn = np.random.default_rng(key).choice(len(items), at_most, replace=False)
    return [items[i] for i in np.sort(drawn)]


class CompoundBatchSampler(Sampler[list[tuple[int, int]]]):
    """Shuffled batches of molecules of like size, the same for a seed and an epoch.

    Every process of a distributed run takes its share of the batches; all get equally many.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.sizes = np.asarray(sizes)
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    @property
    def sampler(self) -> CompoundBatchSampler:
        """Itself: where Lightning looks for ``set_epoch``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for this epoch from now on."""
        self.epoch = epoch

    def __len__(self) -> int:
        n_batches = -(-len(self.sizes) // self.batch_size)
        return n_batches // self.world_size if n_batches >= self.world_size else 1

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        random = np.random.default_rng((self.seed, self.epoch))
        order = random.permutation(len(self.sizes))
        # Sorted within windows only, so that batches differ from epoch to epoch.
        window = self.batch_size * 24
        batches = []
        for start in range(0, len(order), window):
            part = order[start : start + window]
            part = part[np.argsort(self.sizes[part], kind="stable")]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        shuffled = random.permutation(len(batches))
        mine = [batches[i] for i in shuffled[self.rank :: self.world_size]] or [batches[0]]
        for batch in mine[: len(self)]:
            yield [(int(i), self.epoch) for i in batch]


@dataclass(frozen=True)
class Query:
    """One validation spectrum with candidates of its mass; the first is its own structure."""

    measurement: Measurement
    candidates: tuple[str, ...]


class PairDataset(Dataset[Held]):
    """Validation spectra by compound, each held against its own structure and a decoy.

    Beside these stand their references: isomers made from them, and other molecules of the mass.

    Parameters
    ----------
    queries : sequence of Query
        With two candidates; those of one structure follow each other.
    references : mapping of str to sequence of str
        By own structure, other molecules of its mass that are none of its decoys.
    tokenizer : MoleculeTokenizer
    n_isomers : int
        Made from each structure, at most.
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

    def __getitem__(self, index: int) -> Held:
        queries = self.compounds[index]
        tokens: list[MoleculeTokens] = []
        pairs: list[Pair] = []
        labels: list[int] = []

        def hold(smiles: str, spectra: Sequence[int], label: int) -> None:
            encoded = self.tokenizer.encode(smiles)
            held = []
            for i in spectra:
                # A reference that lacks the atoms the adduct loses tells nothing.
                with contextlib.suppress(AdductError):
                    held.append(queries[i].measurement.pair(encoded, len(tokens), i))
            if held:
                tokens.append(encoded)
                pairs.extend(held)
                labels.extend([label] * len(held))

        own, _ = queries[0].candidates
        every = range(len(queries))
        hold(own, every, TARGET)
        for isomer in self._isomers_of(own):
            hold(isomer, every, ISOMER_OF_TARGET)
        for reference in self.references[own]:
            hold(reference, every, REFERENCE)
        for i, query in enumerate(queries):
            _, decoy = query.candidates
            hold(decoy, [i], DECOY)
            for isomer in self._isomers_of(decoy):
                hold(isomer, [i], ISOMER_OF_DECOY)
        return tokens, pairs, labels

    def _isomers_of(self, smiles: str) -> list[str]:
        if smiles not in self._isomers:
            self._isomers[smiles] = make_isomers(parse_smiles(smiles), self.n_isomers)
        return self._isomers[smiles]


class QueryDataset(Dataset[Held]):
    """Validation rankings: molecules, pairs and labels (1: own structure)."""

    def __init__(self, queries: Sequence[Query], tokenizer: MoleculeTokenizer) -> None:
        self.queries = queries
        self.tokenizer = tokenizer

    def __len__(self) -> int:
        return len(self.queries)

    def __getitem__(self, index: int) -> Held:
        query = self.queries[index]
        tokens = [self.tokenizer.encode(smiles) for smiles in query.candidates]
        pairs = [query.measurement.pair(t, i) for i, t in enumerate(tokens)]
        return tokens, pairs, [int(i == 0) for i in range(len(pairs))]


def collate_items(items: Sequence[Held]) -> Batch:
    """Join spectra and the structures they are held against into one batch."""
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
