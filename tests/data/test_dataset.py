from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.tokenizer import MoleculeTokenizer, TokenizerConfig
from team5.data.compounds import read_compounds
from team5.data.dataset import (
    CompoundBatchSampler,
    CompoundDataset,
    Query,
    QueryDataset,
    collate_items,
)

TOKENIZER = MoleculeTokenizer(TokenizerConfig(max_depth=1, max_fragments=40))


def table(rows: list[tuple[str, str, str]]) -> pl.DataFrame:
    """Return prepared rows of (identifier, InChIKey block, SMILES), all else alike."""
    return pl.DataFrame(
        [
            {
                "identifier": identifier,
                "mzs": [1.0 + i / 4],
                "intensities": [1.0],
                "smiles": smiles,
                "inchikey14": inchikey14,
                "formula": "C9H8O4",
                "exact_mass": 180.04225873,
                "adduct": "[M+H]+",
                "collision_energy": "20 eV",
                "instrument_type": "LC-ESI-QTOF",
            }
            for i, (identifier, inchikey14, smiles) in enumerate(rows)
        ]
    )


ROWS = [("b2", "B" * 14, "CCO"), ("a1", "A" * 14, "CC(=O)O"), ("b1", "B" * 14, "OCC")]


@pytest.fixture(scope="module")
def compounds():
    return read_compounds(
        table([(f"{i}-{j}", f"{i:014d}", "C" * (i + 2)) for i in range(7) for j in range(i + 1)])
    )


def test_rows_of_one_structure_become_one_compound_in_a_fixed_order():
    for rows in (ROWS, ROWS[::-1]):
        compounds = read_compounds(table(rows))
        assert [c.inchikey14 for c in compounds] == ["A" * 14, "B" * 14]
        assert [m.identifier for m in compounds[1].measurements] == ["b1", "b2"]
        assert compounds[1].smiles == "OCC"


def drawn(compounds, *, seed: int, epoch: int, max_spectra: int = 2) -> list[list[float]]:
    """Return for each compound its drawn spectra, known by the m/z of their first peaks."""
    dataset = CompoundDataset(compounds, TOKENIZER, max_spectra=max_spectra, seed=seed)
    return [[pair.peaks.mzs[0] for pair in dataset[i, epoch][1]] for i in range(len(compounds))]


def test_an_epoch_draws_at_most_so_many_spectra_and_each_once(compounds):
    for i, spectra in enumerate(drawn(compounds, seed=1, epoch=0, max_spectra=3)):
        assert len(set(spectra)) == len(spectra) == min(i + 1, 3)


def test_draws_depend_on_seed_epoch_and_compound_alone(compounds):
    assert drawn(compounds, seed=1, epoch=4) == drawn(compounds, seed=1, epoch=4)
    assert drawn(compounds, seed=1, epoch=0) != drawn(compounds, seed=1, epoch=1)
    assert drawn(compounds, seed=1, epoch=0) != drawn(compounds, seed=2, epoch=0)
    # Others before it or a second look change nothing.
    dataset = CompoundDataset(compounds, TOKENIZER, max_spectra=2, seed=1)
    for _ in range(2):
        _, pairs, _ = dataset[5, 4]
        assert [p.peaks.mzs[0] for p in pairs] == drawn(compounds, seed=1, epoch=4)[5]


@given(
    st.lists(st.integers(1, 100), min_size=1, max_size=120),
    st.integers(1, 12),
    st.integers(0, 3),
    st.integers(0, 5),
)
def test_an_epoch_holds_every_compound_once(sizes, batch_size, seed, epoch):
    sampler = CompoundBatchSampler(sizes, batch_size, seed=seed)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    assert sorted(i for batch in batches for i, _ in batch) == list(range(len(sizes)))
    assert {number for batch in batches for _, number in batch} == {epoch}


def test_the_same_seed_gives_the_same_batches_and_an_epoch_others():
    sizes = list(np.random.default_rng(0).integers(5, 80, 200))

    def batches(seed: int, epoch: int) -> list[list[int]]:
        sampler = CompoundBatchSampler(sizes, 12, seed=seed)
        sampler.set_epoch(epoch)
        return [[i for i, _ in batch] for batch in sampler]

    assert batches(1, 0) == batches(1, 0)
    assert batches(1, 0) != batches(1, 1)
    assert batches(1, 0) != batches(2, 0)


@given(
    st.lists(st.integers(1, 100), min_size=1, max_size=120),
    st.integers(1, 12),
    st.integers(2, 4),
    st.integers(0, 3),
)
def test_processes_take_equally_many_batches_and_none_twice(sizes, batch_size, n_ranks, epoch):
    samplers = [
        CompoundBatchSampler(sizes, batch_size, seed=1, rank=rank, world_size=n_ranks)
        for rank in range(n_ranks)
    ]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    taken = [[tuple(batch) for batch in sampler] for sampler in samplers]
    assert len({len(batches) for batches in taken}) == 1
    assert [len(batches) for batches in taken] == [len(sampler) for sampler in samplers]
    alone = CompoundBatchSampler(sizes, batch_size, seed=1)
    alone.set_epoch(epoch)
    whole = [tuple(batch) for batch in alone]
    counts = Counter(batch for batches in taken for batch in batches)
    assert set(counts) <= set(whole)
    # With fewer batches than processes somebody has to take one again, or all would wait.
    if len(whole) >= n_ranks:
        assert max(counts.values()) == 1
        assert len(whole) - len(counts) < n_ranks


