"""Each wrong input gives the same text from Python and from the command line, and an exit code."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from team5.constants import MAX_PEAKS
from team5.errors import Team5Error
from team5.inference.inference import infer, load_model
from team5.search.writers import write_answers

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "tests/files/checkpoints"
SMILES = "CC(=O)Oc1ccccc1C(=O)O"


@pytest.fixture
def registry(tmp_path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "checkpoints"))


@pytest.fixture
def predict(monkeypatch, capsys, registry):
    """Run predict.py, as Python runs a file, and return exit code, stdout and stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        argv = ["predict.py", f"checkpoints_root={registry}", *words]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as exited:
            runpy.run_path(str(REPOSITORY / "predict.py"), run_name="__main__")
        printed = capsys.readouterr()
        return exited.value.code, printed.out, printed.err

    return run


def said_by_python(call) -> Team5Error:
    with pytest.raises(Team5Error) as raised:
        call()
    return raised.value


def written(values) -> str:
    return "[" + ",".join(f"{value:g}" for value in values) + "]"


def check(printed: tuple[int, str, str], error: Team5Error, *, code: int) -> None:
    text = f"{type(error).__name__}: {error}\n"
    assert printed == (code, "", text)
    assert text.count("\n") <= 2
    assert error.exit_code == code


@pytest.mark.parametrize(
    ("version", "kind", "said"),
    [
        ("v0.21", FileNotFoundError, 'no version "v0.21"'),
        ("v0.21", FileNotFoundError, "closest: v0.1"),
        ("0.1", ValueError, "v0.1"),
        ("../v0.1", ValueError, '"../v0.1"'),
        ("v0.1/../../x", ValueError, "v<major>.<minor>"),
    ],
)
def test_version_that_is_not_there_or_no_version(predict, registry, version, kind, said):
    error = said_by_python(lambda: load_model(version, root=registry))
    assert isinstance(error, kind)
    assert said in str(error)
    check(predict(f"version={version}", f"smiles={SMILES}"), error, code=2)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_damaged_file_is_named_with_both_checksums(predict, registry, name):
    path = registry / "v0.1" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    error = said_by_python(lambda: load_model(root=registry))
    assert isinstance(error, ValueError)
    assert f"{path} is damaged: SHA-256" in str(error)
    assert "expected" in str(error)
    check(predict(f"smiles={SMILES}"), error, code=1)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_missing_file_is_named(predict, registry, name):
    (registry / "v0.1" / name).unlink()
    error = said_by_python(lambda: load_model(root=registry))
    assert isinstance(error, FileNotFoundError)
    assert f"v0.1/{name}: no such file" in str(error)
    check(predict(f"smiles={SMILES}"), error, code=1)


def test_tracker_that_is_not_json_is_left_untouched(predict, registry):
    tracker = registry / "checkpoint_tracker.json"
    tracker.write_text('{"latest": "v0.1",\n "checkpoints": [')
    error = said_by_python(lambda: load_model(root=registry))
    assert "checkpoint_tracker.json, line 2" in str(error)
    check(predict(f"smiles={SMILES}"), error, code=1)
    assert tracker.read_text() == '{"latest": "v0.1",\n "checkpoints": ['


@pytest.mark.parametrize(
    ("smiles", "said"),
    [
        ("CC(=O)Oc1ccccc1C(=O", "opened and not closed at position 17"),
        ("C1CC", "position 2"),
        ("CC$$C", "position 4"),
        ("C(C)(C)(C)(C)C", "atom 1 (C) has more bonds"),
        ("c1cccc1", "aromatic"),
        ("C*", "atom 2 is a placeholder"),
        ("CC\u0421", "position 3 is not ASCII"),
        ("C" * 129, "129 heavy atoms; at most 128"),
    ],
)
def test_structure_that_cannot_be_used(predict, registry, smiles, said):
    model = load_model(root=registry, device="cpu")
    error = said_by_python(lambda: infer(model, model.tokenizer, smiles))
    assert isinstance(error, ValueError)
    assert said in str(error)
    check(predict(f"smiles={smiles}"), error, code=2)


