"""A version written once is read for ever, and answers as it did."""

import json
import shutil

import pytest

from team5.inference.inference import infer, load_model
from team5.registry.export import read_version
from team5.registry.tracker import Tracker
from tests.files.make_tiny_version import OUTPUTS, QUERIES, ROOT, answers_of


@pytest.mark.parametrize("row", range(len(QUERIES)))
def test_a_stored_version_answers_as_when_it_was_written(row):
    stored = json.loads(OUTPUTS.read_text())[row]
    assert answers_of(ROOT)[row] == pytest.approx(stored, abs=1e-4)


def test_its_answers_tell_its_weights():
    """Numbers that would be the same for any weights would show nothing."""
    logits = [answer["logit"] for answer in json.loads(OUTPUTS.read_text())]
    assert len({round(logit, 2) for logit in logits}) == len(logits)


def test_a_stored_version_answers_all_three_questions():
    model = load_model(root=ROOT, device="cpu")
    assert model.version == Tracker(ROOT).latest() == "v0.1"
    query, stored = QUERIES[1], json.loads(OUTPUTS.read_text())[1]
    match = infer(model, model.tokenizer, query["smiles"], query["mzs"], query["intensities"])
    assert 0 < match.probability < 1
    ranked = infer(
        model, model.tokenizer, [query["smiles"], "CCO"], query["mzs"], query["intensities"]
    )
    assert sorted(one.rank for one in ranked) == [1, 2]
    simulation = infer(model, model.tokenizer, query["smiles"], None, None)
    assert max(simulation.intensities) == 1
    assert stored["n_fragments"] > 1


def test_it_is_read_without_writing_anything(tmp_path):
    root = tmp_path / "checkpoints"
    shutil.copytree(ROOT, root)
    before = sorted(str(path) for path in root.rglob("*"))
    read_version(root)
    assert sorted(str(path) for path in root.rglob("*")) == before
