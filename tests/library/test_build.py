"""Libraries are whole or absent, the same however they are built, and go on after a crash."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from team5.chemistry.molecule import parse_smiles
from team5.data.readers.structures import StructureRecord
from team5.errors import ConfigError, DataError, DataFileNotFoundError, StorageError
from team5.library.build import build_library
from team5.library.inputs import Chunk
from team5.library.library import open_library
from team5.library.sorting import PartSizes
from team5.library.standardise import standardise
from tests.library.structures import many_smiles

SMALL = PartSizes(per_group=16, per_part=48)


def write_smiles(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def build(inputs, output, **options):
    options = {"n_workers": 0, "sizes": SMALL, "records_per_chunk": 30, **options}
    return build_library(inputs, output, **options)


def contents(library: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(library.glob("*.parquet"))}


def rows(library: Path) -> list[dict]:
    return [
        row for path in sorted(library.glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def test_rows_are_the_judged_component_sorted_by_mass(tmp_path):
    source = write_smiles(
        tmp_path / "a.smi",
        [
            "C[N+](C)(C)CCO.[Cl-] choline chloride",
            "OCC ethanol",
            "CC(=O)[O-].[Na+]",
            "C[C@H](N)C(=O)O L",
        ],
    )
    build([source], tmp_path / "out")
    found = rows(tmp_path / "out")
    assert [row["smiles"] for row in found] == ["CCO", "CC(=O)O", "CC(N)C(=O)O", "C[N+](C)(C)CCO"]
    assert [row["name"] for row in found] == ["ethanol", None, "L", "choline chloride"]
    assert [row["charge"] for row in found] == [0, 0, 0, 1]
    for row in found:
        molecule = parse_smiles(row["smiles"])
        assert row["inchikey14"] == molecule.inchikey14
        assert row["formula"] == molecule.formula
        assert row["exact_mass"] == pytest.approx(molecule.exact_mass, abs=1e-6)
        assert row["n_heavy_atoms"] == molecule.n_heavy_atoms


def test_a_structure_stands_once_with_the_first_name_and_isotopes_stand_apart(tmp_path):
    source = write_smiles(
        tmp_path / "a.smi",
        ["OCC", "CCO alcohol", "C(O)C other", "[13CH3]CO labelled", "[2H]OCC", "CC[O-] ethoxide"],
    )
    manifest = build([source], tmp_path / "out", records_per_chunk=2)
    found = rows(tmp_path / "out")
    assert [(row["smiles"], row["name"]) for row in found] == [
        ("CCO", "alcohol"), ("[13CH3]CO", "labelled"), ("[2H]OCC", None),
    ]  # fmt: skip
    assert len({row["inchikey14"] for row in found}) == 1
    assert (manifest.n_records, manifest.n_merged, manifest.n_rows) == (6, 3, 3)


def test_order_and_chunks_of_the_inputs_change_no_byte(tmp_path):
    smiles = many_smiles(200)
    expected = None
    for seed, size in enumerate([7, 30, 200, 1000]):
        mixed = random.Random(seed).sample(smiles, len(smiles))
        halves = [
            write_smiles(tmp_path / f"{seed}-{part}.smi", mixed[part::2]) for part in range(2)
        ]
        build(halves, tmp_path / f"{seed}", records_per_chunk=size)
        found = contents(tmp_path / f"{seed}")
        assert len(found) > 2
        assert expected in (None, found)
        expected = found


def test_worker_processes_give_what_one_process_gives(tmp_path):
    source = write_smiles(tmp_path / "a.smi", [*many_smiles(100), "C1CC broken"])
    one = build([source], tmp_path / "one")
    two = build([source], tmp_path / "two", n_workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert one == two


def test_what_is_left_out_is_counted_with_its_place(tmp_path):
    source = write_smiles(
        tmp_path / "a.smi", ["# a comment", "CCO", "C1CC", "", "C" * 129, "[*]C", "CC(C"]
    )
    manifest = build([source], tmp_path / "out", records_per_chunk=2)
    assert manifest.n_records == 5
    assert {reason: found["count"] for reason, found in manifest.dropped.items()} == {
        "structure not understood": 3,
        "more than 128 heavy atoms": 1,
    }
    places = [one["place"] for one in manifest.dropped["structure not understood"]["examples"]]
    assert places == [f"{source}, line {number}" for number in (3, 6, 7)]
    assert open_library(tmp_path / "out").manifest == manifest


def test_inputs_without_any_structure_are_an_error_that_says_why(tmp_path):
    source = write_smiles(tmp_path / "a.smi", ["C1CC"])
    with pytest.raises(
        DataError, match=r"no structure that can be used among 1 records(.|\n)*line 1"
    ):
        build([source], tmp_path / "out")


def test_building_again_does_nothing_and_other_inputs_need_replace(tmp_path):
    source = write_smiles(tmp_path / "a.smi", ["CCO"])
    build([source], tmp_path / "out")
    before = (tmp_path / "out/library.json").stat().st_mtime_ns
    build([source], tmp_path / "out")
    assert (tmp_path / "out/library.json").stat().st_mtime_ns == before

    write_smiles(source, many_smiles(100))
    with pytest.raises(ConfigError, match="--replace"):
        build([source], tmp_path / "out")
    build([source], tmp_path / "out", replace=True)
    assert len(contents(tmp_path / "out")) > 1
    write_smiles(source, ["CCN"])
    build([source], tmp_path / "out", replace=True)
    assert [row["smiles"] for row in rows(tmp_path / "out")] == ["CCN"]


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    source = write_smiles(tmp_path / "a.smi", ["CCO"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/part-00007.parquet").write_text("of somebody")
    with pytest.raises(ConfigError, match="holds files and is no library"):
        build([source], tmp_path / "out", replace=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "work/file").write_text("of somebody")
    build([source], tmp_path / "new", work=tmp_path / "work")
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["file"]
    assert (tmp_path / "out/part-00007.parquet").read_text() == "of somebody"


# A build in a process that kills itself at the n-th file it puts in place.
KILLED = """
import os, signal, sys
from tests.library.test_build import build
left = int(sys.argv[1])
def count(event, arguments):
    global left
    if event == "os.rename":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
