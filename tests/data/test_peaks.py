import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from team5.chemistry.tokenizer import MoleculeTokenizer, TokenizerConfig
from team5.data.collate import Batch
from team5.data.compounds import read_compounds
from team5.data.dataset import CompoundDataset, collate_items
from team5.data.demo import write_demo_table
from team5.data.peaks import Peaks, peaks_path, write_peaks
from team5.data.training_table import read_training_table
from team5.errors import DataError

MAPS = Path("/proc/self/maps")
TOKENIZER = MoleculeTokenizer(TokenizerConfig(max_depth=1, max_fragments=40))


@pytest.fixture(scope="module")
def table_path(tmp_path_factory):
    return write_demo_table(tmp_path_factory.mktemp("prepared") / "demo.parquet")


@pytest.fixture(scope="module")
def peaks(table_path):
    return Peaks.open(peaks_path(table_path))


def dataset_of(compounds) -> CompoundDataset:
    decoys = [["CCN", "CCS", "CCF"]] * len(compounds)
    return CompoundDataset(
        compounds, TOKENIZER, max_spectra=2, decoys=decoys, n_decoys=2, n_shuffled=1, seed=0
    )


@pytest.fixture(scope="module")
def mapped(table_path, peaks):
    return dataset_of(read_compounds(read_training_table(table_path), peaks))


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    named = {**vars(batch), **vars(batch.molecules)}
    return {name: value for name, value in named.items() if isinstance(value, torch.Tensor)}


def test_peaks_of_every_row_are_those_of_the_table(table_path, peaks):
    table = pl.read_parquet(table_path)
    assert len(peaks) == table.height
    for row, (mzs, intensities) in enumerate(table.select("mzs", "intensities").iter_rows()):
        assert peaks.mzs(row).tolist() == mzs
        assert peaks.intensities(row).tolist() == intensities


def test_peaks_are_found_across_the_batches_of_a_file(tmp_path):
    n = 20_000
    lengths = np.arange(n) % 4 + 1
    mzs = [[float(i)] * length for i, length in enumerate(lengths)]
    table = pl.DataFrame({"mzs": mzs, "intensities": [[-mz for mz in row] for row in mzs]})
    # Groups of rows that do not fit into batches evenly.
    table.write_parquet(tmp_path / "long.parquet", row_group_size=3_001)
    write_peaks(tmp_path / "long.parquet", tmp_path / "long.peaks.arrow")
    peaks = Peaks.open(tmp_path / "long.peaks.arrow")
    assert len(peaks) == n
    for row in (0, 1, 3_000, 3_001, 8_191, 8_192, 16_384, n - 1):
        assert peaks.mzs(row).tolist() == mzs[row]
        assert peaks.intensities(row).tolist() == [-mz for mz in mzs[row]]


def test_batches_from_disk_are_those_from_memory_to_the_last_bit(table_path, mapped):
    in_memory = dataset_of(read_compounds(pl.read_parquet(table_path)))
    assert len(mapped) == len(in_memory) > 100
    for epoch in (0, 1):
        places = [(i, epoch) for i in (0, 7, 50, len(mapped) - 1)]
        one, two = (collate_items([d[place] for place in places]) for d in (mapped, in_memory))
        assert tensors(one).keys() == tensors(two).keys() >= {"weights", "match_rows", "context"}
        for name, value in tensors(one).items():
            torch.testing.assert_close(value, tensors(two)[name], rtol=0, atol=0, equal_nan=True)


def test_a_measurement_is_its_row_of_the_table(table_path, mapped):
    rows = {row["identifier"]: row for row in pl.read_parquet(table_path).iter_rows(named=True)}
    measurements = [(c, m) for c in mapped.compounds for m in c.measurements]
    assert len(measurements) == len(rows)
    for compound, measurement in measurements:
        row = rows[measurement.identifier]
        assert measurement.mzs.tolist() == row["mzs"]
        assert measurement.intensities.tolist() == row["intensities"]
        assert measurement.adduct.name == row["adduct"]
        assert measurement.collision_energy == row["collision_energy"]
        assert measurement.instrument_type == row["instrument_type"]
        assert (compound.smiles, compound.formula) == (row["smiles"], row["formula"])


def test_a_dataset_travels_to_another_process_without_its_peaks(table_path, mapped):
    in_memory = dataset_of(read_compounds(pl.read_parquet(table_path)))
    n_bytes = pl.read_parquet(table_path, columns=["mzs", "intensities"]).estimated_size()
    small, large = (len(pickle.dumps(dataset)) for dataset in (mapped, in_memory))
    assert large - small > 0.9 * n_bytes
    # What is sent does not depend on how many peaks a spectrum has.
    assert small < 0.2 * n_bytes


class _MappedPeaks(Dataset[list[float]]):
    """How often a process has the file of the peaks mapped, and the peaks of a spectrum."""

    def __init__(self, dataset: CompoundDataset, path: str) -> None:
        self.dataset = dataset
        self.path = path

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> list[float]:
        with MAPS.open(encoding="utf-8") as maps:
            n_mapped = sum(self.path in line for line in maps)
        return [n_mapped, *self.dataset.compounds[0].measurements[0].mzs.tolist()]


@pytest.mark.skipif(not MAPS.exists(), reason="only Linux tells what a process has mapped")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_process_maps_the_peaks_where_they_lie(table_path, mapped, method):
    dataset = _MappedPeaks(mapped, str(peaks_path(table_path)))
    (found,) = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context=method)
    assert found == [1, *mapped.compounds[0].measurements[0].mzs.tolist()]


def test_what_is_done_to_peaks_does_not_reach_the_file(peaks):
    before = peaks.mzs(0).tolist()
    peaks.mzs(0)[:] = 0
    assert peaks.mzs(0).tolist() == before


def test_peaks_can_be_exchanged_for_those_of_another_row(mapped):
    one, other = (mapped.compounds[i].measurements[0] for i in (0, 1))
    exchanged = replace(one, peaks=other.peaks, row=other.row)
    assert exchanged.identifier == one.identifier
    assert exchanged.mzs.tolist() == other.mzs.tolist()


@pytest.mark.parametrize("content", [b"", b"ARROW1\0\0", None])
def test_damaged_or_missing_peaks_are_named(table_path, tmp_path, content):
    path = tmp_path / "demo.peaks.arrow"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"demo\.peaks\.arrow: .* cannot be read"):
        Peaks.open(path)


def test_peaks_that_break_off_are_named(table_path, tmp_path):
    path = tmp_path / "demo.peaks.arrow"
    path.write_bytes(peaks_path(table_path).read_bytes()[:-1_000])
    with pytest.raises(DataError, match=r"demo\.peaks\.arrow: .* cannot be read"):
        Peaks.open(path)
