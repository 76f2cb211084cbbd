"""Lists of structures and the structures of records: the same search as that of a library."""

import csv
import json
import zipfile
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from team5.data.demo import demo_molecules
from team5.inference.inference import infer, load_model
from team5.search.chunks import SearchSettings
from team5.search.engines import Engine
from team5.search.reading import iter_candidates
from team5.search.search import search_file
from team5.search.spectra import LeftOut, SpectraFile
from team5.search.structures import ListedStructures, TargetStructures
from team5.search.writers import left_out_path
from tests.search.conftest import SMALL_VERSION
from tests.search.spectra_files import write_mgf

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
PEAKS = "121.0284 100\n139.039 35\nEND IONS\n"
SHIPPED = Path(__file__).resolve().parents[2] / "checkpoints"


def search(spectra, structures, output, *, root=SMALL_VERSION, version=None, references=(), **more):
    return search_file(
        spectra, structures, output, root=root, version=version, device="cpu",
        settings=SearchSettings(keep=5, references=references),
        engine=Engine(workers=0), **more,
    )  # fmt: skip


def listed(path: Path) -> ListedStructures:
    return ListedStructures.of(path.name, iter_candidates(path, report=lambda text: None))


@pytest.fixture
def suspects(tmp_path) -> Path:
    path = tmp_path / "suspects.csv"
    path.write_text(
        "CAS,smiles,name,use,score\n"
        f"50-78-2,{ASPIRIN},aspirin,=HYPERLINK(1),-2\n"
        "64-17-5,CCO,ethanol,solvent,\n"
        "69-72-7,O=C(O)c1ccccc1O,salicylic acid,,7\n"
        "610-48-0,COC(=O)c1ccc(C(=O)O)cc1,methyl terephthalate,-,1\n"
    )
    return path


@pytest.fixture
def spectra(tmp_path) -> Path:
    path = tmp_path / "q.mgf"
    path.write_text(
        f"BEGIN IONS\nTITLE=a\nPEPMASS=181.0495\nADDUCT=[M+H]+\nSMILES={ASPIRIN}\n{PEAKS}"
        f"BEGIN IONS\nTITLE=b\nPEPMASS=500.1\nADDUCT=[M+H]+\nSMILES=CCO\n{PEAKS}"
        f"BEGIN IONS\nTITLE=c\nADDUCT=[M+H]+\n{PEAKS}"
    )
    return path


def test_only_structures_of_the_precursor_are_scored(suspects, spectra, tmp_path):
    output = tmp_path / "hits.parquet"
    summary = search(spectra, listed(suspects), output)
    rows = pq.read_table(output).to_pylist()
    of = {name: [row for row in rows if row["identifier"] == name] for name in "abc"}
    assert {row["name"] for row in of["a"]} == {"aspirin", "methyl terephthalate"}
    assert [row["rank"] for row in of["a"]] == [1, 2]
    assert {row["n_candidates"] for row in of["a"]} == {2}
    # Without a precursor all could be behind it.
    assert {row["n_candidates"] for row in of["c"]} == {4}
    assert of["b"] == []
    assert summary.left_out == {"no candidate within 10 ppm": 1}


def test_columns_of_the_list_stand_in_the_answer(suspects, spectra, tmp_path):
    output = tmp_path / "hits.parquet"
    search(spectra, listed(suspects), output)
    by_name = {row["name"]: row for row in pq.read_table(output).to_pylist()}
    assert by_name["aspirin"]["CAS"] == "50-78-2"
    assert by_name["ethanol"]["use"] == "solvent"
    # One of our own names is taken.
    assert by_name["salicylic acid"]["score_of_list"] == "7"
    assert by_name["salicylic acid"]["score"] < 0


def test_a_list_is_searched_as_a_library_of_it(library, tmp_path):
    smi = tmp_path / "demo.smi"
    smi.write_text("\n".join(f"{each.smiles} {each.name}" for each in demo_molecules()) + "\n")
    spectra = write_mgf(tmp_path / "run.mgf", 13)
    search(spectra, listed(smi), tmp_path / "list.parquet")
    search(spectra, library, tmp_path / "library.parquet")
    found, expected = (
        [
            (row["spectrum"], row["rank"], row["inchikey14"], row["n_candidates"], row["name"])
            for row in pq.read_table(tmp_path / f"{name}.parquet").to_pylist()
        ]
        for name in ("list", "library")
    )
    assert {row[:3] for row in found} == {row[:3] for row in expected}


