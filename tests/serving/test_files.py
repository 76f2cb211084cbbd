"""Files that callers send, and structures they want drawn."""

import gzip
import json
import re
import zipfile
import zlib
from base64 import b64encode

import pytest

from team5.inference.inference import infer
from team5.search.ranking import rank_candidates
from team5.search.reading import numbered_records, read_candidates
from tests.serving.conftest import INTENSITIES, MZS, REPOSITORY, SMILES, TOLERANCE
from tests.serving.test_predict import same

FILES = REPOSITORY / "tests/files"
CANDIDATES = f"{SMILES} aspirin\nCC(=O)Nc1ccc(O)cc1\nC1CC broken\nCCO ethanol\n"


def lines_of(answer):
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.parametrize("name", ["massspecgym.mgf", "msdial.msp", "two_scans.mzML"])
def test_rankings_are_those_of_each_spectrum(name, server, model, tmp_path):
    structures = tmp_path / "candidates.smi"
    structures.write_text(CANDIDATES)
    left_out = []
    candidates = read_candidates(structures, report=left_out.append)
    expected = [
        rank_candidates(model, record.spectrum, candidates, report=left_out.append)
        for _, record in numbered_records(FILES / name, left_out.append)
    ]
    lines = lines_of(
        server.http.post(
            "/rank/file",
            files={"spectra": (name, (FILES / name).read_bytes()),
                   "candidates": ("candidates.smi", CANDIDATES)},
        )
    )  # fmt: skip
    rankings = [line for line in lines if "candidates" in line]
    assert len(rankings) == len(expected) > 0
    asked = server.http.post(
        "/spectra/read", files={"spectra": (name, (FILES / name).read_bytes())}
    )
    places = {one["identifier"]: one["place"] for one in asked.json()["spectra"]}
    for found, ranking in zip(rankings, expected, strict=True):
        assert found["place"] == places[ranking.identifier]
        assert found["place"].endswith(f"spectrum {found['spectrum']}")
        assert found["n_candidates"] == len(found["candidates"])
        for row, match in zip(found["candidates"], ranking.best_first, strict=True):
            kept = {name: row[name] for name in ("smiles", "rank", "score", "explained_intensity")}
            assert same(kept, {name: getattr(match, name) for name in kept}, TOLERANCE)
    said = sorted(line["left_out"] for line in lines if "left_out" in line)
    folders = str(tmp_path) + "/", str(FILES) + "/"
    assert said == sorted(text.replace(folders[0], "").replace(folders[1], "") for text in left_out)


def test_text_in_json_gives_the_same_as_a_form(server):
    text = (FILES / "massspecgym.mgf").read_text()
    sent = {"spectra": text, "spectra_name": "massspecgym.mgf", "candidates": CANDIDATES}
    as_json = lines_of(server.http.post("/rank/file", json=sent))
    files = {"spectra": ("massspecgym.mgf", text), "candidates": (None, CANDIDATES)}
    assert lines_of(server.http.post("/rank/file", files=files)) == as_json


def test_without_candidates_spectra_are_matched_with_their_own_structures(server):
    text = (FILES / "massspecgym.mgf").read_text()
    lines = lines_of(server.http.post("/rank/file", json={"spectra": text}))
    assert all(len(line["candidates"]) == 1 for line in lines if "candidates" in line)
    assert any("candidates" in line for line in lines)


def test_adduct_that_a_candidate_cannot_form_leaves_out_the_candidate(server):
    mgf = "BEGIN IONS\nTITLE=a\nPEPMASS=100\nADDUCT=[M-H2O+H]+\n50 1\n60 2\nEND IONS\n"
    lines = lines_of(
        server.http.post("/rank/file", json={"spectra": mgf, "candidates": "CCC\nCCO"})
    )
    assert [match["smiles"] for match in lines[-1]["candidates"]] == ["CCO"]
    assert "CCC" in lines[0]["left_out"]
    assert [line["place"] for line in lines] == ["spectra.txt, spectrum 1"] * 2


@pytest.mark.parametrize(("sent", "kind", "said"), [
    ({}, "ConfigError", "spectra is missing"),
    ({"spectra": 5}, "ConfigError", "must be the text"),
    ({"spectra": "BEGIN IONS", "tolerance": 3}, "ConfigError", "no key 'tolerance'"),
    ({"spectra": "hello"}, "DataError", "unknown format"),
    ({"spectra": ""}, "DataError", ""),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "C1CC"}, "DataError", "none of its 1"),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "CCO", "adduct": "x"},
     "AdductError", "adduct"),
    ({"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "CCO", "max_error": 7},
     "ConfigError", "max_error=7"),
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
