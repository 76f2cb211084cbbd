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

# Isomers in groups of one formula, with some of their main fragments.
GROUPS = [
    [
        "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
        "Cc1nc2c([nH]1)c(=O)n(C)c(=O)n2C",
        "CCn1cnc2c1c(=O)[nH]c(=O)n2C",
    ],
    ["CC(=O)Oc1ccccc1C(=O)O", "COC(=O)c1ccc(C(=O)O)cc1", "COc1ccccc1C(=O)C(=O)O"],
    ["CC(=O)Nc1ccc(O)cc1", "CNC(=O)c1ccc(O)cc1", "COc1ccccc1C(N)=O", "NCC(=O)c1ccc(O)cc1"],
]
PEAKS = [
    ([195.0877, 138.0662, 110.0713], [100.0, 60.0, 15.0]),
    ([181.0495, 163.039, 121.0284], [10.0, 100.0, 60.0]),
    ([152.0706, 110.06, 93.0335], [100.0, 80.0, 10.0]),
]


@pytest.fixture
def table(tmp_path):
    from team5.chemistry.molecule import parse_smiles

    rows = []
    for group, (mzs, intensities) in zip(GROUPS, PEAKS, strict=True):
        for number in range(2):
            molecules = [parse_smiles(smiles) for smiles in group]
            rows.append(
                {
                    "identifier": f"{group[number]}-{number}",
                    "inchikey14": molecules[number].inchikey14,
                    "smiles": group[number],
                    "formula": molecules[number].formula,
                    "adduct": "[M+H]+",
                    "precursor_mz": mzs[0],
                    "instrument_type": "LC-ESI-QTOF",
                    "collision_energy": "20 eV",
                    "mzs": mzs,
                    "intensities": intensities,
                    "candidates": group,
                    "candidate_inchikey14": [m.inchikey14 for m in molecules],
                    "same_formula": [True] * len(group),
                    "n_candidates": len(group),
                }
            )
    path = tmp_path / "queries.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return path


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
