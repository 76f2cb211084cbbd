import numpy as np
import polars as pl
import pytest

from team5.data.queries import choose_decoy, exchange_spectra, read_queries
from team5.errors import DataError, DataFileNotFoundError
from tests.inference.queries import write_queries


@pytest.fixture
def table(tmp_path):
    return write_queries(tmp_path / "queries.parquet")


def test_exchanged_spectra_come_from_another_structure_and_are_fixed_by_seed(table):
    queries = read_queries(table)
    exchanged = exchange_spectra(queries, seed=3)
    for query, other in zip(queries, exchanged, strict=True):
        sources = [q for q in queries if np.array_equal(q.spectrum.mzs, other.mzs)]
        assert any(source.inchikey14 != query.inchikey14 for source in sources)
        assert other.adduct == query.spectrum.adduct
        assert other.collision_energy == query.spectrum.collision_energy
    again = exchange_spectra(queries, seed=3)
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
