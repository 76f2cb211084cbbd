import itertools
import math

import numpy as np
import pytest

from team5.errors import DataError
from team5.evaluation.metrics import breakdowns, compute_metrics, reliability_diagram
from team5.evaluation.records import (
    ALL,
    COSINE,
    LONG,
    MATCH,
    MATCH_WITH_REFERENCES,
    SAME_FORMULA,
    SIMILARITIES,
    SIMULATE,
    TOGETHER,
    ScoredQuery,
    make_metric,
)
from team5.evaluation.strata import N_CANDIDATES


def query(number=0, *, scores, exchanged=None, mass_error=None, probabilities=None, **changes):
    """A query of three candidates at most, the first of which is the truth."""
    n = len(scores)
    equal = np.zeros(n)
    fields = {
        "identifier": f"spectrum {number}",
        "structure": f"structure {number}",
        "truth": 0,
        "decoy": 1 if n > 1 else None,
        "same_formula": np.ones(n, dtype=bool),
        "scores": {
            "model": np.array(scores, dtype=float),
            "exchanged": equal if exchanged is None else np.array(exchanged, dtype=float),
            "mass_error": equal if mass_error is None else np.array(mass_error),
            "bond_breaking": equal,
        },
        "probabilities": {
            "model": np.array(probabilities or [0.5] * 2),
            "exchanged": np.full(2, 0.5),
        }
        if n > 1
        else {},
        "probabilities_with_references": {},
        "similarities": {name: {"model": None, "exchanged": None} for name in SIMILARITIES},
        "conditions": {"adduct": "[M+H]+"},
    }
    return ScoredQuery(**(fields | changes))


def by_name(rows):
    return {row.name: row for row in rows}


def test_ranking_by_hand():
    scored = [
        query(0, scores=[3, 2, 1]),
        query(1, scores=[2, 3, 1], exchanged=[1, 0, 0]),
        query(2, scores=[1, 1]),
        query(3, scores=[1]),  # says nothing
    ]
    rows = by_name(compute_metrics(scored, threshold=0.5)[ALL])

    hit = rows["hit@1"]
    assert hit.value == pytest.approx((1 + 0 + 0.5) / 3)
    assert hit.chance == pytest.approx((1 / 3 + 1 / 3 + 1 / 2) / 3)
    assert hit.exchanged == pytest.approx((1 / 3 + 1 + 1 / 2) / 3)
    assert hit.mass_error == hit.bond_breaking == pytest.approx(hit.chance)
    assert hit.molecule_only is None
    assert (hit.n_queries, hit.n_structures) == (3, 3)
    assert rows["hit@5"].value == rows["hit@20"].value == 1.0
    assert rows["MRR"].value == pytest.approx((1 + 1 / 2 + 3 / 4) / 3)


def test_same_formula_leaves_the_other_candidates_out():
    part = np.array([False, True, True])
    scored = [query(scores=[9, 1, 2], truth=1, same_formula=part, decoy=0)]
    found = compute_metrics(scored, threshold=0.5)

    assert found[ALL][0].value == found[SAME_FORMULA][0].value == 0.0
    assert found[SAME_FORMULA][0].chance == 0.5
    assert LONG not in found


def test_match_by_hand():
    scored = [
        query(0, scores=[1, 0], probabilities=[0.9, 0.2]),
        query(1, scores=[1, 0], probabilities=[0.4, 0.6]),
    ]
    rows = by_name(compute_metrics(scored, threshold=0.5)[MATCH])

    assert rows["accuracy"].value == 0.5
    assert rows["F1"].value == 0.5
    assert rows["F1"].chance == pytest.approx(2 / 3)
    assert rows["AUROC"].value == pytest.approx(3 / 4)
    assert rows["AUROC"].mass_error == rows["AUROC"].exchanged == 0.5
    assert rows["accuracy"].mass_error is None
    assert rows["Brier score"].value == pytest.approx((0.01 + 0.04 + 0.36 + 0.36) / 4)
    assert rows["Brier score"].chance == rows["Brier score"].exchanged == 0.25
    assert rows["calibration error"].value == pytest.approx((0.1 + 0.2 + 0.6 + 0.6) / 4)
    assert rows["calibration error"].exchanged is None


def test_matches_with_other_molecules_as_references_are_metrics_of_their_own():
    with_references = {"model": np.array([0.9, 0.1]), "exchanged": np.full(2, 0.5)}
    scored = [
        query(
            0,
            scores=[1, 0],
            probabilities=[0.4, 0.6],
            probabilities_with_references=with_references,
        ),
        query(1, scores=[1, 0], probabilities=[0.4, 0.6]),
    ]
    found = compute_metrics(scored, threshold=0.5)

    assert by_name(found[MATCH])["accuracy"].value == 0.0
    accuracy = by_name(found[MATCH_WITH_REFERENCES])["accuracy"]
    assert (accuracy.value, accuracy.exchanged, accuracy.n_queries) == (1.0, 0.5, 1)
    assert MATCH_WITH_REFERENCES not in compute_metrics(scored[1:], threshold=0.5)


def test_auroc_of_mass_errors_goes_by_the_size_of_the_error():
    scored = [query(scores=[1, 0], mass_error=[-0.001, -0.3])]
    rows = by_name(compute_metrics(scored, threshold=0.5)[MATCH])

    assert rows["AUROC"].mass_error == 1.0


