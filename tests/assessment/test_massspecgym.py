import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from team5.assessment.massspecgym import read_massspecgym
from team5.chemistry import molecule
from team5.errors import ConfigError, DataError, DataFileNotFoundError

FILES = Path(__file__).parent.parent / "files"
TABLE = FILES / "massspecgym.tsv"
CANDIDATES = FILES / "massspecgym_candidates.json"
CAFFEINE = "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"


@pytest.fixture(scope="module")
def benchmark():
    return read_massspecgym(TABLE, CANDIDATES)


def test_rows_of_the_fold_become_queries(benchmark):
    identifiers = [query.spectrum.identifier for query in benchmark.queries]
    assert identifiers == [f"MassSpecGymID900000{i}" for i in (1, 2, 3, 4)]
    first, _, _, last = (query.spectrum for query in benchmark.queries)
    assert first.mzs.tolist() == [110.0713, 138.0662, 195.0877]
    assert first.intensities.tolist() == [0.35, 1.0, 0.4]
    assert (first.adduct, first.precursor_mz) == ("[M+H]+", 195.0877)
    assert (first.collision_energy, first.instrument_type) == ("30.0 eV", "Orbitrap")
    assert (last.adduct, last.collision_energy) == ("[M+Na]+", None)


def test_each_reason_is_counted(benchmark):
    assert benchmark.n_rows == 10
    assert benchmark.left_out == {
        "peaks of negative intensity": 1,
        "no SMILES": 1,
        "no candidates for the SMILES": 1,
        "structure not among its candidates": 1,
        "structure too large": 1,
        "structure not readable": 1,
    }
    assert benchmark.candidates_left_out == {
        "same structure as another candidate": 2,
        "structure too large": 1,
        "structure not readable": 1,
    }


def test_candidates_of_one_structure_count_once(benchmark):
    caffeine = benchmark.queries[0]
    assert caffeine.inchikey14 == "RYYVLZVUVIJVGH"
    assert len(caffeine.candidates) == 4
    assert caffeine.candidates[caffeine.truth] == CAFFEINE  # as the table writes it
    assert caffeine.same_formula.tolist() == [True, True, True, False]


def test_rows_of_one_smiles_share_their_candidates(benchmark):
    first, second = benchmark.queries[:2]
    assert first.candidates is second.candidates


def test_a_smiles_is_parsed_once_and_a_structure_keyed_once(tmp_path, monkeypatch):
    keyed = []
    original = molecule.Chem.MolToInchiKey
    monkeypatch.setattr(
        molecule.Chem, "MolToInchiKey", lambda mol: keyed.append(mol) or original(mol)
    )
    candidates = write(tmp_path, {CAFFEINE: [CAFFEINE, "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "CCO", "OCC"]})
    read_massspecgym(TABLE, candidates)
    assert len(keyed) <= 3  # caffeine, ethanol, and the one row without candidates of its own


def test_other_folds_are_read_on_request():
    (query,) = read_massspecgym(TABLE, CANDIDATES, fold="val").queries
    assert query.spectrum.identifier == "MassSpecGymID9000006"
    with pytest.raises(ConfigError, match="fold 'valid': choose one of train, val, test"):
        read_massspecgym(TABLE, CANDIDATES, fold="valid")


def test_parquet_gives_the_same_as_text(tmp_path, benchmark):
    path = tmp_path / "massspecgym.parquet"
    pl.read_csv(TABLE, separator="\t").write_parquet(path)
    other = read_massspecgym(path, CANDIDATES)
    assert other.left_out == benchmark.left_out
    for a, b in zip(other.queries, benchmark.queries, strict=True):
        assert a.candidates == b.candidates
        assert a.spectrum.mzs.tolist() == b.spectrum.mzs.tolist()
        assert a.spectrum.collision_energy == b.spectrum.collision_energy


def test_files_are_known_by_their_sha256(benchmark):
    assert benchmark.table_sha256 == hashlib.sha256(TABLE.read_bytes()).hexdigest()
    assert benchmark.candidates_sha256 == hashlib.sha256(CANDIDATES.read_bytes()).hexdigest()


def write(folder: Path, content: object) -> Path:
    path = folder / "candidates.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "candidates.json: not valid JSON .*Download it again"),
        ('["CCO"]', "candidates.json: a JSON list; needed is an object of lists"),
        ({CAFFEINE: "CCO"}, f"candidates.json, key '{CAFFEINE[:9]}.*: no list of SMILES"),
        ({CAFFEINE: ["CCO", 3]}, "no list of SMILES; needed is an object of lists"),
        ({}, r"none of the 10 rows of fold test can be used: .*Does candidates.json belong"),
    ],
)
def test_candidates_of_another_shape_are_refused(tmp_path, content, said):
    with pytest.raises(DataError, match=said.replace("(", r"\(")) as raised:
        read_massspecgym(TABLE, write(tmp_path, content))
    assert "\n" not in str(raised.value)


def test_a_table_without_the_columns_is_refused(tmp_path):
    path = tmp_path / "table.tsv"
    pl.read_csv(TABLE, separator="\t").rename({"fold": "split"}).write_csv(path, separator="\t")
    with pytest.raises(DataError, match=r"table.tsv: no column fold. It has identifier, mzs"):
        read_massspecgym(path, CANDIDATES)


def test_a_table_without_rows_of_the_fold_is_refused(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("".join(TABLE.read_text().splitlines(keepends=True)[:1]))
    with pytest.raises(DataError, match=r"table.tsv: no row of fold test"):
        read_massspecgym(path, CANDIDATES)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataFileNotFoundError, match=r"none.tsv: no such file"):
        read_massspecgym(tmp_path / "none.tsv", CANDIDATES)
    with pytest.raises(DataFileNotFoundError, match=r"none.json: no such file"):
        read_massspecgym(TABLE, tmp_path / "none.json")
