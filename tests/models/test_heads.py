import copy
import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from team5.data.preprocess import N_OUTCOMES
from team5.errors import ConfigError
from team5.models.heads import (
    MATCH_FEATURES,
    REFERENCE_FEATURES,
    FragmentHead,
    MatchHead,
    ReferenceHead,
    reference_features,
)

N = len(MATCH_FEATURES)


def pairs_of(weight: torch.Tensor, bias: float, n: int, seed: int = 0):
    """Draw features in units of their own and labels from a known logistic model."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, N, generator=generator, dtype=torch.double)
    p = torch.sigmoid(z @ weight + bias)
    labels = (torch.rand(n, generator=generator, dtype=torch.double) < p).float()
    units = torch.logspace(-2, 2, N, dtype=torch.double)
    return (z * units + 5).float(), labels, p


def logits(head: MatchHead, features: torch.Tensor, impossible: float = 0.0) -> torch.Tensor:
    return head(features, torch.full((len(features),), impossible))


def test_conditions_weigh_the_outcomes_of_each_fragment_before_or_after_the_layer_alike():
    torch.manual_seed(0)
    head = FragmentHead(4, rank=3)
    fragments, context = torch.randn(5, 4), torch.randn(2, 3)
    by_rank = head.outcomes(fragments).view(5, N_OUTCOMES, 3)
    expected = torch.einsum("fkr,br->bfk", by_rank, context)
    weights, biases = head.weights(context)
    logits = torch.einsum("fd,bkd->bfk", fragments, weights) + biases[:, None]
    torch.testing.assert_close(logits, expected)


def test_a_known_logistic_is_recovered():
    weight = torch.linspace(-1.5, 1.5, N, dtype=torch.double)
    features, labels, p = pairs_of(weight, 0.3, 20_000)
    head = MatchHead()
    head.fit(features, labels)
    torch.testing.assert_close(head.weight[:N].double(), weight, atol=0.1, rtol=0.1)
    assert head.weight[N:].abs().max() < 0.1
    assert (logits(head, features).sigmoid() - p).abs().mean() < 0.02
    # Calibrated in the large: as many expected as there are.
    assert logits(head, features).sigmoid().mean().item() == pytest.approx(
        labels.mean().item(), abs=1e-3
    )


def test_what_two_features_say_together_is_learned():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(4_000, N, generator=generator)
    labels = (features[:, 0] * features[:, 1] > 0).float()
    head = MatchHead()
    head.fit(features[:2_000], labels[:2_000])
    assert ((logits(head, features) > 0) == (labels > 0))[2_000:].float().mean() > 0.95


def test_features_beyond_those_fitted_on_count_as_the_nearest():
    features, labels, _ = pairs_of(torch.ones(N, dtype=torch.double), 0.0, 500)
    head = MatchHead()
    head.fit(features, labels)
    far = 1e6 * features.abs().amax(dim=0)
    for bound, beyond in ((features.amax(dim=0), far), (features.amin(dim=0), -far)):
        one, other = logits(head, torch.stack([bound, beyond]))
        assert one == other


def test_few_pairs_leave_a_fitted_head_nearly_as_it_was():
    weight = torch.linspace(-1.5, 1.5, N, dtype=torch.double)
    head = MatchHead()
    head.fit(*pairs_of(weight, 0.3, 5_000)[:2])
    before = copy.deepcopy(head)
    features, labels, _ = pairs_of(-weight, 0.0, 6, seed=1)
    head.fit(features, labels, ridge=20.0)
    assert torch.equal(head.mean, before.mean)
    assert torch.equal(head.scale, before.scale)
    assert (head.weight - before.weight).abs().max() < 0.5
    many = copy.deepcopy(before)
    many.fit(*pairs_of(-weight, 0.0, 20_000, seed=1)[:2], ridge=20.0)
    torch.testing.assert_close(many.weight, -before.weight, atol=0.3, rtol=0.1)


def test_a_feature_that_never_varies_does_no_harm():
    features, labels, _ = pairs_of(torch.ones(N, dtype=torch.double), 0.0, 500)
    features[:, 3] = 7.0
    head = MatchHead()
    head.fit(features, labels)
    assert torch.isfinite(logits(head, features)).all()
    assert head.weight[3].abs() < 1e-6


def test_pairs_that_one_feature_tells_apart_keep_finite_weights():
    features = torch.zeros(40, N)
    features[:20, 0] = 1.0
    labels = (features[:, 0] > 0).float()
    head = MatchHead()
    head.fit(features, labels)
    assert torch.isfinite(head.weight).all()
    assert ((logits(head, features) > 0) == (labels > 0)).all()


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_pairs_of_one_kind_are_an_error(label):
    with pytest.raises(ConfigError, match="all of one kind"):
        MatchHead().fit(torch.randn(5, N), torch.full((5,), label))


def test_an_unfitted_head_says_a_half():
    assert logits(MatchHead(), torch.randn(3, N)).sigmoid().tolist() == [0.5] * 3


def test_a_head_stores_what_it_was_fitted_to_and_a_threshold_of_one_half():
    stored = MatchHead().state_dict()
    assert set(stored) == {"low", "high", "mean", "scale", "weight", "bias", "threshold"}
    assert stored["threshold"] == 0.5


def test_peaks_above_the_precursor_make_a_match_unlikely():
    features = torch.randn(3, N)
    none, half, alone = (logits(MatchHead(), features, share).sigmoid() for share in (0, 0.5, 1))
    assert (none > half).all()
    assert (half > alone).all()
    assert alone.max() < 1e-4


def test_a_place_among_references_by_hand():
    nan = float("nan")
    features = reference_features(
        torch.tensor([0.7, -1.0]),
        torch.tensor([-2.0, -5.0]),
        torch.tensor([[-3.0, -1.0, -4.0], [-5.0, nan, nan]]),
    )
    expected = torch.tensor([[0.7, 1.0, -1.0, 2 / 3, math.log(3)], [-1.0, 0.0, 0.0, 0.5, 0.0]])
    torch.testing.assert_close(features, expected)
    assert features.shape == (2, len(REFERENCE_FEATURES))


@given(st.lists(st.floats(-20, 0), min_size=1, max_size=12), st.randoms())
def test_the_order_of_references_and_missing_ones_change_nothing(scores, random):
    own, logit = torch.tensor([-3.0]), torch.tensor([0.0])
    shuffled = scores + [float("nan")] * 3
    random.shuffle(shuffled)
    one, other = (reference_features(logit, own, torch.tensor([row])) for row in (scores, shuffled))
    torch.testing.assert_close(one, other)


def test_a_head_is_fitted_once_it_has_seen_pairs():
    head = ReferenceHead()
    assert not head.is_fitted
    features = torch.randn(50, len(REFERENCE_FEATURES))
    head.fit(features, (features[:, 1] > 0).float())
    assert head.is_fitted
