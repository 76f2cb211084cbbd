import math

import pytest
import torch

from team5.models.losses import peak_likelihood_loss


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
