"""Files that callers send, and structures they want drawn."""

import gzip
import json
import re
import zipfile
import zlib
from base64 import b64encode

import pytest

from team5.inference.inference import infer
from tests.serving.conftest import INTENSITIES, MZS, REPOSITORY, SMILES, lines_of

FILES = REPOSITORY / "tests/files"
CANDIDATES = f"{SMILES} aspirin\nCC(=O)Nc1ccc(O)cc1\nC1CC broken\nCCO ethanol\n"


def test_text_in_json_gives_the_same_as_a_form(server):
    text = (FILES / "massspecgym.mgf").read_text()
    sent = {"spectra": text, "spectra_name": "massspecgym.mgf", "candidates": CANDIDATES}
    as_json = lines_of(server.http.post("/rank/file", json=sent))
    files = {"spectra": ("massspecgym.mgf", text), "candidates": (None, CANDIDATES)}
    assert lines_of(server.http.post("/rank/file", files=files)) == as_json


@pytest.mark.parametrize(("sent", "kind", "said"), [
    ({}, "ConfigError", "spectra is missing"),
    ({"spectra": 5}, "ConfigError", "must be the text"),
    ({"spectra": "BEGIN IONS", "tolerance": 3}, "ConfigError", "no key 'tolerance'"),
    ({"spectra": "hello"}, "DataError", "unknown format"),
    ({"spectra": ""}, "DataError", ""),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "C1CC"}, "DataError", "none of its 1"),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "CCO", "adduct": "x"},
     "AdductError", "adduct"),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "CCO", "adduct": ["[M+H]+", 5]},
     "AdductError", "adduct '5' is not understood"),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "CCO", "max_error": 7},
     "ConfigError", "max_error=7"),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "CCO", "ppm": -1},
     "ConfigError", "ppm=-1"),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "CCO", "ppm": "wide"},
     "ConfigError", "ppm='wide' is not a number"),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "CCO", "keep": 0},
     "ConfigError", "keep=0"),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "CCO", "keep": 1.5},
     "ConfigError", "keep=1.5"),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "CCO", "group_by": "SCANS"},
     "ConfigError", "choose auto or FEATURE_ID"),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "CCO", "library": "demo"},
     "ConfigError", "both name structures"),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "library": "../../etc"},
     "ConfigError", "choose demo or small"),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "C\n" * 10_001},
     "ConfigError", "10,001 candidates"),
    ({"spectra": "\ud800"}, "DataError", ""),
])  # fmt: skip
def test_files_that_cannot_be_used(server, sent, kind, said):
    answer = server.http.post("/rank/file", content=json.dumps(sent))
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] == kind
    assert said in answer.json()["error"]["message"]
    assert "/tmp" not in answer.text


def mzml(array: bytes, head: str = "") -> bytes:
    text = (FILES / "two_scans.mzML").read_text()
    whole = re.sub(r"<binary>.*?</binary>", f"<binary>{array.decode()}</binary>", text, flags=re.S)
    return whole.replace("?>", f"?>{head}", 1).encode()


@pytest.mark.parametrize(("name", "content"), [
    ("packed_twice.mgf.gz", gzip.compress(gzip.compress(b"BEGIN IONS\n", mtime=0), mtime=0)),
    ("bomb.mgf.gz", gzip.compress(bytes(50_000_000), mtime=0)),
    ("packed.zip", b"PK\x03\x04rest"),
    ("table.parquet", b"PAR1rest"),
    ("nulls.mgf", b"BEGIN IONS\0"),
    ("entities.mzML", mzml(b"AAAA", '<!DOCTYPE x [<!ENTITY a "b">]>')),
    ("files.mzML", mzml(b"AAAA", '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>')),
    ("utf7.mzML", b'<?xml version="1.0" encoding="utf-7"?><mzML/>'),
    ("utf16.mzML", '<?xml version="1.0" encoding="utf-16"?><mzML/>'.encode("utf-16")),
    ("unfinished.mzML", (FILES / "two_scans.mzML").read_bytes()[:1500]),
    ("../../etc/passwd", b"root:x:0:0"),
    ("", b""),
])  # fmt: skip
def test_files_that_unfold_or_point_elsewhere_are_refused(server, name, content):
    answer = server.http.post("/spectra/read", files={"spectra": (name, content)})
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] in ("DataError", "ConfigError")
    assert "/tmp" not in answer.text