@pytest.mark.parametrize(
    ("mzs", "intensities", "said"),
    [
        ([100.0, 120.0], [1.0], "2 m/z values but 1 intensities"),
        ([], [], "no peaks"),
        ([-5.0], [1.0], "mzs[0] = -5 is not above 0"),
        ([50.0, 60.0], [1.0, -1.0], "intensities[1] = -1 is negative"),
        ([50.0, float("nan")], [1.0, 1.0], "mzs[1] = nan is not a finite number"),
        ([50.0], [float("inf")], "intensities[0] = inf is not a finite number"),
        ([50.0], [0.0], "all intensities are 0"),
        ([100.0 + i / 1000 for i in range(MAX_PEAKS + 1)], [1] * (MAX_PEAKS + 1), "at most"),
    ],
)
def test_spectrum_that_cannot_be_used(predict, registry, mzs, intensities, said):
    model = load_model(root=registry, device="cpu")
    error = said_by_python(lambda: infer(model, model.tokenizer, SMILES, mzs, intensities))
    assert isinstance(error, ValueError)
    assert said in str(error)
    words = (f"smiles={SMILES}", f"mzs={written(mzs)}", f"intensities={written(intensities)}")
    check(predict(*words), error, code=2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what is to be absent")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "tpu"])
def test_absent_device_is_never_replaced(predict, registry, device):
    error = said_by_python(lambda: load_model(root=registry, device=device))
    assert isinstance(error, ValueError)
    assert "There is: cpu" in str(error)
    check(predict(f"smiles={SMILES}", f"device={device}"), error, code=2)


@pytest.fixture
def full_disk(tmp_path):
    """A folder on a disk of 16 kB that holds an older answer and has no room for another."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    (folder / "answer.json").write_text("{}")
    (folder / "filler").write_bytes(b"x" * 8192)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_leaves_the_older_answer(predict, registry, full_disk):
    output = full_disk / "answer.json"
    model = load_model(root=registry, device="cpu")
    answers = [infer(model, None, SMILES)]
    error = said_by_python(lambda: write_answers(answers, output))
    assert isinstance(error, OSError)
    assert "the disk is full" in str(error)
    check(predict(f"smiles={SMILES}", f"output={output}"), error, code=1)
    assert output.read_text() == "{}"
    assert sorted(path.name for path in full_disk.iterdir()) == ["answer.json", "filler"]


@pytest.mark.skipif(os.getuid() == 0, reason="nothing is unwritable for root")
def test_unwritable_folder(predict, registry, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    model = load_model(root=registry, device="cpu")
    answers = [infer(model, None, SMILES)]
    error = said_by_python(lambda: write_answers(answers, folder / "answer.json"))
    assert isinstance(error, OSError)
    check(predict(f"smiles={SMILES}", f"output={folder}/answer.json"), error, code=1)


def test_folder_that_nobody_can_write(predict, registry):
    """The kernel's own: refuses even root."""
    model = load_model(root=registry, device="cpu")
    answers = [infer(model, None, SMILES)]
    error = said_by_python(lambda: write_answers(answers, "/proc/1/answer.json"))
    assert isinstance(error, OSError)
    check(predict(f"smiles={SMILES}", "output=/proc/1/answer.json"), error, code=1)


def test_same_text_from_the_inference_script(predict, registry):
    printed = predict("smiles=C1CC")
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "team5/inference/inference.py"), "--smiles", "C1CC",
         "--root", str(registry)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == printed


@pytest.mark.parametrize("name", ["checkpoint_tracker.json", "v0.1/config.json", "new.json"])
def test_an_answer_is_never_written_among_the_versions(predict, registry, name):
    before = {path: path.read_bytes() for path in registry.rglob("*") if path.is_file()}
    code, out, err = predict(f"smiles={SMILES}", f"output={registry}/{name}")
    assert (code, out) == (2, "")
    assert "where versions are kept" in err
    assert {path: path.read_bytes() for path in registry.rglob("*") if path.is_file()} == before


def test_nothing_was_written_to_the_registry(predict, registry):
    before = {path.name: path.stat().st_mtime_ns for path in registry.rglob("*")}
    for words in (("version=v9.9",), ("smiles=C1CC",), (f"smiles={SMILES}", "format=json")):
        predict(*words)
    assert {path.name: path.stat().st_mtime_ns for path in registry.rglob("*")} == before
    json.loads((registry / "checkpoint_tracker.json").read_text())