@pytest.mark.filterwarnings("error")
def test_any_finite_score_of_a_control_has_a_place():
    scores = [-1e300, -2.0, -1.0, -0.5, 0.0, 1.0, 1e300]
    for worse, better in itertools.pairwise(scores):
        scored = [query(scores=[1, 0], mass_error=[better, worse])]
        assert by_name(compute_metrics(scored, threshold=0.5)[MATCH])["AUROC"].mass_error == 1.0


def test_simulation_leaves_out_spectra_with_nothing_to_compare():
    both = [{"model": 0.8, "exchanged": 0.1}, {"model": None, "exchanged": 0.3}]
    scored = [
        query(i, scores=[1, 0], similarities=dict.fromkeys(SIMILARITIES, values))
        for i, values in enumerate(both)
    ]
    row = by_name(compute_metrics(scored, threshold=0.5)[SIMULATE])[COSINE]

    assert (row.value, row.exchanged, row.n_queries) == (0.8, 0.1, 1)
    assert row.chance is None


def test_no_list_of_two_is_an_error():
    with pytest.raises(DataError, match="nothing to rank or match"):
        compute_metrics([query(scores=[1])], threshold=0.5)


@pytest.mark.parametrize(
    ("interval", "controls", "lower_is_better", "marked"),
    [
        ((0.4, 0.6), {"chance": 0.1, "molecule_only": 0.3}, False, False),
        ((0.4, 0.6), {"chance": 0.1, "molecule_only": 0.4}, False, True),
        ((0.4, 0.6), {"chance": 0.1, "mass_error": 0.7}, False, True),
        ((0.4, 0.6), {"chance": 0.1, "exchanged": 0.41}, False, True),
        # The untrained score reads the spectrum: it is a control, but not blind.
        ((0.4, 0.6), {"chance": 0.1, "bond_breaking": 0.9}, False, False),
        ((0.1, 0.2), {"chance": 0.25}, True, False),
        ((0.1, 0.2), {"chance": 0.25, "molecule_only": 0.2}, True, True),
        ((0.1, 0.2), {}, True, False),
    ],
)
def test_mark_says_that_a_blind_control_is_as_good(interval, controls, lower_is_better, marked):
    metric = make_metric(
        "f", np.mean(interval), interval, controls, ["a"], lower_is_better=lower_is_better
    )
    assert metric.not_above_blind is marked


def test_breakdowns_part_the_queries_of_a_metric():
    scored = [
        query(0, scores=[3, 2, 1]),
        query(1, scores=[1, 2], conditions={"adduct": "[M-H]-"}),
        query(2, scores=list(range(7)), conditions={"adduct": "[M-H]-"}),
    ]
    found = breakdowns(scored)[ALL]

    adducts = by_name(found["adduct"])
    assert list(adducts) == ["[M-H]-", "[M+H]+"]
    assert (adducts["[M-H]-"].value, adducts["[M-H]-"].n_queries) == (0.0, 2)
    assert adducts["[M-H]-"].chance == pytest.approx((1 / 2 + 1 / 7) / 2)
    assert (adducts["[M+H]+"].value, adducts["[M+H]+"].n_queries) == (1.0, 1)
    assert [(row.name, row.n_queries) for row in found[N_CANDIDATES]] == [
        ("2 to 5", 2),
        ("6 to 20", 1),
    ]
    hit = compute_metrics(scored, threshold=0.5)[ALL][0]
    for rows in found.values():
        total = math.fsum(row.value * row.n_queries for row in rows)
        assert total / hit.n_queries == pytest.approx(hit.value)


def test_reliability_by_hand():
    scored = [
        query(0, scores=[1, 0], probabilities=[0.92, 0.13]),
        query(1, scores=[1, 0], probabilities=[0.96, 0.94]),
    ]
    low, high = reliability_diagram(scored)

    assert (low.bin_low, low.bin_high, low.n_pairs) == (0.1, 0.2, 1)
    assert (low.mean_probability, low.value) == (0.13, 0.0)
    assert high.mean_probability == pytest.approx(0.94)
    assert high.value == pytest.approx(2 / 3)
    assert high.low <= high.value <= high.high


def test_seed_changes_only_the_intervals():
    random = np.random.default_rng(1)
    scored = [query(i, scores=random.normal(size=3)) for i in range(30)]
    one, same, other = (compute_metrics(scored, threshold=0.5, seed=seed) for seed in (0, 0, 1))

    assert one == same
    assert one != other
    assert [row.value for row in one[ALL]] == [row.value for row in other[ALL]]


def test_two_spectra_of_a_compound_are_judged_together_by_the_mean_of_their_scores():
    first = query(0, scores=[-1.0, -0.9, -2.0], structure="one", candidates=("A", "B", "C"))
    second = query(
        1, scores=[-2.0, -1.0, -1.4], structure="one", truth=1, candidates=("C", "A", "B")
    )
    other = query(2, scores=[0, 1], candidates=("A", "D"))
    rows = compute_metrics([first, second, other], threshold=0.5)[TOGETHER]
    assert [(row.name, row.value) for row in rows] == [
        ("hit@1, together", 1), ("hit@1, each alone", 0.5),
    ]  # fmt: skip