def test_molecules_of_like_size_share_a_batch():
    sizes = np.random.default_rng(0).integers(1, 1_000, 120)
    spread = [np.ptp([sizes[i] for i, _ in b]) for b in CompoundBatchSampler(sizes, 12, seed=0)]
    assert np.mean(spread) < 150


def test_batches_of_queries_keep_molecules_and_labels_together(compounds):
    queries = [
        Query(compounds[6].measurements[k], (compounds[6].smiles, "CCN", "CCS")) for k in range(2)
    ]
    dataset = QueryDataset(queries, TOKENIZER)
    batch = collate_items([dataset[0], dataset[1]])
    assert len(dataset) == 2
    assert batch.labels.tolist() == [1, 0, 0, 1, 0, 0]
    assert batch.molecule_index.tolist() == [0, 1, 2, 3, 4, 5]
    assert [t.molecule.smiles for t in batch.molecules.tokens] == ["C" * 8, "CCN", "CCS"] * 2


def test_batches_of_compounds_give_each_spectrum_its_molecule(compounds):
    dataset = CompoundDataset(compounds, TOKENIZER, max_spectra=2, seed=0)
    batch = collate_items([dataset[0, 0], dataset[3, 0], dataset[1, 0]])
    assert batch.molecule_index.tolist() == [0, 1, 1, 2, 2]
    assert batch.slot.tolist() == [0, 0, 1, 0, 1]
    assert batch.labels.tolist() == [1] * 5


def test_each_spectrum_is_held_against_its_compound_and_the_decoys_drawn(compounds):
    decoys = [["CCN", "CCS", "CCF"]] * len(compounds)
    dataset = CompoundDataset(
        compounds, TOKENIZER, max_spectra=2, decoys=decoys, n_decoys=2, seed=0
    )
    batch = collate_items([dataset[3, 0], dataset[1, 0]])
    n = batch.spectrum_index.max() + 1
    assert n == 4
    for spectrum in range(n):
        rows = (batch.spectrum_index == spectrum).nonzero().ravel()
        assert batch.labels[rows].tolist() == [1, 0, 0]
        assert (batch.context[rows, 0] == batch.context[rows[0], 0]).all()
    drawn = [{t.molecule.smiles for t in dataset[3, epoch][0][1:]} for epoch in range(8)]
    assert len(set(map(frozenset, drawn))) > 1
    assert [t.molecule.smiles for t in dataset[3, 5][0]] == [
        t.molecule.smiles for t in dataset[3, 5][0]
    ]


def test_decoys_that_lack_what_the_adduct_loses_are_passed_over(compounds):
    water_lost = replace(compounds[3].measurements[0], adduct=parse_adduct("[M-H2O+H]+"))
    alcohol = replace(compounds[3], smiles="CCCO", measurements=[water_lost])
    dataset = CompoundDataset(
        [alcohol], TOKENIZER, max_spectra=2, decoys=[["CCN", "CCCCO"]], n_decoys=2, seed=0
    )
    tokens, pairs, labels = dataset[0, 0]
    assert [t.molecule.smiles for t in tokens] == ["CCCO", "CCCCO"]
    assert [pair.molecule_index for pair in pairs] == [0, 1]
    assert labels == [1, 0]


def test_peaks_of_other_compounds_are_held_against_a_compound_and_its_decoys(compounds):
    decoys = [["CCN", "CCS"]] * len(compounds)
    dataset = CompoundDataset(
        compounds, TOKENIZER, max_spectra=1, decoys=decoys, n_decoys=2, n_shuffled=2, seed=0
    )
    own = {m.mzs[0] for m in compounds[3].measurements}
    tokens, pairs, labels = dataset[3, 0]
    assert len(tokens) == 3
    assert labels == [1, -1, -1] + [0, -1, -1] * 2
    assert [pair.spectrum_index for pair in pairs] == [0, 1, 2] * 3
    assert [pair.molecule_index for pair in pairs] == [0] * 3 + [1] * 3 + [2] * 3
    for pair, label in zip(pairs, labels, strict=True):
        assert (pair.peaks.mzs[0] in own) == (label >= 0)
        # Measured as the compound's own; the precursor is that of each structure.
        assert (pair.context[:8] == pairs[0].context[:8]).all()
    batch = collate_items([dataset[3, 0], dataset[1, 0]])
    assert batch.spectrum_index.max() == 5
    # Without decoys there is nothing that could be equal.
    alone = CompoundDataset(compounds, TOKENIZER, max_spectra=1, n_shuffled=2, seed=0)
    assert alone[3, 0][2] == [1]
