import csv
import json
import os
from pathlib import Path

import pytest

from team5.errors import ConfigError, StorageError
from team5.search.writers import write_answers
from tests.answers import SIMULATION, make_match, make_ranking


@pytest.fixture(params=[".json", ".jsonl", ".csv", ".parquet"])
def output(request, tmp_path) -> Path:
    return tmp_path / f"answers{request.param}"


def read_rows(path: Path) -> list[dict]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    from pyarrow import parquet

    return parquet.read_table(path).to_pylist()


def test_json_lines_hold_one_answer_each(tmp_path):
    answers = make_ranking()
    write_answers(answers, tmp_path / "a.jsonl")
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [answer.to_dict() for answer in answers]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_table_has_a_row_per_candidate(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    ranking = make_ranking()
    write_answers(ranking, path)
    rows = read_rows(path)
    assert [int(row["rank"]) for row in rows] == [1, 2, 3]
    assert [row["smiles"] for row in rows] == [match.smiles for match in ranking]
    assert [float(row["probability"]) for row in rows] == pytest.approx(
        [match.probability for match in ranking], abs=5e-5
    )
    assert [str(row["label"]).lower() for row in rows] == ["true", "false", "false"]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_table_of_a_simulation_has_a_row_per_peak(tmp_path, ending):
    write_answers(SIMULATION, tmp_path / f"a{ending}")
    rows = read_rows(tmp_path / f"a{ending}")
    assert [float(row["mz"]) for row in rows] == list(SIMULATION.mzs)
    assert [row["fragment_formula"] for row in rows] == list(SIMULATION.formulas)


def test_parquet_columns_have_their_types_though_all_values_are_missing(tmp_path):
    from pyarrow import parquet

    write_answers(make_match("CCO", 0.7), tmp_path / "a.parquet")
    types = {f.name: str(f.type) for f in parquet.read_schema(tmp_path / "a.parquet")}
    assert types["rank"] == "int64"
    assert types["collision_energy"] == "string"
    assert types["label"] == "bool"
    assert types["score"] == "double"


def test_same_answers_give_the_same_bytes(output):
    written = []
    for _ in range(2):
        write_answers(make_ranking(), output)
        written.append(output.read_bytes())
    assert written[0] == written[1]


def test_no_answers_leave_no_file(output):
    assert write_answers([], output) == 0
    assert list(output.parent.iterdir()) == []


def test_link_stays_a_link(tmp_path):
    (tmp_path / "real.json").write_text("before")
    (tmp_path / "link.json").symlink_to("real.json")
    write_answers(SIMULATION, tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text()) == SIMULATION.to_dict()


@pytest.mark.parametrize("ending", [".mgf", ".msp"])
@pytest.mark.parametrize("answer", [make_match("CCO", 0.7), make_ranking()])
def test_files_of_spectra_take_no_matches_and_say_what_does(tmp_path, ending, answer):
    path = tmp_path / f"a{ending}"
    path.write_text("before")
    said = (
        rf"{ending} holds simulated spectra, .* one of \.json, \.jsonl, \.csv, \.tsv, "
        r"\.xlsx, \.parquet, \.mztab, or give"
    )
    with pytest.raises(ConfigError, match=said):
        write_answers(answer, path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.xls", "a", "a.json.gz", "a.mgf.gz"])
def test_unknown_ending_names_the_choices(tmp_path, name):
    with pytest.raises(
        ConfigError, match=r"\.json, \.jsonl, \.csv, \.tsv, \.xlsx, \.parquet, \.mztab, \.mgf, "
    ):
        write_answers(SIMULATION, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_and_folder_in_the_way_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no folder"):
        write_answers(SIMULATION, tmp_path / "none" / "a.json")
    (tmp_path / "b.json").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        write_answers(SIMULATION, tmp_path / "b.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder_is_a_storage_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="cannot be written"):
            write_answers(SIMULATION, tmp_path / "a.json")
    finally:
        tmp_path.chmod(0o700)


def test_file_size_limit_is_a_storage_error_and_keeps_the_old_file(output):
    resource = pytest.importorskip("resource")
    output.write_bytes(b"before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    answers = make_ranking(500)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
    try:
        with pytest.raises(StorageError, match="untouched"):
            write_answers(answers, output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert output.read_bytes() == b"before"
    assert list(output.parent.iterdir()) == [output]
