import numpy as np
import polars as pl
import pytest

from team5.assessment.queries import (
    Query,
    choose_decoy,
    conditions_of,
    read_queries,
    shuffle_spectra,
)
from team5.data.spectrum import Spectrum
from team5.errors import DataError, DataFileNotFoundError
from tests.inference.queries import write_queries


@pytest.fixture
def table(tmp_path):
    return write_queries(tmp_path / "queries.parquet")


def test_shuffled_spectra_come_from_another_structure_and_are_fixed_by_seed(table):
    queries = read_queries(table)
    exchanged = shuffle_spectra(queries, seed=3)
    for query, other in zip(queries, exchanged, strict=True):
        sources = [q for q in queries if np.array_equal(q.spectrum.mzs, other.mzs)]
        assert any(source.inchikey14 != query.inchikey14 for source in sources)
        assert other.adduct == query.spectrum.adduct
        assert other.collision_energy == query.spectrum.collision_energy
    again = shuffle_spectra(queries, seed=3)
    assert all(np.array_equal(a.mzs, b.mzs) for a, b in zip(exchanged, again, strict=True))


def test_a_truth_that_is_not_a_candidate_is_an_error_that_names_the_row(table):
    rows = pl.read_parquet(table)
    rows = rows.with_columns(
        pl.when(pl.int_range(pl.len()) == 2)
        .then(pl.lit("AAAAAAAAAAAAAA"))
        .otherwise("inchikey14")
        .alias("inchikey14")
    )
    rows.write_parquet(table)
    with pytest.raises(DataError, match=r"row 3: .* stands 0 times"):
        read_queries(table)


def test_a_table_without_candidates_is_an_error_that_names_the_column(table):
    pl.read_parquet(table).drop("candidates").write_parquet(table)
    with pytest.raises(DataError, match="no column candidates"):
        read_queries(table)
    with pytest.raises(DataFileNotFoundError, match=r"data\.queries"):
        read_queries(table.with_name("absent.parquet"))


def test_decoy_is_another_candidate_fixed_by_seed_and_identifier(table):
    queries = read_queries(table)
    chosen = [[choose_decoy(query, seed) for query in queries] for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    for query, decoy in zip(queries, chosen[0], strict=True):
        assert decoy != query.truth
        assert 0 <= decoy < len(query.candidates)


@pytest.mark.parametrize(
    ("energy", "instrument", "precursor_mz", "band"),
    [
        ("20 eV", "LC-ESI-QTOF", 200.0, "high, from 50"),  # 50 at m/z 500
        ("20 eV", "LC-ESI-QTOF", 250.0, "medium, 25 to 50"),
        ("20 eV", "LC-ESI-QTOF", 600.0, "low, below 25"),
        ("30 % (nominal)", "LC-ESI-QFT", 1000.0, "medium, 25 to 50"),
        ("30", "LC-ESI-QFT", 1000.0, "medium, 25 to 50"),  # Orbitraps write NCE
        ("30", "LC-ESI-QTOF", 1000.0, "low, below 25"),
        ("Ramp 10-30 eV", "LC-ESI-QTOF", 500.0, "low, below 25"),
        (None, "LC-ESI-QTOF", 500.0, "unknown"),
        ("30 eV", "LC-ESI-QTOF", None, "unknown"),
    ],
)
def test_energies_are_compared_at_one_mass(energy, instrument, precursor_mz, band):
    spectrum = Spectrum(
        [100.0], [1.0], adduct="[M+H]+", collision_energy=energy, instrument_type=instrument,
        precursor_mz=precursor_mz,
    )  # fmt: skip
    query = Query(spectrum, "A", ("CCO",), 0, np.array([True]))

    assert conditions_of(query) == {
        "adduct": "[M+H]+",
        "ion mode": "positive",
        "collision energy": band,
    }