def test_records_are_matched_with_their_own_structures(spectra, tmp_path):
    output = tmp_path / "matches.parquet"
    summary = search(spectra, TargetStructures(), output)
    rows = pq.read_table(output).to_pylist()
    assert [(row["identifier"], row["smiles"]) for row in rows] == [("a", ASPIRIN), ("b", "CCO")]
    (reason,) = summary.left_out
    assert reason.startswith("no SMILES")
    model = load_model(root=SMALL_VERSION, device="cpu")
    record = next(SpectraFile(spectra).entries())
    expected = infer(model, ASPIRIN, spectra=[record.spectrum])
    assert rows[0]["probability"] == pytest.approx(expected.probability, abs=1e-6)
    assert [row["precursor_fits"] for row in rows] == [True, False]


def test_references_are_those_of_infer(suspects, spectra, tmp_path):
    others = tuple(each.smiles for each in demo_molecules()[:20])
    references = (
        "CC(=O)Oc1cccc(C(=O)O)c1",
        *(f"C{'C' * i}OC(=O)c1ccccc1" for i in range(9)),
        *others,
    )
    output = tmp_path / "hits.parquet"
    search(spectra, TargetStructures(), output, root=SHIPPED, version="v0.2", references=references)
    row = pq.read_table(output).to_pylist()[0]
    model = load_model("v0.2", root=SHIPPED, device="cpu")
    record = next(SpectraFile(spectra).entries())
    expected = infer(model, ASPIRIN, spectra=[record.spectrum], references=references)
    assert row["probability"] == pytest.approx(expected.probability, abs=1e-6)
    assert (row["references"], row["n_references"]) == (expected.references, expected.n_references)
    assert row["notes"] == "; ".join(expected.notes)


def test_structures_that_cannot_be_used_stand_among_what_was_left_out(suspects, spectra, tmp_path):
    output = tmp_path / "hits.csv"
    unusable = [LeftOut(0, "suspects.csv, line 9", "SMILES 'x': not understood.")]
    search(spectra, listed(suspects), output, unusable=unusable)
    rows = list(csv.DictReader(left_out_path(output).open(encoding="utf-8-sig")))
    assert [row["spectrum"] for row in rows] == ["", "2"]
    assert rows[0]["identifier"] == "suspects.csv, line 9"


def test_every_kind_of_file_holds_the_same_rows(suspects, spectra, tmp_path):
    endings = ("parquet", "csv", "tsv", "xlsx", "json", "jsonl")
    for ending in endings:
        search(spectra, listed(suspects), tmp_path / f"hits.{ending}")
    expected = pl.read_parquet(tmp_path / "hits.parquet")
    for ending, separator in (("csv", ","), ("tsv", "\t")):
        table = pl.read_csv(tmp_path / f"hits.{ending}", separator=separator)
        assert table["smiles"].to_list() == expected["smiles"].to_list()
        assert table["score"].to_list() == pytest.approx(expected["score"].to_list())
        # A number stays one; what a spreadsheet would compute does not.
        assert set(table["use"].drop_nulls()) == {"'=HYPERLINK(1)", "solvent", "'-"}
        assert "-2" in table["score_of_list"].cast(pl.String).to_list()
    with zipfile.ZipFile(tmp_path / "hits.xlsx") as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert sheet.count("<row ") == len(expected) + 1
    assert "<t>=HYPERLINK(1)</t>" in sheet
    assert "<f>" not in sheet
    by_spectrum = json.loads((tmp_path / "hits.json").read_text())
    lines = [json.loads(line) for line in (tmp_path / "hits.jsonl").read_text().splitlines()]
    assert by_spectrum == lines
    smiles = [each["smiles"] for answer in lines for each in answer["candidates"]]
    assert smiles == expected["smiles"].to_list()


def test_another_list_is_another_search(suspects, spectra, tmp_path):
    before = listed(suspects).identity()
    assert listed(suspects).identity() == before
    suspects.write_text(suspects.read_text().replace("solvent", "spirit"))
    assert listed(suspects).identity() != before