# What tells a reader what to do: an imperative, or the choices there are.
NEXT_STEP = re.compile(
    r"\b(Give|Write|Pass|Choose|Put|Add|Check|Correct|Mend|Leave|Make|Train|Name|Rename|Use|Free|Read|Build)\b"
    r"|pip install|closest|there (is|are)|must be (given|chosen)|--help",
    re.IGNORECASE,
)
WRONG = {
    "predict.py": [
        (),
        ("smiles=",),
        ("smiles=C1CC",),
        ("smiles=" + "C" * 129,),
        ("smiles=C*",),
        ("smiles=[CCO,,CCN]",),
        ("smiles=CCO", "smiles=CCN"),
        ("smile=CCO",),
        ("smiles=CCO", "mzs=[50"),
        ("smiles=CCO", "mzs=[50,x]", "intensities=[1,2]"),
        ("smiles=CCO", "mzs=[50]"),
        ("smiles=CCO", "mzs=[50]", "intensities=[1,2]"),
        ("smiles=CCO", "mzs=[]", "intensities=[]"),
        ("smiles=CCO", "mzs=[50]", "intensities=[-1]"),
        ("smiles=CCO", "mzs=[nan]", "intensities=[1]"),
        ("smiles=CCO", "mzs=[50]", "intensities=[1]", "precursor_mz=-3"),
        ("smiles=CCO", "adduct=plus"),
        ("smiles=CCO", "adduct=[M-C5+H]+"),
        ("smiles=CCO", "version=v9.9"),
        ("smiles=CCO", "version=newest"),
        ("smiles=CCO", "device=tpu"),
        ("smiles=CCO", "format=xml"),
        ("smiles=CCO", "top=0"),
        ("smiles=CCO", "max_error=0.1"),
        ("smiles=CCO", "output=here.docx"),
        ("smiles=CCO", "output=no/such/folder.json"),
        ("smiles=CCO", "checkpoints_root=nowhere"),
        ("smiles=CCO", "candidates=README.md"),
        ("smiles=CCO", "verify=perhaps"),
        ("smiles=CCO", "resume=true"),
        ("smiles=CCO", "--colour"),
        ("smiles=CCO", "+new=1"),
        ("smiles", "=", "CCO"),
        ("spectra=nowhere.mgf",),
        ("spectra=README.md",),
        ("spectra=tests/files/massspecgym.mgf", "candidates=nowhere.smi"),
        ("spectra=tests/files/massspecgym.mgf", "library=nowhere"),
        ("spectra=tests/files/massspecgym.mgf", "smiles=CCO"),
        ("candidates=nowhere.smi",),
        ("library=nowhere",),
        ("smiles=" + "[" * 100_000,),
        ("top=" + "[" * 100_000, "smiles=CCO"),
        ("--shell-completion", "tcsh"),
        ("--cfg",),
        ("engine=grid", "smiles=CCO"),
    ],
    "evaluate.py": [
        (),
        ("data.queries=nowhere.parquet",),
        ("data.queries=README.md",),
        ("data.queries=README.md", "output=a.csv"),
        ("data.queries=README.md", "output=no/such.html"),
        ("data.queries=README.md", "format=xml"),
        ("data.queries=README.md", "data.mces=true"),
        ("data=massspecgym", "data.massspecgym=nowhere.tsv"),
        ("data.massspecgym=nowhere.tsv", "data.candidates=nowhere.json"),
        ("data.querys=a",),
    ],
    "serve.py": [
        ("port=high",),
        ("version=v9.9",),
        ("prot=80",),
        ("threads=-1",),
        ("library=nowhere",),
        ("library=[demo,demo]",),
        ("library=7",),
    ],
}
CALLS = [(program, words) for program, calls in WRONG.items() for words in calls]


@pytest.mark.parametrize(("program", "words"), CALLS, ids=lambda part: str(part)[:60])
def test_every_error_names_the_next_step(program, words, monkeypatch, capsys):
    if not any(word.startswith("checkpoints_root=") for word in words) and words:
        words = (*words, f"checkpoints_root={SHIPPED}") if words[-1] != "--cfg" else words
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(sys, "argv", [program, *words])
    with pytest.raises(SystemExit) as exited:
        runpy.run_path(str(REPOSITORY / program), run_name="__main__")
    printed = capsys.readouterr()
    lines = printed.err.strip().splitlines()
    assert exited.value.code in (1, 2), printed.out
    assert 1 <= len(lines) <= 3, printed.err
    assert NEXT_STEP.search(printed.err), printed.err
