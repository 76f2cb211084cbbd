"""POST /rank/file is a search of the file: the same structures, rows and reasons."""

import re

import pytest

from team5.data.conditions import Conditions
from team5.data.demo import demo_molecules
from team5.errors import ConfigError
from team5.search.chunks import SearchSettings
from team5.search.engines import Engine
from team5.search.reading import iter_candidates
from team5.search.search import iter_results, make_tools
from team5.search.spectra import SpectraFile
from team5.search.structures import ListedStructures, TargetStructures, library_structures
from team5.search.writers import by_spectrum
from team5.serving.libraries import open_libraries
from tests.search.test_adducts import SUSPECTS
from tests.serving.conftest import REPOSITORY, SHIPPED, TOLERANCE, lines_of
from tests.serving.test_predict import same

FILES = REPOSITORY / "tests/files"
EXAMPLES = REPOSITORY / "docs/examples"
CAFFEINE, ENPROFYLLINE = "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "CCCN1C2=C(NC=N2)C(=O)NC1=O"


def searched(spectra, structures, adduct=None, **settings):
    """Return answers and reasons of a search as predict.py makes it, by number of the spectrum."""
    how = SearchSettings(**settings)
    tools = make_tools(None, SHIPPED, "cpu", structures, how)
    source = SpectraFile(spectra)
    results = list(iter_results(
        source, tools, settings=how, context=Conditions(adduct), engine=Engine(workers=0)
    ))  # fmt: skip
    answers = {one["spectrum"]: one for one in by_spectrum(each.table for each in results)}
    left_out = {one.spectrum: one.to_text(source.name) for each in results for one in each.left_out}
    return answers, left_out


def listed(path):
    return ListedStructures.of(path.name, iter_candidates(path, report=lambda text: None))


def ask(server, spectra, candidates=None, **options):
    files = {"spectra": (spectra.name, spectra.read_bytes())}
    if candidates is not None:
        files["candidates"] = (candidates.name, candidates.read_bytes())
    return lines_of(server.http.post("/rank/file", files=files, data=options))


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        *(("first", value, "first=") for value in ("0", "-1", "1.5", "nan", "inf")),
        # Also where each spectrum states its own.
        *(
            ("precursor_mz", value, "precursor_mz = ")
            for value in ("0", "-5", "nan", "inf", "1e999")
        ),
    ],
)
def test_the_first_spectrum_and_the_precursor_of_all_are_numbers_above_0(
    server, option, value, said
):
    files = {"spectra": ("a.mgf", b"BEGIN IONS\nPEPMASS=181.05\n121.03 1\nEND IONS\n")}
    data = {"library": "demo", option: value}
    answer = server.http.post("/rank/file", files=files, data=data)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith(said)


def check(lines, answers, left_out):
    """Compare the lines of the server with what a search says."""
    rankings = {line["spectrum"]: line for line in lines if "candidates" in line}
    assert list(rankings) == list(answers)
    for number, expected in answers.items():
        found = {**rankings[number]}
        assert found.pop("place").endswith(f"spectrum {number}")
        together = found.pop("spectra")
        assert (together[0], len(together)) == (number, expected["n_spectra"])
        first = found["candidates"][0]["impossible_mzs"]
        for row in found["candidates"]:
            if row["impossible_mzs"] is None:
                row["impossible_mzs"] = first
        assert same(found, expected, TOLERANCE)
    said = {line["spectrum"]: line["left_out"] for line in lines if line.get("spectrum")
            and "left_out" in line}  # fmt: skip
    assert said == left_out


@pytest.mark.parametrize("name", ["massspecgym.mgf", "msdial.msp", "two_scans.mzML", "gnps.mgf"])
def test_answers_are_those_of_a_search_of_the_file(name, server):
    candidates = EXAMPLES / "suspects.csv"
    lines = ask(server, FILES / name, candidates)
    check(lines, *searched(FILES / name, listed(candidates)))


def test_without_structures_spectra_are_matched_with_their_own(server):
    lines = ask(server, FILES / "massspecgym.mgf")
    check(lines, *searched(FILES / "massspecgym.mgf", TargetStructures()))
    assert all(len(line["candidates"]) == 1 for line in lines if "candidates" in line)


@pytest.mark.parametrize("name", ["demo", "small"])
def test_a_library_of_the_server_is_searched_by_its_name(name, server, library):
    path = {"demo": "demo", "small": str(library)}[name]
    lines = ask(server, EXAMPLES / "run.mgf", library=name)
    check(lines, *searched(EXAMPLES / "run.mgf", library_structures(path)))
    names = {row["name"] for line in lines for row in line["candidates"]}
    assert "caffeine" in {name.lower() for name in names}


def test_libraries_are_listed(server):
    assert server.http.get("/libraries").json() == [
        {"library": "demo", "n_structures": len(demo_molecules())},
        {"library": "small", "n_structures": 6},
    ]


def test_libraries_of_one_name_are_refused(library):
    with pytest.raises(ConfigError, match="is called small as well"):
        open_libraries([str(library), str(library)])


