"""Rows of a prepared table as examples: compounds with their spectra, and validation queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from team5.chemistry.adducts import Adduct, parse_adduct
from team5.chemistry.tokenizer import MoleculeTokenizer, MoleculeTokens
from team5.data.collate import Batch, Pair, collate, make_pair

if TYPE_CHECKING:
    import polars as pl

Array = NDArray[Any]


@dataclass(frozen=True)
class Measurement:
    """One spectrum as training needs it."""

    identifier: str
    mzs: Array
    intensities: Array
    adduct: Adduct
    collision_energy: str | None
    instrument_type: str | None

    def pair(
        self, tokens: MoleculeTokens, molecule_index: int, *, keep_impossible: bool = True
    ) -> Pair:
        """Hold the spectrum against a molecule."""
        return make_pair(
            tokens,
            molecule_index,
            mzs=self.mzs,
            intensities=self.intensities,
            adduct=self.adduct,
            collision_energy=self.collision_energy,
            instrument_type=self.instrument_type,
            keep_impossible=keep_impossible,
        )


@dataclass
class Compound:
    """One structure and all its spectra in a fold."""

    smiles: str
    inchikey14: str
    exact_mass: float
    formula: str
    measurements: list[Measurement] = field(default_factory=list)

    @cached_property
    def n_characters(self) -> int:
        """Length of the SMILES, to put molecules of like size into one batch."""
        return len(self.smiles)


def read_compounds(table: pl.DataFrame) -> list[Compound]:
    """Group the rows of a prepared table by structure, in order of InChIKey first block.

    Rows whose adduct the model has no ions for (several molecules or charges) are not usable for
    training; leave them out before.
    """
    compounds: dict[str, Compound] = {}
    for row in table.sort("inchikey14", "identifier", maintain_order=True).iter_rows(named=True):
        compound = compounds.setdefault(
            row["inchikey14"],
            Compound(row["smiles"], row["inchikey14"], row["exact_mass"], row["formula"]),
        )
        compound.measurements.append(
            Measurement(
                row["identifier"],
                np.asarray(row["mzs"], dtype=np.float64),
                np.asarray(row["intensities"], dtype=np.float64),
                parse_adduct(row["adduct"]),
                row["collision_energy"],
                row["instrument_type"],
            )
        )
    return list(compounds.values())


class CompoundDataset(Dataset[tuple[MoleculeTokens, list[Pair]]]):
    """Compounds with a draw of their spectra, for likelihood training.

    Indices are pairs (compound, epoch): the draw depends on seed, epoch and compound alone, so
    that a resumed run sees what an unbroken one would have seen.
    """

    def __init__(
        self,
        compounds: Sequence[Compound],
        tokenizer: MoleculeTokenizer,
        *,
        max_spectra: int,
        seed: int,
    ) -> None:
        self.compounds = compounds
        self.tokenizer = tokenizer
        self.max_spectra = max_spectra
        self.seed = seed
        # Parsing and cutting costs more than looking up; a few kilobytes a molecule.
        self._tokens: dict[int, MoleculeTokens] = {}

    def __len__(self) -> int:
        return len(self.compounds)

    def __getitem__(self, index: tuple[int, int]) -> tuple[MoleculeTokens, list[Pair]]:
        position, epoch = index
        compound = self.compounds[position]
        if position not in self._tokens:
            self._tokens[position] = self.tokenizer.encode(compound.smiles)
        tokens = self._tokens[position]
        chosen: Sequence[Measurement] = compound.measurements
        if len(chosen) > self.max_spectra:
            random = np.random.default_rng((self.seed, epoch, position))
            drawn = random.choice(len(chosen), self.max_spectra, replace=False)
            chosen = [chosen[i] for i in np.sort(drawn)]
        pairs = [measurement.pair(tokens, 0, keep_impossible=False) for measurement in chosen]
        return tokens, pairs


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


class QueryDataset(Dataset[tuple[list[MoleculeTokens], list[Pair], list[int]]]):
    """Validation queries as batches: molecules, pairs and labels (1: own structure)."""

    def __init__(self, queries: Sequence[Query], tokenizer: MoleculeTokenizer) -> None:
        self.queries = queries
        self.tokenizer = tokenizer

    def __len__(self) -> int:
        return len(self.queries)

    def __getitem__(self, index: int) -> tuple[list[MoleculeTokens], list[Pair], list[int]]:
        query = self.queries[index]
        tokens = [self.tokenizer.encode(smiles) for smiles in query.candidates]
        pairs = [query.measurement.pair(t, i) for i, t in enumerate(tokens)]
        return tokens, pairs, [int(i == 0) for i in range(len(pairs))]


def collate_compounds(items: Sequence[tuple[MoleculeTokens, list[Pair]]]) -> Batch:
    """Join compounds with their spectra into one batch."""
    return _join([([tokens], pairs, [1] * len(pairs)) for tokens, pairs in items])


def collate_queries(
    items: Sequence[tuple[list[MoleculeTokens], list[Pair], list[int]]],
) -> Batch:
    """Join validation queries into one batch."""
    return _join(items)


def _join(items: Sequence[tuple[list[MoleculeTokens], list[Pair], list[int]]]) -> Batch:
    tokens: list[MoleculeTokens] = []
    pairs: list[Pair] = []
    labels: list[int] = []
    for item_tokens, item_pairs, item_labels in items:
        pairs += [pair.moved(len(tokens)) for pair in item_pairs]
        tokens += item_tokens
        labels += item_labels
    return collate(tokens, pairs, labels)
