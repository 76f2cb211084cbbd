import math

import pytest
import torch

from team5.models.losses import contrastive_loss, peak_likelihood_loss, shuffled_loss


def test_loss_is_the_mean_of_weighted_log_probabilities():
    log_p = torch.tensor([[-1.0, -2.0], [-4.0, -99.0]])
    weights = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    assert peak_likelihood_loss(log_p, weights).item() == pytest.approx((1.75 + 4.0) / 2)


def test_the_best_prediction_of_a_spectrum_is_the_spectrum():
    weights = torch.tensor([[0.7, 0.2, 0.1]])
    best = peak_likelihood_loss(weights.log(), weights)
    assert best.item() == pytest.approx(-sum(w * math.log(w) for w in (0.7, 0.2, 0.1)))
    for other in ([0.6, 0.3, 0.1], [0.8, 0.1, 0.1], [1 / 3] * 3):
        assert peak_likelihood_loss(torch.tensor([other]).log(), weights) > best


def test_contrast_is_the_mean_surprise_at_the_own_structure():
    # Spectrum 0 has three structures, spectrum 1 two, in any order.
    scores = torch.tensor([-1.0, -3.0, -2.0, -1.5, -2.5], requires_grad=True)
    index = torch.tensor([0, 1, 0, 0, 1])
    labels = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0])
    loss = contrastive_loss(scores, labels, index, scale=2.0)

    def surprise(own, others):
        return math.log(sum(math.exp(2 * s) for s in (own, *others))) - 2 * own

    expected = (surprise(-1.0, [-2.0, -1.5]) + surprise(-3.0, [-2.5])) / 2
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    assert (scores.grad[labels > 0] < 0).all()
    assert (scores.grad[labels == 0] > 0).all()


def test_contrast_stands_any_scores():
    scores = torch.tensor([-1e4, 1e4])
    own, index = torch.tensor([1.0, 0.0]), torch.tensor([0, 0])
    assert contrastive_loss(scores, own, index, 4.0).item() == pytest.approx(8e4)
    assert contrastive_loss(scores.flip(0), own, index, 4.0).item() == 0


def test_structures_are_to_be_equal_under_exchanged_peaks():
    # Spectrum 0 is a structure's own; 1 and 2 are exchanged, held against two and three.
    index = torch.tensor([0, 0, 1, 1, 2, 2, 2])
    labels = torch.tensor([1.0, 0, -1, -1, -1, -1, -1])
    equal = torch.tensor([5.0, 1, -2, -2, -3, -3, -3])
    assert shuffled_loss(equal, labels, index, 4.0).item() == pytest.approx(0, abs=1e-6)
    scores = torch.tensor([5.0, 1, -2, -1, -3, -3, -3], requires_grad=True)
    loss = shuffled_loss(scores, labels, index, 2.0)
    shares = [1 / (1 + math.exp(2)), 1 / (1 + math.exp(-2))]
    expected = (-sum(math.log(s) for s in shares) / 2 - math.log(2)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert scores.grad[2] < 0 < scores.grad[3]
    assert (scores.grad[:2] == 0).all()


def test_exchanged_spectra_are_no_part_of_the_contrast():
    scores = torch.tensor([-1.0, -2.0, -9.0, -1.0])
    labels, index = torch.tensor([1.0, 0, -1, -1]), torch.tensor([0, 0, 1, 1])
    alone = contrastive_loss(scores[:2], labels[:2], index[:2], 4.0)
    assert contrastive_loss(scores, labels, index, 4.0).item() == pytest.approx(alone.item())
