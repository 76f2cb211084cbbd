"""What predict.py asks the library for; a stand-in answers, which only notes what it was asked."""

import importlib.util
import json
import runpy
import sys
import types
from pathlib import Path

import pytest

from team5.chemistry.molecule import parse_smiles
from team5.errors import SpectrumError, VersionNotFoundError
from team5.inference.results import Match, Simulation

REPOSITORY = Path(__file__).resolve().parents[2]


def a_match(smiles: str, rank: int | None = None) -> Match:
    return Match(
        smiles, 0.7, True, 0.5, rank, -1.0, 0.8, (), (), "C2H6O", "[M+H]+", 47.0491, None,
        None, "v0.1", "0123456789ab", (),
    )  # fmt: skip


class Library:
    """Stands in for `team5.inference.inference`."""

    def __init__(self) -> None:
        self.loaded: dict = {}
        self.asked: list[tuple] = []

    def load_model(self, version=None, **options):
        self.loaded = {"version": version, **options}
        if version == "v9.9":
            raise VersionNotFoundError('no version "v9.9" in checkpoints/; closest: v0.1.')
        encodings = types.SimpleNamespace(parse=parse_smiles)
        return types.SimpleNamespace(tokenizer="tokenizer", encodings=encodings)

    def infer(self, model, tokenizer, smiles, mzs=None, intensities=None, *, spectra=None, **how):
        self.asked.append((smiles, mzs, intensities, how))
        if (mzs is None) != (intensities is None):
            raise SpectrumError("2 m/z values but 0 intensities. Give every peak both.")
        if mzs is None and spectra is None:
            return Simulation(
                smiles, (47.0,), (1.0,), ("C2H7O+",), "C2H6O", "[M+H]+", 47.0491, None, "v0.1", "",
                (),
            )  # fmt: skip
        if isinstance(smiles, str):
            return a_match(smiles)
        return [a_match(text, rank) for rank, text in enumerate(smiles, start=1)]


@pytest.fixture
def library(monkeypatch) -> Library:
    library = Library()
    monkeypatch.setitem(sys.modules, "team5.inference.inference", library)
    return library