def test_packed_files_are_read_as_they_are_unpacked_and_notes_are_said(server, tmp_path):
    text = "BEGIN IONS\nTITLE=a\nPEPMASS=181.0496\nADDUCT=[M+H]+\nCHARGE=1-\n121.028 9\nEND IONS\n"
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("folder/a.mgf", text)
    candidates = ("list.smi.gz", gzip.compress(CANDIDATES.encode()))
    note = "charge 1- contradicts [M+H]+, which is taken"
    for name, content in {
        "a.mgf": text.encode(),
        "a.mgf.gz": gzip.compress(text.encode()),
        "packed.zip": packed.read_bytes(),
        "wide.mgf": text.encode("utf-16"),
    }.items():
        read = server.http.post("/spectra/read", files={"spectra": (name, content)}).json()
        assert [one["notes"] for one in read["spectra"]] == [[note]]
        files = {"spectra": (name, content), "candidates": candidates}
        ranked = lines_of(server.http.post("/rank/file", files=files))[-1]
        assert ranked["candidates"]
        assert all(note in row["notes"] for row in ranked["candidates"])


@pytest.mark.slow
def test_array_that_unfolds_to_gigabytes_ends_with_an_error_and_nothing_else(server):
    bomb = zlib.compressobj(9)
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(4000)) + bomb.flush()
    content = mzml(b64encode(packed)).replace(b"no compression", b"zlib compression")
    content = content.replace(b"MS:1000576", b"MS:1000574")
    answer = server.http.post("/spectra/read", files={"spectra": ("bomb.mzML", content)})
    assert answer.status_code in (413, 422)
    assert server.http.post("/predict", json={"smiles": "CCO"}).status_code == 200
    good = (FILES / "two_scans.mzML").read_bytes()
    answer = server.http.post("/spectra/read", files={"spectra": ("two.mzML", good)})
    assert answer.status_code == 200


@pytest.mark.parametrize("content", [
    b"", b"--x", b"--x\r\n\r\n", b"--x--\r\n",
    b"--x\r\nContent-Disposition: form-data\r\n\r\nC\r\n--x--",
    b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\n", b"\xff" * 1000,
])  # fmt: skip
def test_form_that_is_none(server, content):
    for kind in (
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "multipart/form-data; boundary=",
    ):
        answer = server.http.post("/spectra/read", content=content, headers={"content-type": kind})
        assert answer.status_code == 422
        assert answer.json()["error"]["type"] == "ConfigError"


def test_spectra_are_read(server):
    text = (FILES / "massspecgym.mgf").read_text()
    answer = server.http.post("/spectra/read", json={"spectra": text}).json()
    first = answer["spectra"][0]
    assert first["identifier"] == "MassSpecGymID9000001"
    assert len(first["mzs"]) == len(first["intensities"]) > 0
    assert max(first["intensities"]) == 1
    matched = server.http.post(
        "/predict",
        json={"smiles": first["smiles"], "spectra": [
            {key: first[key] for key in ("mzs", "intensities", "adduct", "collision_energy")}]},
    )  # fmt: skip
    assert matched.status_code == 200


def classes(svg: str) -> set[str]:
    return {name for found in re.findall(r"class='([^']*)'", svg) for name in found.split()}


@pytest.mark.parametrize("smiles", [SMILES, "[Na+].CC(=O)[O-]", "[H]OC", "C", "F/C=C/F"])
def test_drawing_has_every_atom_and_bond(server, smiles):
    from rdkit import Chem

    params = Chem.SmilesParserParams()
    params.removeHs = False
    mol = Chem.MolFromSmiles(smiles, params)
    answer = server.http.post("/draw", json={"smiles": smiles})
    assert answer.headers["content-type"] == "image/svg+xml"
    wanted = {f"atom-{i}" for i in range(mol.GetNumAtoms())}
    wanted |= {f"bond-{i}" for i in range(mol.GetNumBonds())}
    assert wanted <= classes(answer.text)


def test_atoms_of_explained_peaks_can_be_coloured(server, model):
    plain = server.http.post("/draw", json={"smiles": SMILES}).text
    for peak in infer(model, None, SMILES, MZS, INTENSITIES).peaks:
        drawing = {"smiles": SMILES, "atoms": peak.atoms, "bonds": peak.broken_bonds}
        answer = server.http.post("/draw", json=drawing)
        assert answer.status_code == 200
        assert answer.text != plain


@pytest.mark.parametrize("drawing", [
    {}, [], {"smiles": 5}, {"smiles": "C1"}, {"smiles": "CCO", "atoms": [3]},
    {"smiles": "CCO", "atoms": [-1]}, {"smiles": "CCO", "bonds": [[0, 2]]},
    {"smiles": "CCO", "bonds": [[0]]}, {"smiles": "CCO", "atoms": "0"}, {"smiles": "CCO", "x": 1},
    {"smiles": "CCO", "width": 1e9}, {"smiles": "CCO", "height": 10}, {"smiles": "C" * 3000},
    {"smiles": "CCO", "atoms": [2**40]},
])  # fmt: skip
def test_drawing_that_cannot_be_made(server, drawing):
    answer = server.http.post("/draw", json=drawing)
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] in ("ConfigError", "MoleculeError")
