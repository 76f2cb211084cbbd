"""Spectra of unknown adduct, searched: each structure stands on the adduct that has its mass."""

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from team5.chemistry.molecule import parse_smiles
from team5.data.conditions import Conditions
from team5.data.demo import demo_molecules
from team5.data.readers import read_spectra
from team5.data.spectrum import Spectrum
from team5.inference.inference import infer, load_model
from team5.library.library import open_library
from team5.search.chunks import SearchSettings, search_chunk
from team5.search.reading import Candidate
from team5.search.spectra import SpectraFile, TypedSpectrum, iter_chunks
from team5.search.structures import LibraryStructures, ListedStructures, looked_up

REPOSITORY = Path(__file__).resolve().parents[2]
MZMINE = REPOSITORY / "tests/files/inputs/mzmine_adducts.mgf"
# What the features of the file are, and then others that have the same precursors as other ions.
SUSPECTS = [
    "COC(C)C(O)(C(=O)OCC1=CCN2CCC(O)C12)C(C)(C)O",
    "CC(C)(c1ccc(OCC2CO2)cc1)c1ccc(OCC2CO2)cc1",
    "Cc1cc(OC2CCCCC2=O)c2c3c(c(=O)oc2c1)CCC3",
    "CC(=CCC1=C(C)C(=O)c2ccccc2C1=O)CCCC(C)CCCC(C)CCCC(C)C",
    "Cc1cc(C(=O)N2CCC3CC(c4noc(C)n4)OC3C2)no1",
    "CC(CCl)OP(=O)(OC(C)CCl)OC(C)CCl",
    "CCCCCCCCCCCCCC(=O)OCC(COC(=O)CCCCCCCCCCCCC)OC(=O)CCCCCCCCCCCCC",
    "CCCCCCCCCCCCCCCC[N+](C)(C)C",
    "CCCCCCCCCC[N+](C)(C)CCCCCCCCCC",
    *(one.smiles for one in demo_molecules()),
]
PEAKS = [110.0713, 138.0662, 195.0877], [60.0, 100.0, 40.0]


@pytest.fixture(scope="module")
def model():
    return load_model("v0.2", root=REPOSITORY / "checkpoints", device="cpu")


@pytest.fixture(scope="module")
def suspects() -> ListedStructures:
    return ListedStructures.of(
        "suspects.smi", ((Candidate(smiles), parse_smiles(smiles)) for smiles in SUSPECTS)
    )


