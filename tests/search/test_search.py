"""Searches into files: each spectrum once, whatever happens on the way."""

import dataclasses
import json
import multiprocessing
import os
import signal
from pathlib import Path

import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from team5.data.conditions import Conditions
from team5.data.spectrum import Spectrum
from team5.errors import ConfigError, DataError
from team5.inference.inference import infer, load_model
from team5.library.library import open_library
from team5.search.checkpoint import Checkpoint, checkpoint_folder, open_checkpoint
from team5.search.chunks import SearchSettings, search_chunk
from team5.search.engines import Engine, run
from team5.search.local import without_spectrum
from team5.search.search import search_file
from team5.search.spectra import SpectraFile, TypedSpectrum, iter_chunks
from team5.search.structures import LibraryStructures
from team5.search.writers import left_out_path
from tests.search.conftest import SMALL_VERSION
from tests.search.spectra_files import FAULTS, write_mgf

HERE = Engine(workers=0)


def search(spectra, library, output, *, engine=HERE, keep=5, **more):
    return search_file(
        spectra, library, output,
        root=SMALL_VERSION, device="cpu",
        settings=SearchSettings(keep=keep), engine=engine, **more,
    )  # fmt: skip


def hits(path: Path) -> list[dict]:
    return pq.read_table(path).to_pylist()


