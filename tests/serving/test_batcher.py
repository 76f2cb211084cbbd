"""Who is served when, and what becomes of mistakes; without HTTP."""

import json
import pickle

import pytest

from team5.errors import SpectrumError
from team5.inference.question import Question
from team5.serving import batcher as batching
from team5.serving.batcher import Batcher
from team5.serving.messages import Answered, Ask, Piece, Progress
from tests.serving.conftest import INTENSITIES, MZS, SMILES

QUESTION = {"smiles": SMILES, "mzs": MZS, "intensities": INTENSITIES}


def asking(job: int, caller: int, question: dict) -> Ask:
    return Ask(job, caller, pickle.dumps(question))


@pytest.fixture
def said():
    return []


@pytest.fixture
def batcher(said):
    return Batcher(said.append, batch_pairs=8)


def answered(said) -> list[int]:
    return [message.job for message in said if isinstance(message, Answered)]


def answer_of(said, job: int) -> object:
    return json.loads(b"".join(m.json for m in said if isinstance(m, Piece) and m.job == job))


def finish(batcher) -> None:
    while len(batcher):
        batcher.step()


def test_batch_is_sized_by_pairs(batcher, said, model):
    for job, n in enumerate((30, 5, 1)):
        batcher.add(asking(job, job, {**QUESTION, "smiles": [SMILES] * n}), model)
    finish(batcher)
    sizes = [message.n_pairs for message in said if isinstance(message, Progress)]
    assert sum(sizes) == 36
    assert max(sizes) == 8


def test_small_question_does_not_wait_for_a_large_one(batcher, said, model):
    batcher.add(asking(0, 0, {**QUESTION, "smiles": [SMILES] * 500}), model)
    batcher.step()
    batcher.add(asking(1, 1, QUESTION), model)
    for _ in range(3):
        batcher.step()
    assert answered(said) == [1]


def test_small_question_does_not_wait_for_a_large_answer_to_be_sent(
    batcher, said, model, monkeypatch
):
    monkeypatch.setattr(batching, "_TURN_S", 0.001)
    large = {"smiles": [SMILES] * 40, "mzs": MZS * 300, "intensities": INTENSITIES * 300}
    batcher.add(asking(0, 0, large), model)
    while not any(isinstance(message, Piece) for message in said):
        batcher.step()
    batcher.add(asking(1, 1, QUESTION), model)
    finish(batcher)
    assert answered(said) == [1, 0]
    assert len(answer_of(said, 0)) == 40
    assert max(len(message.json) for message in said if isinstance(message, Piece)) <= 1 << 18


def test_caller_of_many_items_has_no_more_turns_than_one_of_a_single_item(batcher, said, model):
    for job in range(500):
        batcher.add(asking(job, 0, QUESTION), model)
    batcher.step()
    batcher.add(asking(999, 1, QUESTION), model)
    for _ in range(4):
        batcher.step()
    assert 999 in answered(said)
    assert len(answered(said)) < 100


def test_turns_are_counted_by_their_work(batcher, said, model):
    spectrum = {"mzs": MZS, "intensities": INTENSITIES}
    batcher.add(asking(0, 0, {"smiles": [SMILES] * 40, "spectra": [spectrum] * 160}), model)
    batcher.step()
    batcher.add(asking(1, 1, {**QUESTION, "smiles": [SMILES] * 10}), model)
    for _ in range(3):
        batcher.step()
    assert answered(said) == [1]


def test_large_question_ends_while_small_ones_keep_coming(batcher, said, model):
    batcher.add(asking(0, 0, {**QUESTION, "smiles": [SMILES] * 100}), model)
    for job in range(1, 200):
        for extra in range(5):
            batcher.add(asking(1000 * extra + job, job, QUESTION), model)
        batcher.step()
        if 0 in answered(said):
            return
    raise AssertionError("it has never ended")


def test_cancelled_job_costs_nothing_from_then_on(batcher, said, model):
    batcher.add(asking(0, 0, {**QUESTION, "smiles": [SMILES] * 500}), model)
    batcher.step()
    batcher.cancel(0)
    batcher.cancel(0)
    assert len(batcher) == 0
    batcher.add(asking(1, 1, QUESTION), model)
    finish(batcher)
    assert answered(said) == [1]
    assert said[-1].n_pairs == 1


def test_mistake_of_ours_fails_only_the_job_it_is_in(batcher, said, model, monkeypatch):
    take = Question.score

    def fail_for_ethanol(self, model, scored, index):
        if scored.tokens.molecule.smiles == "CCO":
            raise RuntimeError("a mistake")
        return take(self, model, scored, index)

    monkeypatch.setattr(Question, "score", fail_for_ethanol)
    for job, smiles in enumerate([SMILES, "CCO", "CCN", [SMILES, "CCO"], [SMILES, "CCN"]]):
        batcher.add(asking(job, job, {**QUESTION, "smiles": smiles}), model)
    finish(batcher)
    found = {message.job: message for message in said if isinstance(message, Answered)}
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert [job for job, message in found.items() if message.fault] == [1, 3]
    assert found[1].fault.type == "RuntimeError"
    assert len(answer_of(said, 4)) == 2


def test_error_comes_back_as_it_was_raised(batcher, said, model):
    batcher.add(asking(0, 0, {**QUESTION, "mzs": []}), model)
    finish(batcher)
    error = said[0].fault.to_error()
    assert isinstance(error, SpectrumError)
    assert "5 intensities" in str(error)