@pytest.fixture(scope="module")
def without_ions(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mzmine") / "features.mgf"
    path.write_text(re.sub(r"^ION=.*\n", "", MZMINE.read_text(), flags=re.M))
    return path


def rows_of(model, source, structures, adduct, **settings):
    (chunk,) = iter_chunks(source, Conditions(adduct), 100)
    result = search_chunk(model, structures, chunk, SearchSettings(**settings))
    return result.table.to_pylist(), result.left_out


def test_the_ions_that_mzmine_has_named_are_found_without_their_names(
    model, suspects, without_ions
):
    named = {record.spectrum.feature_id: record.spectrum for record in read_spectra(MZMINE).records}
    assert {"[M+Na]+", "[M+NH4]+", "[M]+", "[M+H]+"} == {s.adduct for s in named.values()}
    rows, left_out = rows_of(model, SpectraFile(without_ions), suspects, "auto")
    assert not left_out
    first = {row["feature_id"]: row for row in rows if row["rank"] == 1}
    assert {key: row["adduct"] for key, row in first.items()} == {
        key: spectrum.adduct for key, spectrum in named.items()
    }
    assert all(row["precursor_fits"] for row in rows)
    known, _ = rows_of(model, SpectraFile(MZMINE), suspects, "auto")
    for row in known:
        # What states its adduct keeps it.
        assert row["adduct"] == named[row["feature_id"]].adduct
        assert "considered" not in row["notes"]
    assert {row["feature_id"]: row["smiles"] for row in known if row["rank"] == 1} == {
        key: row["smiles"] for key, row in first.items()
    }


def test_confidences_of_all_adducts_together_add_up_to_one_and_follow_the_ranks(
    model, suspects, without_ions
):
    rows, _ = rows_of(model, SpectraFile(without_ions), suspects, "auto")
    for feature in {row["feature_id"] for row in rows}:
        its = [row for row in rows if row["feature_id"] == feature]
        assert sum(row["confidence"] for row in its) <= 1 + 1e-9
        for better, worse in pairwise(its):
            assert better["confidence"] >= worse["confidence"]
            assert better["score"] >= worse["score"]


def test_a_library_gives_the_structures_of_each_adducts_mass(library):
    opened, plain = LibraryStructures(library).opened(), open_library(library)
    spectrum = Spectrum(*PEAKS, precursor_mz=195.0877, adduct="[M+H]+,[M+Na]+,[M-H2O+H]+")
    expected = [
        smiles
        for adduct in spectrum.hypotheses
        for smiles in plain.of_precursor(195.0877, adduct).smiles.to_pylist()
    ]
    assert opened.candidates(spectrum, None, 10.0).smiles == expected
    assert len(set(opened.candidates(spectrum, None, 1e5).smiles)) == len(
        opened.candidates(spectrum, None, 1e5).smiles
    )


@pytest.mark.parametrize("adduct", ["auto", "[M+H]+,[M+Na]+,[M+NH4]+"])
def test_the_answers_of_a_search_are_those_of_infer(model, library, adduct):
    # Of carbaryl; sodiated phenacetin has its precursor, too.
    peaks = [110.06, 127.0542, 145.0648], [5.0, 30.0, 100.0]
    spectrum = Spectrum(*peaks, precursor_mz=202.0854)
    opened = LibraryStructures(library).opened()
    rows, _ = rows_of(model, TypedSpectrum(spectrum), opened, adduct)
    smiles = [row["smiles"] for row in rows]
    matches = infer(model, None, smiles, *peaks, adduct=adduct, precursor_mz=202.0854)
    assert {"[M+H]+", "[M+Na]+"} <= {row["adduct"] for row in rows}
    for row, match in zip(rows, matches.ranked(), strict=True):
        for name in ("smiles", "rank", "adduct", "score", "probability"):
            assert row[name] == getattr(match, name)
        # Added up in another order.
        assert row["confidence"] == pytest.approx(match.confidence, rel=1e-12)


def test_the_program_answers_as_python_does(model, without_ions, tmp_path):
    structures = tmp_path / "suspects.smi"
    structures.write_text("\n".join(SUSPECTS) + "\n")
    done = subprocess.run(
        [
            sys.executable, "predict.py", f"checkpoints_root={REPOSITORY / 'checkpoints'}",
            "version=v0.2", "device=cpu", "engine.workers=0",
            f"spectra={without_ions}", f"candidates={structures}",
            "adduct=[M+H]+,[M+Na]+,[M+NH4]+,[M]+", "format=json",
        ],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = {a["feature_id"]: a for a in map(json.loads, done.stdout.splitlines())}
    for record in read_spectra(without_ions).records:
        spectrum = record.spectrum
        told = answers[spectrum.feature_id]["candidates"]
        matches = infer(
            model, None, [row["smiles"] for row in told], spectrum.mzs, spectrum.intensities,
            adduct=["[M+H]+", "[M+Na]+", "[M+NH4]+", "[M]+"], precursor_mz=spectrum.precursor_mz,
        )  # fmt: skip
        for row, match in zip(told, matches.ranked(), strict=True):
            assert (row["smiles"], row["adduct"]) == (match.smiles, match.adduct)
            assert row["score"] == match.score
            assert len(told) == 1 or row["confidence"] == pytest.approx(match.confidence, rel=1e-12)


@pytest.mark.parametrize("ion", ["[M+?]+", "[M+H+2i]+"])
def test_an_ion_that_is_not_understood_is_unknown(model, suspects, tmp_path, ion):
    path = tmp_path / "features.mgf"
    path.write_text(re.sub("^ION=.*$", f"ION={ion}", MZMINE.read_text(), flags=re.M))
    rows, _ = rows_of(model, SpectraFile(path), suspects, "auto")
    assert {row["adduct"] for row in rows} == {"[M+H]+", "[M+Na]+", "[M+NH4]+", "[M]+"}
    # Its sign is kept.
    assert all("of 6 considered" in row["notes"] for row in rows)


def test_what_has_no_precursor_is_left_out_and_what_has_no_candidate_says_under_what(
    model, suspects, tmp_path
):
    path = tmp_path / "two.mgf"
    peaks = "110.0713 60\n138.0662 100\nEND IONS\n"
    path.write_text(f"BEGIN IONS\nTITLE=a\n{peaks}BEGIN IONS\nTITLE=b\nPEPMASS=51.5\n{peaks}")
    rows, left_out = rows_of(model, SpectraFile(path), suspects, "[M+H]+,[M+Na]+")
    assert not rows
    assert "no precursor m/z" in left_out[0].reason
    assert left_out[1].notes == "m/z 51.5000 as [M+H]+ or [M+Na]+"
    assert looked_up(Spectrum(*PEAKS, precursor_mz=51.5))[0].endswith("names another, or auto")