@pytest.fixture(scope="module")
def whole(spectra, library, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "hits.parquet"
    search(spectra, library, output)
    return output


def test_every_spectrum_has_hits_or_a_reason(whole, spectra):
    answered = {row["spectrum"] for row in hits(whole)}
    left_out = pl.read_csv(left_out_path(whole))
    assert sorted([*answered, *left_out["spectrum"]]) == list(range(1, 41))
    assert left_out["spectrum"].to_list() == [7, 14, 21, 28, 35]
    expected = [list(FAULTS.values())[number // 7 % len(FAULTS)] for number in (7, 14, 21, 28, 35)]
    for reason, begins in zip(left_out["reason"], expected, strict=True):
        assert begins in reason


def test_rows_are_those_of_ranking_the_candidates_of_the_window(whole, spectra, library):
    model = load_model(root=SMALL_VERSION, device="cpu")
    opened = LibraryStructures(library).opened()
    (chunk,) = iter_chunks(SpectraFile(spectra), Conditions(), 100)
    rows = hits(whole)
    for number, spectrum in chunk.spectra[:6]:
        smiles = opened.candidates(spectrum, None, 10.0).smiles
        matches = infer(model, None, smiles, spectra=[spectrum]).ranked()
        ours = [row for row in rows if row["spectrum"] == number]
        assert [row["rank"] for row in ours] == list(range(1, min(5, len(smiles)) + 1))
        for row, match in zip(ours, matches, strict=False):
            assert row["smiles"] == match.smiles
            assert row["score"] == pytest.approx(match.score, rel=1e-5)
            assert row["probability"] == pytest.approx(match.probability, rel=1e-5)
            assert row["n_candidates"] == row["n_scored"] == len(smiles)
            assert len(row["peaks"]) == len(match.peaks)
            assert abs(row["error_ppm"]) <= 10


def test_names_and_keys_come_from_the_library(whole, library):
    opened = open_library(library)
    for row in hits(whole)[:20]:
        there = opened.near(row["precursor_mz_calculated"] - 1.007276, 20.0)
        at = there.smiles.to_pylist().index(row["smiles"])
        assert row["name"] == there.names[at].as_py()
        assert row["inchikey14"] == there.inchikey14[at].as_py()


def test_processes_find_what_this_process_finds(whole, spectra, library, tmp_path):
    search(spectra, library, tmp_path / "hits.parquet", engine=Engine(workers=2))
    assert hits(tmp_path / "hits.parquet") == hits(whole)


@pytest.mark.parametrize("chunk_size", [1, 100])
def test_chunks_of_any_size_give_the_same_rows(whole, spectra, library, tmp_path, chunk_size):
    search(spectra, library, tmp_path / "hits.parquet", chunk_size=chunk_size)
    assert hits(tmp_path / "hits.parquet") == hits(whole)


def test_csv_and_jsonl_hold_the_same_hits(whole, spectra, library, tmp_path):
    for ending in ("csv", "jsonl"):
        search(spectra, library, tmp_path / f"hits.{ending}")
    rows = hits(whole)
    table = pl.read_csv(tmp_path / "hits.csv")
    assert table["smiles"].to_list() == [row["smiles"] for row in rows]
    assert table["probability"].to_list() == pytest.approx(
        [row["probability"] for row in rows], rel=1e-3
    )
    lines = [json.loads(line) for line in (tmp_path / "hits.jsonl").read_text().splitlines()]
    assert [
        (each["spectrum"], c["smiles"], c["peaks"]) for each in lines for c in each["candidates"]
    ] == [(row["spectrum"], row["smiles"], row["peaks"]) for row in rows]


class BrokenOffError(Exception):
    pass


def break_off(spectra, library, output, monkeypatch, after: int) -> None:
    """Search until some parts are written, then end as by an exception."""
    write = Checkpoint.write

    def write_some(self, result):
        if len(self.finished) == after:
            raise BrokenOffError
        write(self, result)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", write_some)
        with pytest.raises(BrokenOffError):
            search(spectra, library, output)


def test_what_is_done_can_be_read_while_it_is_at_work(
    whole, spectra, library, tmp_path, monkeypatch
):
    output = tmp_path / "hits.parquet"
    break_off(spectra, library, output, monkeypatch, after=2)
    assert not output.exists()
    done = ds.dataset(checkpoint_folder(output), format="parquet").to_table().to_pylist()
    assert done == [row for row in hits(whole) if row["spectrum"] <= 16]


def test_a_search_goes_on_where_it_was(whole, spectra, library, tmp_path, monkeypatch):
    output = tmp_path / "hits.parquet"
    break_off(spectra, library, output, monkeypatch, after=2)
    summary = search(spectra, library, output, resume=True)
    assert hits(output) == hits(whole)
    assert left_out_path(output).read_text() == left_out_path(whole).read_text()
    assert (summary.n_spectra, summary.n_answered) == (40, 35)
    assert not checkpoint_folder(output).exists()


def test_parts_are_not_taken_up_unasked(spectra, library, tmp_path, monkeypatch):
    output = tmp_path / "hits.parquet"
    break_off(spectra, library, output, monkeypatch, after=1)
    with pytest.raises(ConfigError, match=r"resume=true continues it.*Remove .*parts"):
        search(spectra, library, output)


def test_a_search_that_did_nothing_yet_is_begun_anew_unasked(
    whole, spectra, library, tmp_path, monkeypatch
):
    output = tmp_path / "hits.parquet"
    break_off(spectra, library, output, monkeypatch, after=0)
    assert checkpoint_folder(output).exists()
    search(spectra, library, output)
    assert hits(output) == hits(whole)


def test_another_plan_is_refused_with_what_differs(spectra, library, tmp_path, monkeypatch):
    output = tmp_path / "hits.parquet"
    break_off(spectra, library, output, monkeypatch, after=1)
    others = write_mgf(tmp_path / "run.mgf", 41)
    with pytest.raises(ConfigError) as raised:
        search(others, library, output, resume=True, keep=6, context=Conditions(adduct="[M+H]+"))
    assert "keep was 5, is 6" in str(raised.value)
    assert "spectra sha256 was" in str(raised.value)
    assert "conditions adduct was None, is [M+H]+" in str(raised.value)
    assert "library" not in str(raised.value).split("began otherwise")[1].split("Give what")[0]


def test_resume_begins_where_there_is_nothing_to_go_on_with(whole, spectra, library, tmp_path):
    search(spectra, library, tmp_path / "hits.parquet", resume=True)
    assert hits(tmp_path / "hits.parquet") == hits(whole)


def test_parts_without_their_plan_are_never_taken_up(spectra, library, tmp_path, monkeypatch):
    output = tmp_path / "hits.parquet"
    break_off(spectra, library, output, monkeypatch, after=1)
    (checkpoint_folder(output) / "_plan.json").unlink()
    for resume in (False, True):
        with pytest.raises(ConfigError, match=r"parts of a search and not its plan.*Remove"):
            search(spectra, library, output, resume=resume)


def test_parts_go_in_one_step_and_what_is_left_of_them_is_swept(whole, spectra, library, tmp_path):
    output = tmp_path / "hits.parquet"
    with open_checkpoint(output, {"plan": "A"}, resume=False) as parts:
        parts.remove()
        # Another search begins while this one holds the lock of what it removed.
        with open_checkpoint(output, {"plan": "B"}, resume=False) as others:
            assert others.finished == {}
    rest = tmp_path / ".hits.parquet.parts.removed.1"
    rest.mkdir()
    search(spectra, library, output)
    assert hits(output) == hits(whole)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_spectra_that_change_while_they_are_searched_are_noticed(
    spectra, library, tmp_path, monkeypatch
):
    path = tmp_path / "run.mgf"
    path.write_bytes(spectra.read_bytes())
    write = Checkpoint.write

    def change_then_write(self, result):
        path.write_bytes(spectra.read_bytes() + b"\n")
        write(self, result)

    monkeypatch.setattr(Checkpoint, "write", change_then_write)
    output = tmp_path / "hits.parquet"
    with pytest.raises(DataError, match=r"changed while it was searched.*Search again"):
        search(path, library, output)
    assert not output.exists()
    assert not checkpoint_folder(output).exists()


def test_a_pipe_of_spectra_is_refused(library, tmp_path):
    path = tmp_path / "run.mgf"
    os.mkfifo(path)
    with pytest.raises(DataError, match="a pipe gives them once"):
        search(path, library, tmp_path / "hits.parquet")


def test_two_searches_do_not_write_to_one_output(spectra, library, tmp_path):
    output = tmp_path / "hits.parquet"
    with (
        open_checkpoint(output, {"a": 1}, resume=False),
        pytest.raises(OSError, match="another search is at work"),
        open_checkpoint(output, {"a": 1}, resume=True),
    ):
        pass


def test_a_damaged_part_is_named(spectra, library, tmp_path, monkeypatch):
    output = tmp_path / "hits.parquet"
    break_off(spectra, library, output, monkeypatch, after=2)
    part = sorted(checkpoint_folder(output).glob("part-*"))[1]
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(DataError, match=rf"{part.name}: damaged.*Remove this file"):
        search(spectra, library, output, resume=True)


def test_spectra_none_of_which_can_be_answered_leave_their_reasons(library, tmp_path):
    path = tmp_path / "bad.mgf"
    path.write_text("BEGIN IONS\nPEPMASS=51.5\n43.01 1\nEND IONS\n" * 3)
    summary = search(path, library, tmp_path / "hits.parquet")
    assert (summary.n_answered, summary.n_rows, summary.left_out.total()) == (0, 0, 3)
    # An earlier answer to other spectra does not stay.
    assert hits(tmp_path / "hits.parquet") == []
    assert len(pl.read_csv(tmp_path / "hits.parquet.left_out.csv")) == 3


def test_a_file_without_spectra_is_an_error(library, tmp_path):
    path = tmp_path / "empty.mgf"
    path.write_text("")
    with pytest.raises(DataError, match="no spectra"):
        search(path, library, tmp_path / "hits.parquet")
    assert not checkpoint_folder(tmp_path / "hits.parquet").exists()


def test_a_library_on_object_storage_is_the_same_library(whole, spectra, library, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("upath")
    storage = fsspec.filesystem("memory")
    storage.put(library, "/search-demo.library", recursive=True)
    search(spectra, "memory://search-demo.library", tmp_path / "hits.parquet")
    assert hits(tmp_path / "hits.parquet") == hits(whole)


def test_output_on_object_storage_is_refused_in_plain_words(spectra, library):
    with pytest.raises(ConfigError, match="local disk"):
        search(spectra, library, "s3://bucket/hits.parquet")


def test_a_worker_that_is_killed_loses_nothing(spectra, tools, settings):
    chunks = list(iter_chunks(SpectraFile(spectra), Conditions(), 2))
    expected = {one.number: one for one in run(chunks, HERE, tools, settings)}
    results = run(chunks, Engine(workers=2), tools, settings)
    done = [next(results)]
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGKILL)
    done += results
    assert {one.number: one for one in done} == expected


def test_a_spectrum_that_ends_its_worker_is_left_out_with_the_reason(spectra):
    chunk = next(iter_chunks(SpectraFile(spectra), Conditions(), 2))
    number, spectrum = chunk.spectra[0]
    remaining = without_spectrum(chunk, 0, "ends the worker process (SIGKILL)")
    assert remaining.spectra == chunk.spectra[1:]
    assert remaining.n_spectra == chunk.n_spectra
    left_out = remaining.left_out[-1]
    assert (left_out.spectrum, left_out.identifier) == (number, spectrum.identifier)
    assert left_out.reason.startswith("ends the worker process (SIGKILL), mostly for want of mem")


def test_what_a_worker_cannot_load_is_told_as_it_is(spectra, tools, settings, tmp_path):
    elsewhere = dataclasses.replace(tools, structures=LibraryStructures(str(tmp_path / "none")))
    chunks = iter_chunks(SpectraFile(spectra), Conditions(), 4)
    with pytest.raises(DataError, match="no such folder"):
        list(run(chunks, Engine(workers=2), elsewhere, settings))


def test_a_structure_without_adduct_is_looked_for_by_ion_mode_and_charge(library):
    opened = LibraryStructures(library).opened()
    spectrum = Spectrum([58.065], [1.0], precursor_mz=195.0877, ion_mode="positive")
    smiles = opened.candidates(spectrum, None, 10.0).smiles
    assert smiles == open_library(library).of_precursor(195.0877, "[M+H]+").smiles.to_pylist()
    model = load_model(root=SMALL_VERSION, device="cpu")
    chunk = next(iter_chunks(TypedSpectrum(spectrum), Conditions(), 1))
    rows = search_chunk(model, opened, chunk, SearchSettings()).table.to_pylist()
    assert {row["adduct"] for row in rows} == {"[M+H]+"}
    assert all("adduct [M+H]+ assumed" in row["notes"] for row in rows)
