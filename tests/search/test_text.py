import dataclasses

import pytest

from team5.inference.tables import match_row
from team5.search.text import format_answer, format_hits, format_ranking
from tests.answers import SIMULATION, make_match, make_ranking


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


def make_hits(n_candidates: int = 3, **changes) -> dict:
    rows = [match_row(match) | {"error_ppm": -1.25} for match in make_ranking()[:n_candidates]]
    return {
        "identifier": "query 1",
        "precursor_mz": 181.0493,
        "collision_energy": "20 eV",
        "n_spectra": 1,
        "n_candidates": n_candidates,
        "n_scored": n_candidates,
        "n_unusable": 0,
        "version": "v0.2",
        "version_hash": "0123456789ab",
        "candidates": rows,
        **changes,
    }


def test_hits_stand_below_their_spectrum_with_names_and_errors_of_mass():
    hits = make_hits()
    hits["candidates"][1]["name"] = "aspirin"
    title, conditions, _, header, *rows = format_hits(hits).splitlines()[:7]
    assert title.startswith("query 1: 3 candidates; first place: ")
    assert conditions == "  precursor m/z 181.0493, [M+H]+, collision energy 20 eV"
    assert header.split()[-4:] == ["ppm", "formula", "name", "SMILES"]
    assert [row.split()[-3:-1] for row in rows][1] == ["C9H8O4", "aspirin"]
    assert all("-1.2" in row for row in rows)


def test_a_candidate_that_is_alone_is_matched_and_not_ranked():
    title, _, _, header, row, *_ = format_hits(make_hits(1)).splitlines()
    assert title == "query 1: 1 candidate"
    assert header.split()[:2] == ["probability", "match"]
    assert row.split()[1] == "yes"


def test_hits_say_how_many_candidates_are_not_among_them():
    hits = make_hits(n_candidates=3, n_scored=2_000, n_unusable=4, n_spectra=2)
    hits["n_candidates"] = 5_000
    lines = format_hits(hits, top=2).splitlines()
    counted = "query 1: 5,000 candidates, 4 that cannot be used, 2,000 scored, the best 3; "
    assert lines[0].startswith(counted)
    assert lines[1].endswith(", 2 spectra together")
    assert "  ... 1 more of 3 candidates; top=3 shows all, output=FILE holds all." in lines


def test_withheld_hits_say_why():
    hits = make_hits()
    hits["candidates"][0]["abstained"] = "not sure"
    assert "  Note: WITHHELD: not sure" in format_hits(hits).splitlines()
