"""Lists of structures in the shapes of databases and spreadsheets are read by what they hold."""

import contextlib
import gzip
import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rdkit import Chem

from team5.chemistry.molecule import parse_smiles
from team5.chemistry.notation import to_smiles
from team5.data.readers.structures import (
    StructureRecord,
    UnusableRecord,
    iter_structures,
)
from team5.errors import DataError, DataFileNotFoundError, MoleculeError

FILES = Path(__file__).parents[1] / "files/structures"
CAFFEINE = "Cn1c(=O)c2c(ncn2C)n(C)c1=O"
CAFFEINE_INCHI = "InChI=1S/C8H10N4O2/c1-10-4-9-6-5(10)7(13)12(3)8(14)11(6)2/h4H,1-3H3"


def read(path):
    """Return (canonical SMILES, name, other columns) of each record."""
    return [
        (parse_smiles(to_smiles(record.text)).canonical_smiles, record.name, dict(record.columns))
        for record in iter_structures(path)
    ]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("coconut.csv", ("caffeine", {"identifier": "CNP0001", "molecular_formula": "C8H10N4O2"})),
        ("comptox.csv", ("Caffeine", {"DTXSID": "DTXSID0020232", "CASRN": "58-08-2"})),
        (
            "pubchemlite.csv",
            (
                "Caffeine",
                {
                    "Identifier": "2519",
                    "FirstBlock": "RYYVLZVUVIJVGH",
                    "MonoisotopicMass": "194.08",
                },
            ),
        ),
        (
            "susdat.csv",
            (
                "Caffeine",
                {"Norman_SusDat_ID": "NS1", "CAS_RN": "58-08-2", "StdInChIKey": "RYYV"},
            ),
        ),
        ("hmdb.sdf", ("Caffeine", {"DATABASE_ID": "HMDB0001847"})),
        ("CID-SMILES.gz", ("2519", {})),
        ("semicolon.csv", ("caffeine", {"formula": "C8H10N4O2"})),
    ],
)
def test_lists_of_databases_are_read_with_names_and_other_columns(name, expected):
    assert read(FILES / name)[0] == (CAFFEINE, *expected)


def test_every_record_of_a_database_is_read():
    assert [name for _, name, _ in read(FILES / "hmdb.sdf")] == ["Caffeine", "Aspirin"]
    assert [(s, n) for s, n, _ in read(FILES / "CID-SMILES-short.gz")] == [
        ("O", "962"), ("CCO", "702"),
    ]  # fmt: skip


def test_the_csv_of_spreadsheets_keeps_its_own_columns():
    records = list(iter_structures(FILES / "suspects_excel.csv"))
    assert records[1] == StructureRecord(
        3, "CCOc1ccc(C=Nn2cnnc2)cc1", "suspect 979",
        {"Formula": "C11H12N4O", "CAS": "51-00-1", "My comment": 'seen in "plant, A"',
         "Priority": "1"},
    )  # fmt: skip
    assert records[0].columns["My comment"] is None


@pytest.mark.parametrize(
    "header",
    [
        "Identifier|MonoisotopicMass|MolecularFormula|SMILES|CompoundName",
        "structure_wikidata\tstructure_inchi\tstructure_smiles\tstructure_nameTraditional",
        "Name;Kommentar;InChI",
        "name\tStdInChI",
        "sep=;\nName;SMILES",
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".txt", ".data"])
def test_tables_are_told_by_their_header_whatever_separates_them(tmp_path, header, ending):
    delimiter = next(each for each in "|\t;" if each in header)
    cells = [
        CAFFEINE if name.casefold().endswith("smiles")
        else CAFFEINE_INCHI if name.casefold().endswith("inchi")
        else "caffeine" if "name" in name.casefold()
        else "x"
        for name in header.split("\n")[-1].split(delimiter)
    ]  # fmt: skip
    path = write(tmp_path / f"a{ending}", f"{header}\n{delimiter.join(cells)}\n")
    assert [(smiles, name) for smiles, name, _ in read(path)] == [(CAFFEINE, "caffeine")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CCO ethyl alcohol\nO water\n", [("CCO", "ethyl alcohol"), ("O", "water")]),
        ("CCO\tethanol\t64-17-5\nO\n", [("CCO", "ethanol\t64-17-5"), ("O", None)]),
        ("702\tCCO\n962\tO\n", [("CCO", "702"), ("O", "962")]),
        ("CNP0001\tCCO\nCNP0002\tO\n", [("CCO", "CNP0001"), ("O", "CNP0002")]),
        ("cid smiles\n702 CCO\n", [("CCO", "702")]),
        ("Canonical SMILES\nCCO\n", [("CCO", None)]),
        (f"{CAFFEINE_INCHI} caffeine\n", [(CAFFEINE, "caffeine")]),
        (f"2519\t{CAFFEINE_INCHI}\tRYYVLZVUVIJVGH-UHFFFAOYSA-N\n", [(CAFFEINE, "2519")]),
    ],
)
def test_lines_hold_structure_and_name_in_either_order(tmp_path, text, expected):
    path = write(tmp_path / "a.txt", text)
    assert [(smiles, name) for smiles, name, _ in read(path)] == expected


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.encode("latin-1"),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
    ],
)
@pytest.mark.parametrize("text", ["SMILES;Name\nCCO;Äthanol\n", "CCO Äthanol\n"])
def test_text_is_decoded_as_it_was_written(tmp_path, encode, text):
    assert [(s, n) for s, n, _ in read(write(tmp_path / "a.txt", encode(text)))] == [
        ("CCO", "Äthanol")
    ]


