import math

import numpy as np
import polars as pl
import pytest

from team5.errors import DataError, DataFileNotFoundError
from team5.inference.inference import infer
from team5.inference.scoring import (
    exchange_spectra,
    figures,
    format_figures,
    read_queries,
    score_queries,
)
from tests.inference.queries import write_queries


@pytest.fixture
def table(tmp_path):
    return write_queries(tmp_path / "queries.parquet")


def test_scores_are_those_of_infer(model, table):
    for scored in score_queries(model, read_queries(table)):
        spectrum = scored.query.spectrum
        matches = infer(model, None, list(scored.query.candidates), spectra=[spectrum])
        assert [m.probability for m in matches] == pytest.approx(scored.probabilities, abs=1e-5)
        assert [m.score for m in matches] == pytest.approx(scored.scores, abs=1e-4)


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


def test_figures_are_the_same_each_time_and_stand_beside_chance(model, table):
    queries = read_queries(table)
    found = [figures(list(score_queries(model, queries)), threshold=0.5) for _ in range(2)]
    assert found[0] == found[1]
    same_formula = found[0]["rank, candidates of the same formula"]
    assert [row.name for row in same_formula] == ["hit@1", "hit@5", "hit@20", "MRR"]
    assert same_formula[0].chance == pytest.approx(np.mean([1 / 3, 1 / 3, 1 / 4]))
    for rows in found[0].values():
        for row in rows:
            assert math.isfinite(row.value)
            assert row.low <= row.value <= row.high or row.low == row.high
    assert "hit@1" in format_figures(found[0])


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
