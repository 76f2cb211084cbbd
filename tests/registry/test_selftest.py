"""The proofs that users run hold here too, with as many kills as promised."""

import os

import pytest

from team5.registry.selftest import selftest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def test_the_proofs_hold_for_a_few_kills(tmp_path):
    said = list(selftest(tmp_path, n_kills=8, n_writers=3, n_updates=5))
    assert "15 entries" in " ".join(said)
    assert said[-1].startswith("all promises hold")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_proofs_hold_for_two_hundred_kills_of_each_kind_and_many_writers(tmp_path):
    said = list(selftest(tmp_path, n_kills=400, seed=1))
    assert "200 entries" in " ".join(said)