build([sys.argv[2]], sys.argv[3])
"""


def build_killed(at: int, source: Path, output: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(at), source, output],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.slow
def test_a_build_killed_again_and_again_goes_on_and_gives_the_same_library(tmp_path):
    source = write_smiles(tmp_path / "a.smi", many_smiles(120))
    build([source], tmp_path / "whole")
    output = tmp_path / "out"
    n_kills = 0
    runs: dict[str, int] = {}
    # Three files each time: a new one is finished, so it ends; at each file something is under way.
    while build_killed(3, source, output):
        n_kills += 1
        with pytest.raises(DataFileNotFoundError, match="run the same command to resume"):
            open_library(output)
        now = {path.name: path.stat().st_mtime_ns for path in output.rglob("chunk-*.parquet")}
        assert runs.items() <= now.items()  # no finished chunk was done again
        runs = now
    assert n_kills > 3
    assert contents(output) == contents(tmp_path / "whole")
    assert open_library(output).manifest == open_library(tmp_path / "whole").manifest
    assert not (output / ".building").exists()


@pytest.mark.slow
def test_the_command_killed_at_work_goes_on(tmp_path):
    source = write_smiles(tmp_path / "a.smi", many_smiles(4000))
    output = tmp_path / "out"
    command = [
        sys.executable, "-m", "team5.library", "build", source, output, "--workers", "1",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not list(output.rglob("chunk-*.parquet")):
            assert process.poll() is None
        process.kill()
    kept = {path.name: path.stat().st_mtime_ns for path in output.rglob("chunk-*.parquet")}
    assert len(kept) == 1
    (output / ".building/lock").unlink()
    interrupted = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (output / ".building/lock").exists():
        assert interrupted.poll() is None
    interrupted.terminate()
    assert "run the same command to resume" in interrupted.communicate()[1]
    assert interrupted.returncode == 130
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "4,000  records read" in done.stdout


def test_a_damaged_chunk_costs_itself(tmp_path):
    source = write_smiles(tmp_path / "a.smi", many_smiles(120))
    output = tmp_path / "out"
    assert build_killed(7, source, output) == -signal.SIGKILL  # all chunks are done
    assert list(output.rglob("read.json"))
    chunk = min(output.rglob("chunk-*.parquet"))
    data = chunk.read_bytes()
    for damaged in (data[:-20], data[:40] + bytes(40) + data[80:]):
        chunk.write_bytes(damaged)
        with pytest.raises(StorageError, match="run the same command again"):
            build([source], output)
    chunk.unlink()
    build([source], output)
    build([source], tmp_path / "whole")
    assert contents(output) == contents(tmp_path / "whole")


def test_an_input_that_changed_is_noticed(tmp_path):
    source = write_smiles(tmp_path / "a.smi", many_smiles(120))
    output = tmp_path / "out"
    assert build_killed(3, source, output) == -signal.SIGKILL
    write_smiles(source, many_smiles(121))
    with pytest.raises(DataError, match=r"a\.smi has changed since.*--replace"):
        build([source], output)
    write_smiles(source, many_smiles(120))
    build([source], output)


def test_an_input_that_changes_while_it_is_read_is_noticed(tmp_path, monkeypatch):
    import team5.library.build

    source = write_smiles(tmp_path / "a.smi", many_smiles(120))
    do_chunks = team5.library.build.do_chunks

    def change_then_do(*given, **more):
        write_smiles(source, many_smiles(121))
        return do_chunks(*given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(team5.library.build, "do_chunks", change_then_do)
        with pytest.raises(DataError, match=r"a\.smi: has changed while it was read.*--replace"):
            build([source], tmp_path / "out", n_workers=0)
    # Nothing of the mixture is taken up, whether the file is as before or as it is now.
    again = write_smiles(source, many_smiles(120))
    assert build([again], tmp_path / "out", n_workers=0).n_records == 120


def test_two_builds_at_once_are_refused(tmp_path):
    from filelock import FileLock

    source = write_smiles(tmp_path / "a.smi", ["CCO"])
    (tmp_path / "out/.building").mkdir(parents=True)
    with (
        FileLock(tmp_path / "out/.building/lock"),
        pytest.raises(StorageError, match="another build"),
    ):
        build([source], tmp_path / "out")


FULL = """
import resource, sys
from team5.library.sorting import DEFAULT_SIZES
from tests.library.test_build import build
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from team5.errors import StorageError
try:
    build([sys.argv[2]], sys.argv[3], n_workers=int(sys.argv[4]), sizes=DEFAULT_SIZES)
