"""Files in, answers out; a rule stands in for `infer`, so that every fault can be brought about."""

import types

import pytest

from team5.chemistry.molecule import parse_smiles
from team5.errors import AdductError, DataError, DataFileNotFoundError
from team5.inference.results import Match
from team5.search.batch import Conditions, match_file, rank_candidates, rank_file
from team5.search.reading import Candidate, read_candidates


def judge(smiles: str, spectrum) -> Match:
    if spectrum.adduct == "[M+Na]+" and "N" in smiles:
        raise AdductError(f"{smiles}: does not take [M+Na]+.")
    molecule = parse_smiles(smiles)
    distance = abs(molecule.exact_mass - spectrum.mzs[-1])
    return Match(
        smiles, 1 / (1 + distance), distance < 1, 0.5, None, -distance, 0.5, (), (),
        molecule.formula, spectrum.adduct or "[M+H]+", spectrum.precursor_mz or 0.0,
        None, spectrum.collision_energy, "v0.1", "", (),
    )  # fmt: skip


def infer(model, smiles, *, spectra, max_error=None, references=None):
    return judge(smiles, spectra[0])


def make_questions(model, given, parse=parse_smiles):
    answers = [judge(text, given.spectra[0]) for text in given.smiles]
    return [types.SimpleNamespace(answers=lambda model: answers)], True


@pytest.fixture(autouse=True)
def rule(monkeypatch):
    monkeypatch.setattr("team5.search.batch.infer", infer)
    monkeypatch.setattr("team5.search.batch.make_questions", make_questions)


MODEL = types.SimpleNamespace(tokenizer=None, encodings=types.SimpleNamespace(parse=parse_smiles))


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
        ("a.tsv", "smiles\tname\nCCO\tethanol\nC1=CC=CC=C1\n"),
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


def test_all_candidates_are_ranked_for_every_spectrum_that_can_be_read(tmp_path, spectra_file):
    (tmp_path / "a.smi").write_text("CCO\nbad\nCCCCCC\n")
    reported = []
    rankings = list(rank_file(MODEL, spectra_file, tmp_path / "a.smi", report=reported.append))
    assert [ranking.identifier for ranking in rankings] == ["a", "c"]
    assert [[m.smiles for m in ranking.matches] for ranking in rankings] == [["CCO", "CCCCCC"]] * 2
    assert len(reported) == 2
    assert "line 2" in reported[0]
    assert "queries.mgf, spectrum 2:" in reported[1]


def test_spectra_are_answered_one_by_one(tmp_path, spectra_file):
    (tmp_path / "a.smi").write_text("CCO\n")
    rankings = rank_file(MODEL, spectra_file, tmp_path / "a.smi", report=lambda text: None)
    assert next(rankings).identifier == "a"


def test_context_fills_what_a_spectrum_lacks_and_nothing_else(tmp_path, spectra_file):
    (tmp_path / "a.smi").write_text("CCO\n")
    context = Conditions(collision_energy="35 eV", precursor_mz=99.0)
    ranking = next(rank_file(MODEL, spectra_file, tmp_path / "a.smi", context=context))
    assert ranking.matches[0].collision_energy == "35 eV"
    assert ranking.matches[0].precursor_mz == pytest.approx(47.0491)


def test_candidate_that_cannot_be_judged_is_left_out_of_that_ranking(tmp_path):
    (tmp_path / "q.mgf").write_text(mgf(GOOD.format("a") + "\nADDUCT=[M+Na]+"))
    (tmp_path / "a.smi").write_text("CCO\nCCN\nCCC\n")
    reported = []
    (ranking,) = rank_file(
        MODEL, tmp_path / "q.mgf", tmp_path / "a.smi",
        context=Conditions(adduct="[M+Na]+"), report=reported.append,
    )  # fmt: skip
    assert [match.smiles for match in ranking.matches] == ["CCO", "CCC"]
    assert len(reported) == 1
    assert "spectrum 1, candidate at line 2: CCN: does not take" in reported[0]


def test_ranking_carries_the_names_of_the_candidates_it_holds(tmp_path):
    (tmp_path / "q.mgf").write_text(mgf(GOOD.format("a")))
    (tmp_path / "a.smi").write_text("CCO ethanol\nbad one\nCCC\n")
    (ranking,) = rank_file(MODEL, tmp_path / "q.mgf", tmp_path / "a.smi", report=lambda text: None)
    assert ranking.names == ("ethanol", "")
    (tmp_path / "b.smi").write_text("CCO\nCCC\n")
    assert next(rank_file(MODEL, tmp_path / "q.mgf", tmp_path / "b.smi")).names == ()


def test_spectrum_for_which_nothing_can_be_judged_is_left_out(tmp_path, spectra_file):
    (tmp_path / "a.smi").write_text("CCN\n")
    reported = []
    context = Conditions(adduct="[M+Na]+")
    rankings = rank_file(
        MODEL, spectra_file, tmp_path / "a.smi", context=context, report=reported.append
    )
    assert list(rankings) == []
    assert len(reported) == 3


def test_single_candidate_at_fault_is_an_error(spectra_file):
    from team5.data.spectrum import Spectrum

    spectrum = Spectrum([47.0], [1.0], adduct="[M+Na]+")
    with pytest.raises(AdductError):
        rank_candidates(MODEL, spectrum, [Candidate("CCN")])


def test_records_are_matched_with_their_own_structures(tmp_path):
    path = tmp_path / "library.mgf"
    path.write_text(
        mgf(GOOD.format("a") + "\nSMILES=CCO", GOOD.format("b"), GOOD.format("c") + "\nSMILES=CCC")
        .replace("29.0386 40\n47.0491 100\nSMILES", "SMILES")
        .replace("SMILES=CCO", "SMILES=CCO\n47.0491 100")
        .replace("SMILES=CCC", "SMILES=CCC\n47.0491 100")
    )
    reported = []
    rankings = list(match_file(MODEL, path, report=reported.append))
    assert [(r.identifier, r.matches[0].smiles) for r in rankings] == [("a", "CCO"), ("c", "CCC")]
    assert len(reported) == 1
    assert "spectrum 2: no SMILES" in reported[0]


def test_file_without_a_usable_spectrum_is_an_error(tmp_path):
    (tmp_path / "q.mgf").write_text(mgf("TITLE=b\nPEPMASS=47.0491\nCHARGE=1+"))
    (tmp_path / "a.smi").write_text("CCO\n")
    with pytest.raises(DataError, match=r"q\.mgf"):
        list(rank_file(MODEL, tmp_path / "q.mgf", tmp_path / "a.smi", report=lambda text: None))