@pytest.fixture
def predict(monkeypatch, library):
    spec = importlib.util.spec_from_file_location("predict_program", REPOSITORY / "predict.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)

    def call(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["predict.py", *words])
        return module.main()

    return call


PEAKS = ("mzs=[29.0,47.0]", "intensities=[40,100]")


def test_one_structure_and_a_spectrum_are_matched(predict, library, capsys):
    assert predict("smiles=C=C", *PEAKS, "format=json") == 0
    assert json.loads(capsys.readouterr().out) == a_match("C=C").to_dict()
    ((smiles, mzs, intensities, _),) = library.asked
    assert (smiles, mzs, intensities) == ("C=C", [29.0, 47.0], [40.0, 100.0])


def test_several_structures_and_a_spectrum_are_ranked_in_the_order_given(predict, capsys):
    assert predict("smiles=[CCO,C=C]", *PEAKS, "format=json") == 0
    assert [match["smiles"] for match in json.loads(capsys.readouterr().out)] == ["CCO", "C=C"]


def test_structure_alone_is_simulated(predict, library, capsys):
    assert predict("smiles=CCO") == 0
    assert "predicted spectrum" in capsys.readouterr().out
    assert library.asked[0][:3] == ("CCO", None, None)


def test_settings_reach_the_library_as_typed(predict, library):
    assert (
        predict(
            "smiles=CCO",
            "version=v0.10",
            "device=cuda:1",
            "checkpoints_root=my models (1)",
            "verify=false",
            "adduct=[M+Na]+",
            "collision_energy=35 % (nominal)",
            "precursor_mz=69.03",
            "instrument_type=LC-ESI-QTOF",
        )
        == 0
    )
    assert library.loaded == {
        "version": "v0.10",
        "device": "cuda:1",
        "root": "my models (1)",
        "verify": False,
        "allow": [],
    }
    assert library.asked[0][3] == {
        "adduct": "[M+Na]+",
        "collision_energy": "35 % (nominal)",
        "precursor_mz": 69.03,
        "instrument_type": "LC-ESI-QTOF",
        "max_error": None,
        "references": None,
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no query given"),
        (("spectra=a.mgf", "smiles=CCO"), "spectra= is for a file, smiles for one"),
        (("spectra=a.mgf", "candidates=a.smi", *PEAKS), "intensities, mzs for one"),
        (("smiles=CCO", "candidates=a.smi"), "both name structures"),
        (("candidates=a.smi",), "candidates= needs a spectrum"),
        (("smiles=CCO", "format=xml"), "format=xml: choose text or json"),
        (("smiles=CCO", "top=0"), "top=0: give the number of rows"),
        (("smiles=CCO", "top=many"), "top=many: give the number of rows"),
        (("smiles=CCO", "verify=maybe"), "verify=maybe: choose true or false"),
        (("smiles=CCO", "output=a.xls"), "Choose one of .json, .jsonl, .csv, .tsv, .xlsx"),
        (("smiles=CCO", "output=nowhere/a.csv"), "there is no folder nowhere"),
    ],
)
def test_wrong_call_is_told_in_one_line_before_a_model_is_loaded(
    predict, library, capsys, words, said
):
    assert predict(*words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("ConfigError: ")
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not library.loaded


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("smiles=CCO", "version=v9.9"), 'VersionNotFoundError: no version "v9.9"'),
        (("smiles=CCO", "mzs=[1,2]"), "SpectrumError: 2 m/z values but 0 intensities"),
    ],
)
def test_what_the_library_refuses_is_said_in_its_words(predict, capsys, words, said):
    assert predict(*words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(said)
    assert printed.err.count("\n") == 1


@pytest.fixture
def search(monkeypatch):
    """Call predict.py with the small version of the tests and nothing replaced."""

    def call(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["predict.py", *words, *SMALL])
        with pytest.raises(SystemExit) as exited:
            runpy.run_path(str(REPOSITORY / "predict.py"), run_name="__main__")
        return exited.value.code

    return call


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    spectrum = "BEGIN IONS\nTITLE={}\nPEPMASS=47.0491\n{}\n47.0491 100\nEND IONS\n"
    empty = "BEGIN IONS\nTITLE=empty\nPEPMASS=47.0491\nEND IONS\n"
    (tmp_path / "queries.mgf").write_text(
        spectrum.format("a", "CHARGE=1+") + empty + spectrum.format("c", "CHARGE=1+")
    )
    (tmp_path / "library.mgf").write_text(spectrum.format("a", "SMILES=CCO"))
    (tmp_path / "structures.smi").write_text("CCO ethanol\nnonsense\nOCC\nC=C\n")
    return tmp_path


SMALL = (f"checkpoints_root={REPOSITORY / 'tests/files/checkpoints'}",)


def test_files_are_ranked_and_what_was_left_out_is_told_on_stderr(search, files, capsys):
    assert search("spectra=queries.mgf", "candidates=structures.smi", "output=a.csv") == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "structures.smi, line 2" in printed.err
    assert printed.err.endswith("2 of 3 spectra answered, 1 left out, 4 rows written to a.csv.\n")
    rows = (files / "a.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 2
    left_out = (files / "a.csv.left_out.csv").read_text("utf-8-sig").splitlines()
    assert left_out[1].startswith(',"structures.smi, line 2",')
    assert left_out[2] == '2,,no peaks,"spectrum 2, line 7",'


def test_file_of_structures_is_ranked_for_one_spectrum(search, files, capsys):
    assert search("candidates=structures.smi", *PEAKS, "format=json") == 0
    answer = json.loads(capsys.readouterr().out)
    # Without a precursor all could be behind the spectrum.
    assert {each["smiles"] for each in answer["candidates"]} == {"CCO", "OCC", "C=C"}
    assert [each["rank"] for each in answer["candidates"]] == [1, 2, 3]


def test_what_was_odd_in_a_spectrum_stands_beside_why_it_has_no_answer(search, files, capsys):
    mgf = "BEGIN IONS\nTITLE=a\nPEPMASS=99\nADDUCT=[M+Xyz]+\n50 1\nEND IONS\n"
    (files / "odd.mgf").write_text(mgf)
    odd = "adduct '[M+Xyz]+' is not understood and left out"
    assert search("spectra=odd.mgf", "candidates=structures.smi") == 1
    assert f"; {odd}). Left out." in capsys.readouterr().err
    assert search("spectra=odd.mgf", "candidates=structures.smi", "output=b.csv") == 1
    assert odd in (files / "b.csv.left_out.csv").read_text()


def test_the_demo_library_is_there_at_once(search, files, capsys):
    typed = ("mzs=[138.0662,110.0713]", "intensities=[60,20]", "precursor_mz=195.0877")
    assert search("library=demo", *typed, "format=json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert {each["name"] for each in answer["candidates"]} == {"caffeine", "isocaffeine"}


def test_spectra_of_a_library_are_matched_with_their_structures(search, files, capsys):
    assert search("spectra=library.mgf", "format=json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["identifier"], answer["candidates"][0]["smiles"]) == ("a", "CCO")


GROUPED = "\n".join(
    f"BEGIN IONS\nFEATURE_ID={feature}\nMSLEVEL={level}\nPEPMASS=47.0491\n29.0386 1\nEND IONS\n"
    for feature in "ab"
    for level in (1, 2, 2)
)


@pytest.mark.parametrize(
    ("output", "group_by"), [([], "auto"), ([], "null"), (["output=a.csv"], "auto")]
)
def test_spectra_are_counted_whether_they_are_judged_together_or_not(
    search, files, capsys, output, group_by
):
    (files / "grouped.mgf").write_text(GROUPED)
    words = ("spectra=grouped.mgf", "candidates=structures.smi", f"group_by={group_by}")
    assert search(*words, *output) == 0
    told = capsys.readouterr().err
    assert "4 of 6 spectra answered, 2 left out" in told
    assert "MS1 spectrum, not MS2" in told


def test_only_columns_that_are_shown_are_explained(search, files, capsys):
    words = (*PEAKS, "precursor_mz=47.0491")
    for smiles, columns in (("CCO", {"probability"}), ("CCO\nCOC", {"confidence"})):
        (files / "few.smi").write_text(smiles)
        assert search("candidates=few.smi", *words) == 0
        table, _, words_of_columns = capsys.readouterr().out.rpartition("\n\n")
        explained = {line.split(":")[0].strip() for line in words_of_columns.splitlines()}
        assert explained == {*columns, "score", "explained"}
        assert all(name in table for name in explained)


def test_a_file_without_spectra_is_an_error(search, files, capsys):
    (files / "empty.mgf").write_text("# nothing\n")
    assert search("spectra=empty.mgf", "candidates=structures.smi") == 2
    assert "empty.mgf: no spectra in this file" in capsys.readouterr().err


def test_nothing_answered_is_a_failed_run(search, files, capsys):
    assert search("spectra=queries.mgf", "output=a.json") == 1
    assert capsys.readouterr().err.endswith("0 of 3 spectra answered, 3 left out.\n")
    assert json.loads((files / "a.json").read_text()) == []


def test_missing_file_is_named(predict, files, capsys):
    assert predict("spectra=none.mgf", "candidates=structures.smi") == 2
    assert "none.mgf: no such file" in capsys.readouterr().err.splitlines()[-1]


def test_output_never_replaces_its_own_input(predict, files, capsys):
    table = files / "spectra.csv"
    table.write_text("mzs,intensities,smiles\n47.0,1.0,CCO\n")
    before = table.read_text()
    assert predict("spectra=spectra.csv", "output=spectra.csv") == 2
    assert table.read_text() == before
    assert "read from" in capsys.readouterr().err


def test_help_opens_with_examples(predict, capsys):
    assert predict("--help") == 0
    printed = capsys.readouterr().out
    assert printed.index("python predict.py smiles=") < printed.index("version: null")