except StorageError as error:
    sys.exit(f"StorageError: {error}")
"""


@pytest.mark.parametrize("n_workers", [0, 1])
def test_a_disk_that_takes_no_more_is_one_error_and_the_build_goes_on_later(tmp_path, n_workers):
    source = write_smiles(tmp_path / "a.smi", many_smiles(300))
    output = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", FULL, "6000", source, output, str(n_workers)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 1
    assert "StorageError" in done.stderr
    assert "Traceback" not in done.stderr
    build([source], output)
    build([source], tmp_path / "whole")
    assert contents(output) == contents(tmp_path / "whole")


def test_trusted_columns_are_taken_and_malformed_ones_reported(tmp_path):
    source = tmp_path / "a.csv"
    source.write_text(
        "smiles,inchikey14,formula,exact_mass\n"
        "CCO,LFQSCWFLJHTTHZ,C2H6O,46.04186\n"
        "C[N+](C)(C)CCO,OEYIOHPDSNJKLS,C5H14NO+,104.10754\n"
        "CCN,,C2H7N,45.05785\n",
        encoding="utf-8",
    )
    manifest = build([source], tmp_path / "trusted", trust_columns=True)
    assert [row["exact_mass"] for row in rows(tmp_path / "trusted")] == [46.04186, 104.10754]
    assert [row["charge"] for row in rows(tmp_path / "trusted")] == [0, 1]
    assert [row["n_heavy_atoms"] for row in rows(tmp_path / "trusted")] == [3, 7]
    (reason,) = manifest.dropped
    assert "inchikey14" in reason
    build([source], tmp_path / "computed")
    computed = rows(tmp_path / "computed")
    assert len(computed) == 3
    assert computed[1]["exact_mass"] == pytest.approx(46.041865, abs=1e-6)
    assert computed[1]["inchikey14"] == "LFQSCWFLJHTTHZ"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    source = write_smiles(tmp_path / "a.smi", ["CCO"])
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="Give yourself the right"):
        build([source], tmp_path / "closed/out")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "structure,name\nCCO,ethanol\n", "there are structure, name"),
        ("a.smi", "C1CC\n", "no structure that can be used among 1 records"),
        ("a.smi", "", "no structure that can be used among 0 records"),
    ],
)
def test_a_refused_build_leaves_no_folder(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        build([tmp_path / name], tmp_path / "out", work=tmp_path / "work")
    with pytest.raises(DataError, match=message):
        build([tmp_path / name], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "work").iterdir()) == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        build([tmp_path / name], tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []


def test_every_list_of_a_database_becomes_a_library(tmp_path):
    lists = Path(__file__).parents[1] / "files/structures"
    manifest = build(sorted(lists.iterdir()), tmp_path / "out")
    assert manifest.dropped == {}
    assert manifest.n_records == sum(one["n_records"] for one in manifest.inputs) == 14
    names = {row["smiles"]: row["name"] for row in rows(tmp_path / "out")}
    assert names["Cn1c(=O)c2c(ncn2C)n(C)c1=O"] == "2519"  # CID-SMILES.gz is read first
    assert names["CCOc1ccc(C=Nn2cnnc2)cc1"] == "suspect 979"


def test_a_record_that_ends_its_worker_is_left_out_with_its_place():
    records = [
        StructureRecord(line, text, None, {}) for line, text in ((1, "CCO"), (2, "C"), (4, "N"))
    ]
    chunk = Chunk(0, "a.smi", 0, "line", records).without(1, "takes longer than 0.2 s")
    assert [record.text for record in chunk.records] == ["CCO", "N"]
    assert chunk.n_records == 3
    assert standardise(chunk)[1] == {
        "takes longer than 0.2 s": {
            "code": "worker_ended", "count": 1,
            "examples": [{"place": "a.smi, line 2", "text": "C"}],
        }
    }  # fmt: skip
