"""Every kind of input gives the same structures, and what is wrong is named by its place."""

import bz2
import gzip
import lzma
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rdkit import Chem

from team5.errors import ConfigError, DataError, DataFileNotFoundError
from team5.library.inputs import find_inputs, iter_chunks
from team5.library.standardise import standardise

SMILES = ["CCO", "CC(=O)O", "c1ccccc1[N+](=O)[O-]", "C[N+](C)(C)CCO", "[13CH3]C(N)=O"]
NAMES = ["ethanol", "acetic acid", "nitrobenzene", None, "labelled, once"]


def compress(data: bytes, ending: str) -> bytes:
    if ending == ".zst":
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(data)
        return sink.getvalue().to_pybytes()
    return {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, "": bytes}[ending](
        data
    )


def read(*paths: Path | str, size: int = 2):
    """Return rows as (SMILES, name), and what was left out as (reason, place)."""
    rows, dropped = [], []
    for chunk in iter_chunks(find_inputs(paths), size, trust_columns=False):
        table, left_out = standardise(chunk)
        rows += zip(table["smiles"].to_pylist(), table["name"].to_pylist(), strict=True)
        dropped += [
            (reason, example["place"].removeprefix(f"{chunk.source}, "))
            for reason, found in left_out.items()
            for example in found["examples"]
        ]
    return sorted(rows, key=str), dropped


EXPECTED = sorted(
    [
        (smiles, name)
        for smiles, name in zip(
            ["CCO", "CC(=O)O", "O=[N+]([O-])c1ccccc1", "C[N+](C)(C)CCO", "[13CH3]C(N)=O"],
            NAMES,
            strict=True,
        )
    ],
    key=str,
)


@pytest.mark.parametrize("ending", ["", ".gz", ".zst", ".bz2", ".xz"])
@pytest.mark.parametrize("kind", [".smi", ".csv", ".tsv", ".sdf"])
def test_all_kinds_and_compressions_give_the_same_structures(tmp_path, kind, ending):
    pairs = list(zip(SMILES, NAMES, strict=True))
    if kind == ".smi":
        text = "".join(f"{smiles}\t{name or ''}\n" for smiles, name in pairs)
    elif kind == ".sdf":
        blocks = []
        for smiles, name in pairs:
            mol = Chem.MolFromSmiles(smiles)
            mol.SetProp("_Name", name or "")
            blocks.append(f"{Chem.MolToMolBlock(mol)}>  <ID>\n12\n\n$$$$\n")
        text = "".join(blocks)
    else:
        separator = "," if kind == ".csv" else "\t"
        text = pl.DataFrame({"Name": NAMES, "SMILES": SMILES}).write_csv(separator=separator)
    path = tmp_path / f"a{kind}{ending}"
    path.write_bytes(compress(text.replace("\n", "\r\n").encode(), ending))
    assert read(path) == (EXPECTED, [])


def test_parquet_gives_the_same_structures(tmp_path):
    pl.DataFrame({"id": NAMES, "smiles": SMILES}).write_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == (EXPECTED, [])


def test_streams_of_several_members_are_read_to_their_end(tmp_path):
    for ending in (".gz", ".zst", ".bz2", ".xz"):
        path = tmp_path / f"a.smi{ending}"
        path.write_bytes(compress(b"CCO\n", ending) + compress(b"CCN\n", ending))
        assert read(path)[0] == [("CCN", None), ("CCO", None)]


def test_faults_are_named_by_line_row_and_record(tmp_path):
    (tmp_path / "a.csv").write_text('smiles,name\nCCO,"of two\nlines"\nCCN\n,x\nC(,y\n')
    assert read(tmp_path / "a.csv") == (
        [("CCO", "of two\nlines")],
        [
            ("another number of columns than the header", "line 4"),
            ("no structure", "line 5"),
            ("structure not understood", "line 6"),
        ],
    )
    pl.DataFrame({"smiles": ["CCO", None, "C("]}).write_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet")[1] == [
        ("no structure", "row 2"), ("structure not understood", "row 3"),
    ]  # fmt: skip
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"))
    (tmp_path / "a.sdf").write_text(
        f"{block}$$$$\nbad\n\n\nnothing\nM  END\n$$$$\ncut\n$$$$\n{block}"
    )
    assert read(tmp_path / "a.sdf") == (
        [("CCO", None), ("CCO", None)],
        [("molblock not understood", "record 2"), ("no line 'M  END'", "record 3")],
    )


@pytest.mark.parametrize("ending", [".gz", ".zst", ".bz2", ".xz"])
def test_a_file_that_was_cut_off_is_an_error(tmp_path, ending):
    path = tmp_path / f"a.smi{ending}"
    data = compress("".join(f"{'C' * (n % 60 + 1)}O {n}\n" for n in range(3000)).encode(), ending)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"a\.smi.*(damaged|cut off)"):
        list(iter_chunks(find_inputs([path]), 100, trust_columns=False))


def test_a_parquet_file_that_is_none_and_a_table_without_smiles_are_errors(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 or not")
    with pytest.raises(DataError, match=r"a\.parquet: damaged"):
        read(tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("structure\nCCO\n")
    with pytest.raises(DataError, match="no column smiles or inchi; there are structure"):
        read(tmp_path / "b.csv")


def test_folders_are_read_by_name_and_unknown_files_refused(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("b.smi", "a.smi.gz", "c.csv", "README.md"):
        (tmp_path / "in" / name).touch()
    found = [Path(source.path).name for source in find_inputs([tmp_path / "in"])]
    assert found == ["a.smi.gz", "b.smi", "c.csv"]
    with pytest.raises(DataError, match="kind not known by its ending"):
        find_inputs([tmp_path / "in/README.md"])
    with pytest.raises(DataFileNotFoundError, match="no such file"):
        find_inputs([tmp_path / "absent.smi"])
    with pytest.raises(ConfigError, match="given twice"):
        find_inputs([tmp_path / "in", tmp_path / "in/b.smi"])


def test_inputs_are_read_from_object_storage():
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    files.pipe("/inputs/a.smi.gz", gzip.compress(b"CCO one\n"))
    files.pipe("/inputs/b.csv", b"smiles\nCCN\n")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"smiles": ["CCC"]}), sink)
    files.pipe("/inputs/c.parquet", sink.getvalue().to_pybytes())
    assert read("memory://inputs")[0] == [("CCC", None), ("CCN", None), ("CCO", "one")]
