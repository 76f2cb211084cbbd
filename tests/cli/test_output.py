import json

import pytest

from team5.cli.output import print_answers
from team5.search.text import format_ranking, words_of_columns
from team5.search.writers import write_answers
from tests.answers import SIMULATION, make_match, make_ranking


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


def test_several_structures_of_one_spectrum_are_shown_as_a_ranking(capsys):
    assert print_answers(make_ranking()) == 3
    words = words_of_columns({True})
    assert capsys.readouterr().out == f"{format_ranking(make_ranking())}\n{words}\n"