def zipped(data: bytes, *names: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, data)
    return sink.getvalue()


def test_packed_lists_are_read_by_content(tmp_path):
    for name in ("coconut.csv", "hmdb.sdf"):
        plain = (FILES / name).read_bytes()
        packed = {".gz": gzip.compress(plain), ".zip": zipped(plain, "folder/", f"folder/{name}")}
        for ending, data in packed.items():
            assert read(write(tmp_path / f"{name}{ending}", data)) == read(FILES / name)
    table = pa.table({"smiles": ["CCO"], "n": [7]})
    pq.write_table(table, tmp_path / "a.parquet")
    packed = write(tmp_path / "a.gz", gzip.compress((tmp_path / "a.parquet").read_bytes()))
    assert read(packed) == read(tmp_path / "a.parquet") == [("CCO", None, {"n": 7})]


def test_what_packs_several_files_or_a_workbook_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a .zip of 2 files \(a.smi, b.smi\)"):
        read(write(tmp_path / "a.zip", zipped(b"CCO\n", "a.smi", "b.smi")))
    workbook = zipped(b"", "[Content_Types].xml", "xl/workbook.xml")
    with pytest.raises(DataError, match=r"a workbook of Excel\. Save its sheet as CSV"):
        read(write(tmp_path / "a.xlsx", workbook))
    with pytest.raises(DataError, match="damaged, cut off"):
        read(write(tmp_path / "b.gz", gzip.compress(b"CCO\n" * 1000)[:-20]))


def test_records_without_structure_are_told_with_their_place(tmp_path):
    path = write(tmp_path / "a.csv", "# a comment\n\nname;smiles;InChI\nx;;\ny;C;\nz;C\n")
    assert list(iter_structures(path)) == [
        UnusableRecord(4, "no_structure", "x"),
        StructureRecord(5, "C", "y", {"InChI": None}),
        UnusableRecord(6, "wrong_number_of_columns", "z;C"),
    ]


def test_atoms_left_out_of_an_sdf_are_taken_from_its_tags(tmp_path):
    path = write(
        tmp_path / "a.sdf",
        "\n  none\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n"
        f"> <INCHI>\n{CAFFEINE_INCHI}\n\n> <coconut_id>\nCNP0001\n\n> <note>\none\ntwo\n\n$$$$\n",
    )
    assert read(path) == [
        (CAFFEINE, "CNP0001", {"INCHI": CAFFEINE_INCHI, "note": "one\ntwo"}),
    ]


def test_titles_name_molblocks_where_no_tag_does(tmp_path):
    mol = Chem.MolFromSmiles("CCO")
    mol.SetProp("_Name", "702")
    block = Chem.MolToMolBlock(mol)
    path = write(tmp_path / "a.data", f"{block}$$$$\n{block}> <GENERIC_NAME>\nethanol\n\n$$$$\n")
    assert [name for _, name, _ in read(path)] == ["702", "ethanol"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "structure,name\nCCO,ethanol\n", "there are structure, name"),
        ("a.tsv", "a\tb\nx\ty\n", "no column smiles or inchi"),
        ("a.txt", "BEGIN IONS\nPEPMASS=100\n100 1\nEND IONS\n", "no list of structures"),
        ("a.txt", "Dear all, hello\n\nRead!\n", "its columns begin 'Dear, all, hello'"),
        ("a.smi", "1\t2\n3\t4\n", "no list of structures; its columns begin '1, 2'"),
    ],
)
def test_a_file_that_is_no_list_is_one_error_that_shows_its_columns(
    tmp_path, name, content, message
):
    with pytest.raises(DataError, match=message) as raised:
        list(iter_structures(write(tmp_path / name, content)))
    assert str(tmp_path / name) in str(raised.value)
    assert raised.value.code in ("no_structure_list", "no_structure_column")


SEEDS = [path.read_bytes() for path in sorted(FILES.iterdir())]


@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 40), st.binary(max_size=40))),
    ending=st.sampled_from([".csv", ".smi", ".sdf", ".gz", ""]),
)
@example(b"name" + b"x" * 200_000 + b"\n", [], "")
@example(b"smiles\0,a\n\0\n", [], ".csv")
def test_a_list_of_any_bytes_gives_records_or_one_error(tmp_path_factory, seed, edits, ending):
    for at, n_removed, added in edits:
        seed = seed[:at] + added + seed[at + n_removed :]
    path = write(tmp_path_factory.mktemp("any") / f"a{ending}", seed)
    with contextlib.suppress(DataError):
        for record in iter_structures(path):
            assert isinstance(record, StructureRecord | UnusableRecord)


def test_absent_files_and_folders_are_named(tmp_path):
    with pytest.raises(DataFileNotFoundError, match="no such file"):
        list(iter_structures(tmp_path / "absent.smi"))
    with pytest.raises(DataError, match="a folder"):
        list(iter_structures(tmp_path))


def test_only_the_columns_wanted_are_read(tmp_path):
    path = write(tmp_path / "a.csv", "SMILES,Fold,Note\nCCO,train,x\n")
    assert next(iter_structures(path, ("fold",))).columns == {"fold": "train"}
    assert next(iter_structures(path, ())).columns == {}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("InChI=1S/nonsense", "structure_invalid"),
        ("\n\n\nnothing\nM  END\n", "molblock_not_understood"),
    ],
)
def test_notations_that_are_not_understood_are_errors(text, code):
    with pytest.raises(MoleculeError, match="not understood") as raised:
        to_smiles(text)
    assert raised.value.code == code
