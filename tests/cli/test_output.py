import csv
import dataclasses
import json
import os
from pathlib import Path

import pytest

from team5.cli.output import format_answer, format_ranking, print_answers
from team5.errors import ConfigError, StorageError
from team5.inference.results import AnswerList, ExplainedPeak, Match, Simulation
from team5.search.writers import write_answers


def make_match(smiles: str, probability: float, rank: int | None = None, **changes) -> Match:
    peak = ExplainedPeak(121.0284, 1.0, 121.0284, 0.2, "C7H5O2+", (0, 1), ((1, 2),), 0.4)
    match = Match(
        smiles=smiles,
        probability=probability,
        label=probability >= 0.5,
        threshold=0.5,
        rank=rank,
        score=-1.5,
        explained_intensity=0.82,
        peaks=(peak, dataclasses.replace(peak, mz=43.0178, intensity=0.2, formula="C2H3O+")),
        impossible_mzs=(),
        formula="C9H8O4",
        adduct="[M+H]+",
        precursor_mz=181.0495,
        precursor_fits=None,
        collision_energy=None,
        version="v0.2",
        version_hash="0123456789ab",
        notes=(),
    )
    return dataclasses.replace(match, **changes)


def make_ranking(n_candidates: int = 3) -> AnswerList[Match]:
    """Return candidates by rank."""
    smiles = ["CC(=O)Oc1ccccc1C(=O)O", 'odd,"name"', "O=C(O)c1ccc(OC(C)=O)cc1"]
    matches = [
        make_match(smiles[index % 3], 0.1 + index / (n_candidates + 1), n_candidates - index)
        for index in range(n_candidates)
    ]
    return AnswerList(matches).ranked()


SIMULATION = Simulation(
    smiles="CCO",
    mzs=(29.0386, 31.0178, 47.0491),
    intensities=(0.4, 0.1, 1.0),
    formulas=("C2H5+", "CH3O+", "C2H7O+"),
    formula="C2H6O",
    adduct="[M+H]+",
    precursor_mz=47.0491,
    collision_energy="35 eV",
    version="v0.2",
    version_hash="0123456789ab",
    notes=("predicted",),
)


@pytest.fixture(params=[".json", ".jsonl", ".csv", ".parquet"])
def output(request, tmp_path) -> Path:
    return tmp_path / f"answers{request.param}"


def read_rows(path: Path) -> list[dict]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    from pyarrow import parquet

    return parquet.read_table(path).to_pylist()


@pytest.mark.parametrize("answer", [make_match("CCO", 0.7), SIMULATION])
def test_one_answer_is_one_json_value(answer, capsys, tmp_path):
    assert print_answers(answer, as_json=True) == 1
    printed = capsys.readouterr().out
    assert json.loads(printed) == answer.to_dict()
    assert write_answers(answer, tmp_path / "a.json") == 1
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == printed


@pytest.mark.parametrize("count", [0, 1, 3])
def test_several_answers_are_a_json_list(count, capsys):
    answers = make_ranking(count)
    assert print_answers(answers, as_json=True) == count
    assert json.loads(capsys.readouterr().out) == [answer.to_dict() for answer in answers]


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


def test_match_text_says_the_verdict_and_the_peaks():
    text = format_answer(make_match("CCO", 0.7, impossible_mzs=(300.0,), notes=("kept in text",)))
    assert "match: probability 0.700 (threshold 0.500), 82% of the intensity explained" in text
    assert text.index("43.0178") < text.index("121.0284")
    assert "From no ion of this structure (above its precursor): 300.0000" in text
    assert "Note: kept in text" in text
    assert "v0.2 (0123456789ab)" in text
    assert "no match" in format_answer(make_match("CCO", 0.2))


@pytest.mark.parametrize(
    ("kind", "n", "said"),
    [
        ("isomers", 1, "compared with 1 isomer made from it"),
        ("isomers", 8, "compared with 8 isomers made from it"),
        ("candidates", 1, "compared with 1 other molecule of its mass"),
        ("candidates", 24, "compared with 24 other molecules of its mass"),
    ],
)
def test_match_text_says_what_the_structure_was_compared_with(kind, n, said):
    text = format_answer(make_match("CCO", 0.7, references=kind, n_references=n))
    assert f"  {said}" in text.splitlines()
    assert "compared with" not in format_answer(make_match("CCO", 0.7))


def test_ranking_text_shows_the_best_first_and_says_what_is_left_out():
    text = format_ranking(make_ranking(30), top=5)
    rows = [line.split() for line in text.splitlines() if "[M" not in line and "%" in line]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert "25 more of 30 candidates; top=30 shows all" in text


def test_ranking_text_has_the_notes_that_hold_for_all_candidates():
    matches = (
        make_match("CCN", 0.7, rank=1, notes=("adduct assumed",)),
        make_match("CCO", 0.2, rank=2, notes=("adduct assumed", "stereo ignored")),
    )
    text = format_ranking(matches)
    assert "adduct assumed" in text
    assert "stereo ignored" not in text


def test_several_structures_of_one_spectrum_are_shown_as_a_ranking(capsys):
    assert print_answers(make_ranking()) == 3
    assert capsys.readouterr().out == f"{format_ranking(make_ranking())}\n"


def test_simulation_text_keeps_the_highest_peaks_in_order_of_mz():
    text = format_answer(SIMULATION, top=2)
    assert text.index("29.0386") < text.rindex("47.0491")
    assert "31.0178" not in text
    assert "1 more of 3 peaks" in text


@pytest.mark.parametrize("width", [72, 80, 120])
def test_text_fits_the_terminal_by_cutting_smiles_only(width):
    ranking = [make_match("C" * 200, 0.7, rank=1)]
    row = next(line for line in format_ranking(ranking, width=width).splitlines() if "CCCC" in line)
    assert len(row) <= width
    assert row.endswith("…")
    assert "C" * 200 in format_ranking(ranking)


def test_a_ranking_says_how_many_cannot_have_the_precursor():
    fitting = make_match("CCO", 0.7, rank=1, precursor_fits=True)
    other = make_match("CCN", 0.2, rank=2, precursor_fits=False, formula="C2H7N")
    text = format_ranking([fitting, other])
    assert "ranked last: 1 without" in text
    assert "precursor m/z" not in text  # each has its own
    none = [dataclasses.replace(fitting, precursor_fits=False), other]
    assert "no candidate has the mass" in format_ranking(none)
