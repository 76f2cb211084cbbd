"""Structures and spectra of files, and rankings of candidates that cannot all be judged."""

import types

import pytest

from team5.chemistry.molecule import parse_smiles
from team5.data.conditions import Conditions
from team5.data.spectrum import Spectrum
from team5.errors import AdductError, DataError, DataFileNotFoundError
from team5.search.ranking import ranking_question
from team5.search.reading import Candidate, numbered_records, read_candidates

MODEL = types.SimpleNamespace(
    encodings=types.SimpleNamespace(parse=parse_smiles),
    **dict.fromkeys(("candidate_head", "isomer_head"), types.SimpleNamespace(is_fitted=False)),
)
WITHOUT_WATER = Spectrum([29.0386], [100], identifier="a", adduct="[M-H2O+H]+")


def mgf(*spectra: str) -> str:
    return "\n".join(f"BEGIN IONS\n{text}\nEND IONS\n" for text in spectra)


GOOD = "TITLE={}\nPEPMASS=47.0491\nCHARGE=1+\n29.0386 40\n47.0491 100"


@pytest.fixture
def spectra_file(tmp_path):
    path = tmp_path / "queries.mgf"
    path.write_text(mgf(GOOD.format("a"), "TITLE=b\nPEPMASS=47.0491\nCHARGE=1+", GOOD.format("c")))
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.smi", "CCO ethanol\nC1=CC=CC=C1\n"),
        ("a.txt", "\n# two of them\nCCO\tethanol\n\n  C1=CC=CC=C1  \n"),
        ("a.smi", "SMILES name\r\nCCO ethanol\r\nC1=CC=CC=C1\r\n"),
        ("a.smi", "\ufeffCCO ethanol\nC1=CC=CC=C1"),
        ("a.csv", "id,SMILES,formula\nethanol,CCO,C2H6O\n,C1=CC=CC=C1,C6H6\n"),
        ("a.csv", '"name","smiles"\n"ethanol","CCO"\n\n"","C1=CC=CC=C1"\n'),
        ("a.tsv", "smiles\tname\nCCO\tethanol\nC1=CC=CC=C1\t\n"),
    ],
)
def test_candidates_are_read_from_every_text_format(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert [(c.smiles, c.name) for c in read_candidates(tmp_path / name)] == [
        ("CCO", "ethanol"),
        ("C1=CC=CC=C1", None),
    ]


def test_candidates_are_read_from_parquet_by_content(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"mass": [1.0, 2.0], "smiles": ["CCO", None], "name": ["ethanol", "none"]})
    parquet.write_table(table, tmp_path / "a.data")
    reported = []
    read = read_candidates(tmp_path / "a.data", report=reported.append)
    assert read == [Candidate("CCO", "ethanol", "row 1")]
    assert len(reported) == 1
    assert "row 2" in reported[0]


def test_bad_candidate_is_reported_with_its_line_and_stops_no_other(tmp_path):
    (tmp_path / "a.smi").write_text("# header\nCCO\nC1CC\n\nnonsense\nCCN\n")
    reported = []
    read = read_candidates(tmp_path / "a.smi", report=reported.append)
    assert [c.smiles for c in read] == ["CCO", "CCN"]
    assert ["line 3" in reported[0], "line 5" in reported[1], len(reported)] == [True, True, 2]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.smi", "", "no structures"),
        ("a.smi", "# only this\n", "no structures"),
        ("a.smi", "nonsense\n", "none of its 1 structures"),
        (
            "a.csv",
            "structure,name\nCCO,ethanol\n",
            "no column smiles or inchi; there are structure, name",
        ),
        ("a.csv", "", "no column smiles or inchi; there are none"),
        ("a.parquet", "PAR1 and nothing more", "damaged Parquet"),
    ],
)
def test_file_without_candidates_says_what_it_lacks(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        read_candidates(tmp_path / name)


def test_missing_candidates_file_is_named(tmp_path):
    with pytest.raises(DataFileNotFoundError, match=r"none\.smi: no such file"):
        read_candidates(tmp_path / "none.smi")


def test_columns_of_the_list_are_kept(tmp_path):
    (tmp_path / "a.csv").write_text("smiles,name,CAS,logP\nCCO,ethanol,64-17-5,\n")
    (candidate,) = read_candidates(tmp_path / "a.csv")
    assert candidate.columns == {"CAS": "64-17-5", "logP": None}


def test_context_fills_what_a_spectrum_lacks_and_nothing_else(spectra_file):
    _, record = next(numbered_records(spectra_file, lambda text: None))
    filled = Conditions(collision_energy="35 eV", precursor_mz=99.0).fill(record.spectrum)
    assert filled.collision_energy == "35 eV"
    assert filled.precursor_mz == pytest.approx(47.0491)


def test_spectra_that_cannot_be_read_are_reported_with_their_numbers(spectra_file):
    reported = []
    records = list(numbered_records(spectra_file, reported.append))
    assert [record.spectrum.identifier for _, record in records] == ["a", "c"]
    assert len(reported) == 1
    assert "queries.mgf, spectrum 2:" in reported[0]


def ranking(smiles: list[str], report: list[str]) -> tuple[list[str], list[int]]:
    """The structures of a ranking, and the indices of those that can be judged."""
    steps = ranking_question(MODEL, [WITHOUT_WATER], smiles, report=report.append)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            question, usable = end.value
            return [molecule.smiles for molecule in question.molecules], usable


def test_candidate_that_cannot_be_judged_is_left_out_of_that_ranking():
    reported = []
    assert ranking(["CCO", "CCN", "CCC=O"], reported) == (["CCO", "CCC=O"], [0, 2])
    assert len(reported) == 1
    assert "candidate: adduct [M-H2O+H]+ does not fit 'CCN'" in reported[0]


def test_candidates_that_are_all_at_fault_are_an_error():
    reported = []
    with pytest.raises(AdductError, match="does not fit 'CCN'"):
        ranking(["CCN", "CCC"], reported)
    assert reported == []


def test_file_without_a_usable_spectrum_is_an_error(tmp_path):
    (tmp_path / "q.mgf").write_text(mgf("TITLE=b\nPEPMASS=47.0491\nCHARGE=1+"))
    with pytest.raises(DataError, match=r"q\.mgf"):
        list(numbered_records(tmp_path / "q.mgf", lambda text: None))
