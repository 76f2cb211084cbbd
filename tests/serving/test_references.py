"""What a structure is compared with, asked over HTTP and computed among other work."""

import pickle
import time

import pytest

from team5.chemistry.isomers import N_ISOMERS, make_isomers
from team5.chemistry.molecule import parse_smiles
from team5.data.spectrum import Spectrum
from team5.inference import question as questions
from team5.inference import references
from team5.search import ranking
from team5.search.structures import CandidateSet
from team5.serving.batcher import Batcher
from team5.serving.messages import Answered, Counted, Progress, Query, Rank
from tests.serving.conftest import INTENSITIES, MZS, SMILES, TOLERANCE
from tests.serving.test_batcher import asking
from tests.serving.test_predict import answer_of_infer, same

QUESTION = {"smiles": SMILES, "mzs": MZS, "intensities": INTENSITIES}
OTHERS = make_isomers(parse_smiles(SMILES), 24, seed=7)


@pytest.mark.parametrize(
    ("question", "kind", "n"),
    [
        (QUESTION, "isomers", N_ISOMERS),
        ({**QUESTION, "references": OTHERS}, "candidates", len(OTHERS)),
        ({**QUESTION, "references": OTHERS[:2]}, "isomers", N_ISOMERS),
        ({**QUESTION, "smiles": [SMILES, *OTHERS]}, "candidates", len(OTHERS)),
        ({**QUESTION, "mzs": [MZS] * 2, "intensities": [INTENSITIES] * 2}, "isomers", N_ISOMERS),
    ],
)
def test_structures_are_compared_as_by_infer(server, comparing, question, kind, n):
    answer = server.http.post("/predict?version=v0.2", json=question)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert same(found, answer_of_infer(comparing, question), TOLERANCE)
    for match in found if isinstance(found, list) else [found]:
        assert (match["references"], match["n_references"]) == (kind, n)
        is_noted = any("references given" in note for note in match["notes"])
        assert is_noted == ("references" in question and kind == "isomers")


def test_wrong_reference_is_named(server):
    question = {**QUESTION, "references": ["CCO", "C1CC"]}
    answer = server.http.post("/predict?version=v0.2", json=question)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["type"], error["where"]) == ("MoleculeError", "references[1]")
    assert error["message"].startswith("reference 2 of 2: ")


@pytest.mark.parametrize("question", [
    {**QUESTION, "references": ["C"] * 10_000},
    {**QUESTION, "mzs": [MZS] * 101, "intensities": [INTENSITIES] * 101, "references": ["C"] * 100},
    [{**QUESTION, "references": ["C"] * 5_000}] * 2,
])  # fmt: skip
def test_references_count_as_candidates_do(server, question):
    answer = server.http.post("/predict?version=v0.2", json=question)
    assert answer.status_code == 422
    assert "at most 10,000" in answer.json()["error"]["message"]


def test_isomers_are_work_like_any_other(comparing):
    said = []
    batcher = Batcher(said.append, batch_pairs=8)
    batcher.add(asking(0, 0, QUESTION), comparing)
    while len(batcher):
        batcher.step()
    assert Counted(0, 1 + N_ISOMERS) in said
    sizes = [message.n_pairs for message in said if isinstance(message, Progress)]
    assert (sum(sizes), max(sizes)) == (1 + N_ISOMERS, 8)


SPECTRA = pickle.dumps([Spectrum(MZS, INTENSITIES)])
N_MANY = 200
PAIRS = asking(
    0,
    0,
    {"smiles": [SMILES] * N_MANY, "mzs": [MZS] * N_MANY, "intensities": [INTENSITIES] * N_MANY},
)
CANDIDATES = pickle.dumps(CandidateSet([SMILES] * N_MANY, [None] * N_MANY, [None] * N_MANY))
RANKING = Rank(0, 0, Query(1, "", (1,), SPECTRA, CANDIDATES), keep=100)


@pytest.mark.parametrize(("module", "step", "request_of_many"), [
    (references, "isomers_of", PAIRS),
    (questions, "_question", PAIRS),
    (questions, "check_ions", asking(0, 0, {**QUESTION, "smiles": [SMILES] * N_MANY})),
    (questions, "usable_references", asking(0, 0, {**QUESTION, "references": OTHERS * 10})),
    (questions, "check_ions", asking(0, 0, {"smiles": [SMILES] * N_MANY})),
    (ranking, "check_ions", RANKING),
])  # fmt: skip
def test_what_is_prepared_for_many_structures_holds_up_nobody(
    comparing, monkeypatch, module, step, request_of_many
):
    """A caller who asks in the middle of it is answered before much more of it is made."""
    made = []
    make = getattr(module, step)

    def make_slowly(*arguments):
        made.append(arguments)
        until = time.perf_counter() + 0.02
        while time.perf_counter() < until:
            pass
        return make(*arguments)

    monkeypatch.setattr(module, step, make_slowly)
    said = []
    batcher = Batcher(said.append, batch_pairs=8)
    batcher.add(request_of_many, comparing)
    while not made:
        batcher.step()
    batcher.add(asking(1, 1, {**QUESTION, "smiles": OTHERS[0]}), comparing)
    n_before = len(made)
    while not any(isinstance(message, Answered) for message in said):
        batcher.step()
    assert [message.job for message in said if isinstance(message, Answered)] == [1]
    assert n_before < len(made) < N_MANY / 2
