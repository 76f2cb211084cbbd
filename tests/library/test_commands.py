"""python -m team5.library: what people type, and what they get back."""

import json
import subprocess
import sys

import pytest

from team5.cli.library import main


@pytest.fixture
def library(tmp_path, capsys):
    (tmp_path / "a.smi").write_text("OCC ethanol\nCCO\nCOC ether\nC1CC\n")
    assert main(["build", str(tmp_path / "a.smi"), str(tmp_path / "out"), "--workers", "0"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].startswith("2 structures in 1 part, ")
    assert "1  duplicates of other records" in printed
    assert f"{tmp_path / 'a.smi'}, line 4: SMILES 'C1CC': a ring is opened" in printed
    return tmp_path / "out"


def test_lookup_shows_what_is_behind_a_precursor(library, capsys):
    assert main(["lookup", str(library), "--mz", "47.0491", "--limit", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2 structures for [M+H]+ at m/z 47.0491, 10 ppm",
        "    46.04187  C2H6O           LCGLNKUTAGEVQW  COC  ether",
        "  ... 1 more; --limit 2 shows all.",
    ]
    arguments = ["lookup", str(library), "--mz", "47.0491", "--adduct", "[M+H]+", "--json"]
    assert main(arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["n"] == 2
    assert answer["structures"][1] == {
        "exact_mass": 46.041865, "formula": "C2H6O", "inchikey14": "LFQSCWFLJHTTHZ",
        "smiles": "CCO", "name": "ethanol",
    }  # fmt: skip


def test_info_tells_what_a_library_holds_and_whether_it_is_whole(library, capsys):
    assert main(["info", str(library), "--verify"]) == 0
    printed = capsys.readouterr().out
    assert "2 structures" in printed
    assert "every part matches its checksum" in printed
    assert main(["info", str(library), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["n_structures"], facts["n_records"], facts["n_merged"]) == (2, 4, 1)
    part = library / "part-00000.parquet"
    data = bytearray(part.read_bytes())
    data[10] ^= 1
    part.write_bytes(data)
    assert main(["info", str(library), "--verify"]) == 2
    assert "part-00000.parquet has SHA-256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lookup", "absent", "--mz", "100"], "DataFileNotFoundError: absent: no such folder"),
        (["build", "absent.smi", "out"], "DataFileNotFoundError: absent.smi: no such file"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_help_loads_neither_rdkit_nor_arrow():
    program = (
        "import sys\nfrom team5.cli.library import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(bool({'rdkit', 'pyarrow', 'numpy', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0
