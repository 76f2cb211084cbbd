"""Answers that take long say how far they are."""

import itertools
import json

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.molecule import parse_smiles
from tests.serving.conftest import INTENSITIES, MZS, SMILES, TOLERANCE, lines_of, running
from tests.serving.test_predict import same


def isomers(group: str, n: int) -> list[str]:
    """Return structures of one formula that no other test has had encoded."""
    chains = []
    for places in itertools.islice(itertools.permutations(range(20), 3), 0, 2 * n, 2):
        branches = dict(zip(places, ("(C)", "(CC)", f"({group})"), strict=True))
        chains.append("c1ccccc1" + "".join("C" + branches.get(i, "") for i in range(20)))
    return chains


def long_ranking(n: int) -> dict:
    return {"smiles": isomers("O", n), "mzs": MZS, "intensities": INTENSITIES}


def split(lines):
    """Return how far it was said to be, and what remains."""
    told = [line["progress"] for line in lines if "progress" in line]
    return told, [line for line in lines if "progress" not in line]


def check(told, n_pairs):
    assert told
    assert {one["of"] for one in told} == {n_pairs}
    done = [one["pairs"] for one in told]
    assert done == sorted(done)
    assert any(0 < n < n_pairs for n in done)  # the last: all, while the answer is written


def test_a_long_ranking_says_how_far_it_is_and_then_its_answer(server):
    items = [long_ranking(2000)]
    lines = lines_of(server.http.post("/predict?progress=true", json={"items": items}))
    told, (body,) = split(lines)
    check(told, 2000)
    plain = server.http.post("/predict", json={"items": items}).json()
    assert same(body["items"][0]["answer"], plain["items"][0]["answer"], TOLERANCE)


def test_a_list_says_how_far_it_is_for_the_spectrum_under_way(server):
    structures = isomers("N", 2000)
    mz = parse_adduct("[M+H]+").precursor_mz(parse_smiles(structures[0]).exact_mass)
    spectrum = f"BEGIN IONS\nPEPMASS={mz}\nCHARGE=1+\n91.0542 100\n105.0699 35\nEND IONS\n"
    sent = {"spectra": spectrum, "candidates": "\n".join(structures), "keep": 5}
    told, (ranking,) = split(lines_of(server.http.post("/rank/file?progress=true", json=sent)))
    check(told, 2000)
    assert (ranking["n_scored"], len(ranking["candidates"])) == (2000, 5)
    plain = lines_of(server.http.post("/rank/file", json=sent))
    assert same([ranking], plain, TOLERANCE)


def test_what_is_wrong_has_its_status_and_later_a_line():
    with running("limits.request_s=2.5") as one:
        answer = one.http.post("/predict?progress=true", json={"smiles": "C1CC"})
        assert (answer.status_code, answer.json()["error"]["type"]) == (422, "MoleculeError")
        longer = json.dumps(long_ranking(3000))
        lines = lines_of(one.http.post("/predict?progress=true", content=longer))
        told, (last,) = split(lines)
        assert told
        assert last["error"]["type"] == "LateError"
        assert one.http.post("/predict", json={"smiles": SMILES}).status_code == 200