def test_only_structures_of_the_precursor_are_scored_within_ppm(server, tmp_path):
    spectra = tmp_path / "a.mgf"
    spectra.write_text("BEGIN IONS\nPEPMASS=195.0916\nCHARGE=1+\n138.0662 9\nEND IONS\n")
    candidates = tmp_path / "a.smi"
    candidates.write_text(f"{CAFFEINE} caffeine\nCCO ethanol\n")
    (narrow,) = ask(server, spectra, candidates)  # 20 ppm above caffeine's
    assert "no candidate within 10 ppm" in narrow["left_out"]
    assert "m/z 195.0916 as [M+H]+" in narrow["left_out"]
    (wide,) = ask(server, spectra, candidates, ppm=30)
    assert [row["name"] for row in wide["candidates"]] == ["caffeine"]
    assert wide["candidates"][0]["error_ppm"] == pytest.approx(20.2, abs=0.3)
    spectra.write_text("BEGIN IONS\n138.0662 9\nEND IONS\n")
    (all_of_them,) = ask(server, spectra, candidates)
    assert all_of_them["n_candidates"] == 2


def test_the_best_are_kept_and_all_are_counted(server):
    lines = ask(server, EXAMPLES / "run.mgf", EXAMPLES / "suspects.csv", keep=1)
    assert [(line["n_candidates"], len(line["candidates"])) for line in lines] == [(2, 1), (3, 1)]
    assert all(line["candidates"][0]["rank"] == 1 for line in lines)


FEATURES = """BEGIN IONS
FEATURE_ID=7
PEPMASS=195.0877
CHARGE=1+
COLLISION_ENERGY=20 eV
138.0662 60
195.0877 100
END IONS

BEGIN IONS
FEATURE_ID=8
PEPMASS=195.0877
CHARGE=1+
153.0407 100
END IONS

BEGIN IONS
FEATURE_ID=7
PEPMASS=195.0877
CHARGE=1+
COLLISION_ENERGY=40 eV
69.0447 30
110.0713 100
138.0662 60
END IONS
"""


@pytest.mark.parametrize(("group_by", "grouped"), [
    ("FEATURE_ID", [([1, 3], "7", 2), ([2], "8", 1)]),
    ("auto", [([1, 3], "7", 2), ([2], "8", 1)]),
    (None, [([1], "7", 1), ([2], "8", 1), ([3], "7", 1)]),
])  # fmt: skip
def test_spectra_of_a_feature_are_judged_together(server, tmp_path, group_by, grouped):
    spectra = tmp_path / "features.mgf"
    spectra.write_text(FEATURES)
    options = {} if group_by is None else {"group_by": group_by}
    lines = ask(server, spectra, EXAMPLES / "suspects.csv", **options)
    found = [(line["spectra"], line["feature_id"], line["n_spectra"]) for line in lines]
    assert found == grouped
    structures = listed(EXAMPLES / "suspects.csv")
    check(lines, *searched(spectra, structures, group_by=group_by))


def test_a_search_goes_on_from_a_spectrum(server):
    whole = ask(server, FILES / "gnps.mgf", EXAMPLES / "suspects.csv")
    rest = ask(server, FILES / "gnps.mgf", EXAMPLES / "suspects.csv", first=3)
    numbered = [line for line in whole if line["spectrum"] >= 3]
    assert 0 < len(numbered) < len(whole)
    assert sorted(rest, key=str) == sorted(numbered, key=str)
    assert ask(server, FILES / "gnps.mgf", EXAMPLES / "suspects.csv", first=13) == []


def test_a_group_that_is_left_out_names_all_its_spectra(server, tmp_path):
    spectra = tmp_path / "features.mgf"
    spectra.write_text(FEATURES)
    candidates = tmp_path / "other.smi"
    candidates.write_text("CCO\n")
    lines = ask(server, spectra, candidates, group_by="auto")
    assert [line["spectrum"] for line in lines] == [1, 3, 2]
    assert all("no candidate within 10 ppm" in line["left_out"] for line in lines)


def test_adduct_that_a_candidate_cannot_form_leaves_out_the_candidate(server, tmp_path):
    spectra, candidates = tmp_path / "a.mgf", tmp_path / "a.smi"
    spectra.write_text("BEGIN IONS\nTITLE=a\nADDUCT=[M-H2O+H]+\n50 1\n60 2\nEND IONS\n")
    candidates.write_text("CCC\nCCO\n")
    left_out, ranking = ask(server, spectra, candidates)
    assert [match["smiles"] for match in ranking["candidates"]] == ["CCO"]
    assert (ranking["n_candidates"], ranking["n_scored"], ranking["n_unusable"]) == (2, 1, 1)
    assert "CCC" in left_out["left_out"]
    assert [line["place"] for line in (left_out, ranking)] == ["a.mgf, spectrum 1"] * 2


@pytest.mark.parametrize("adduct", ["auto", "[M+H]+,[M+Na]+,[M+NH4]+,[M]+"])
def test_spectra_of_unknown_adduct_are_those_of_a_search(server, tmp_path, adduct):
    spectra, candidates = tmp_path / "features.mgf", tmp_path / "a.smi"
    named = (FILES / "inputs/mzmine_adducts.mgf").read_text()
    spectra.write_text(re.sub(r"^ION=.*\n", "", named, flags=re.M))
    candidates.write_text("\n".join(SUSPECTS) + "\n")
    lines = ask(server, spectra, candidates, adduct=adduct)
    check(lines, *searched(spectra, listed(candidates), adduct=adduct))
    assert {row["adduct"] for line in lines for row in line.get("candidates", ())} >= {
        "[M+H]+", "[M+Na]+", "[M+NH4]+", "[M]+",
    }  # fmt: skip
    sent = {"spectra": spectra.read_text(), "spectra_name": spectra.name}
    sent |= {"candidates": candidates.read_text(), "candidates_name": candidates.name}
    asked = adduct if adduct == "auto" else adduct.split(",")
    assert lines_of(server.http.post("/rank/file", json=sent | {"adduct": asked})) == lines
