"""predict.py library=...: real processes, killed and taken up again."""

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.search.spectra_files import write_mgf

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "tests/files/checkpoints"

# predict.py in a process that kills itself at the n-th file it puts in place.
KILLED = """
import os, runpy, signal, sys
left = int(sys.argv.pop(1))
def count(event, arguments):
    global left
    if event == "os.rename":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
runpy.run_path("predict.py", run_name="__main__")
"""


def command(library, *words) -> list[str]:
    return [
        sys.executable, "predict.py", f"checkpoints_root={SHIPPED}", "device=cpu",
        f"library={library}", "keep=5", *map(str, words),
    ]  # fmt: skip


def call(words: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        words, cwd=REPOSITORY, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(spectra, library, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "hits.parquet"
    done = call(command(library, f"spectra={spectra}", f"output={output}", "engine.workers=1"))
    assert done.returncode == 0, done.stderr
    assert "35 of 40 spectra answered" in done.stderr
    assert "left out: 2, no candidate within 10 ppm" in done.stderr
    assert done.stdout == ""
    return output


@pytest.mark.slow
def test_a_search_killed_again_and_again_gives_the_rows_of_one_that_was_not(
    whole,
    spectra,
    library,
    tmp_path,
):
    output = tmp_path / "hits.parquet"
    _, *words = command(
        library, f"spectra={spectra}", f"output={output}", "engine.workers=0", "resume=true"
    )
    # Killed at this file of each: the plan stays and no part, so that it is written again with the
    # first part; then one part more each time, and the hits, which are not put in their place.
    for file in "232222":
        done = call([sys.executable, "-c", KILLED, file, *words[1:]])
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not output.exists()
    # All is told, and the parts are still there.
    done = call([sys.executable, "-c", KILLED, "3", *words[1:]])
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert pq.read_table(output).equals(pq.read_table(whole))
    done = call([sys.executable, "-c", KILLED, "4", *words[1:]])
    assert done.returncode == 0, done.stderr
    assert pq.read_table(output).equals(pq.read_table(whole))
    assert not output.with_name("hits.parquet.parts").exists()


@pytest.mark.slow
def test_a_search_in_processes_goes_on_after_kill_9(library, tmp_path):
    many = write_mgf(tmp_path / "many.mgf", 400)
    expected, output = tmp_path / "expected.parquet", tmp_path / "hits.parquet"
    words = command(library, f"spectra={many}", "engine.workers=2")
    assert call([*words, f"output={expected}"]).returncode == 0
    parts = output.with_name("hits.parquet.parts")
    with subprocess.Popen(
        [*words, f"output={output}"], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    ) as process:  # fmt: skip
        while len(list(parts.glob("part-*.parquet"))) < 3:
            assert process.poll() is None
        process.kill()
        # Its end is read only once the workers, too, have closed it.
        process.communicate()
    assert not output.exists()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("part-*.parquet")}
    refused = call([*words, f"output={output}"])
    assert refused.returncode == 2
    assert "resume=true continues" in refused.stderr
    assert {path.name: path.stat().st_mtime_ns for path in parts.glob("part-*.parquet")} == kept
    done = call([*words, f"output={output}", "resume=true"])
    assert done.returncode == 0, done.stderr
    assert pq.read_table(output).equals(pq.read_table(expected))


def test_without_output_hits_are_printed_as_json(spectra, library, whole):
    done = call(command(library, f"spectra={spectra}", "format=json", "engine.workers=0"))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    told = [
        (line["spectrum"], c["smiles"], c["score"]) for line in lines for c in line["candidates"]
    ]
    rows = pq.read_table(whole).to_pylist()
    assert told == [(row["spectrum"], row["smiles"], row["score"]) for row in rows]
    said = "no candidate within 10 ppm (m/z 51.5000 as [M+H]+). Left out."
    assert f"run.mgf, spectrum 7 (s7): {said}" in done.stderr
    assert done.returncode == 0


def test_one_spectrum_as_it_is_typed(library):
    done = call(command(
        library, "mzs=[138.0662,110.0713]", "intensities=[100,60]", "precursor_mz=195.0877",
        "adduct=[M+H]+", "top=1",
    ))  # fmt: skip
    assert done.stdout.startswith("Spectrum: 2 candidates; first place: "), done.stderr
    assert "caffeine" in done.stdout
    assert "... 1 more" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["library=L"], "library= needs a spectrum"),
        (["library=L", "spectra=a.mgf", "candidates=b.smi"], "both name structures"),
        (["library=L", "spectra=a.mgf", "references=b.smi"], "both name structures"),
        (["library=L", "mzs=[1]", "intensities=[1]", "smiles=C"], "both name structures"),
        (["library=L", "mzs=[1]", "intensities=[1]"], "add precursor_mz="),
        (["library=L", "mzs=[1]", "precursor_mz=1"], "library= needs a spectrum"),
        (["library=L", "spectra=a.mgf", "resume=true"], "add output="),
        (["smiles=C", "resume=true"], "add spectra= and output="),
        (["library=L", "spectra=a.mgf", "resume=1"], "choose true or false"),
        (["library=L", "spectra=a.mgf", "prefilter=100"], "choose true or false"),
        (["library=L", "spectra=a.mgf", "ppm=-1"], "ppm=-1: give the half-width"),
        (["library=L", "spectra=a.mgf", "ppm=null"], "ppm=None: give the half-width"),
        (["library=L", "spectra=a.mgf", "keep=0"], "keep=0: give a number"),
        (["library=L", "spectra=a.mgf"], "a.mgf: no such file"),
        (["library=L", "spectra=F", "engine.workers=-1"], "engine.workers=-1: give a number"),
        (["library=L", "spectra=F", "engine.name=spark"], "choose local or ray"),
        (["library=L", "spectra=F", "engine=spark"], "no engine=spark; there are"),
        (["library=L", "spectra=F", "engine.address=x"], "no setting 'engine.address'"),
        (
            ["library=L", "spectra=F", "engine=ray", "engine.address=127.0.0.1:1"],
            "no Ray at engine.address=127.0.0.1:1",
        ),
        (["library=L", "spectra=F", "output=hits.txt"], "Choose one of .json, .jsonl, .csv, .tsv"),
        (["library=L", "spectra=F", "output=s3://b/hits.parquet"], "written to a local disk"),
        (
            ["library=demmo", "spectra=F"],
            "To search the demo molecules, library=demo, none is needed",
        ),
        (["library=L", "spectra=F", "max_error=0.1"], "max_error= needs a version that stores"),
    ],
)
def test_a_wrong_call_gets_one_clear_error(
    words,
    said,
    spectra,
    library,
    monkeypatch,
    capsys,
):
    words = [word.replace("=L", f"={library}").replace("=F", f"={spectra}") for word in words]
    monkeypatch.setattr(sys, "argv", ["predict.py", f"checkpoints_root={SHIPPED}", *words])
    with pytest.raises(SystemExit) as exited:
        runpy.run_path(str(REPOSITORY / "predict.py"), run_name="__main__")
    assert exited.value.code == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("Error:") == 1
    assert printed.out == ""
