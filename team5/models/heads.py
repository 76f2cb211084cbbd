"""FragmentHead: which ion each fragment gives; MatchHead: score features to a probability."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from team5.data.preprocess import N_OUTCOMES
from team5.errors import ConfigError

MATCH_FEATURES = (
    "score",
    "matched weight",
    "mean log probability of matched peaks",
    "log probability of unexplained",
    "explained intensity",
    "entropy of the prediction",
    "predicted probability seen",
    "cosine",
    "log number of peaks",
    "matched weight x predicted probability seen",
    "score x cosine",
    "score squared",
    "matched weight squared",
    "predicted probability seen squared",
    "explained intensity x predicted probability seen",
    "entropy x score",
    "entropy x mean log probability",
)
# Peaks above the precursor are too rare in training for a fitted weight; a spectrum of nothing else
# is surely of another structure.
IMPOSSIBLE_PENALTY = 12.0  # of the logit, when all peaks are


class FragmentHead(nn.Module):
    """One vector of length R per fragment and outcome, to be weighed by the conditions."""

    def __init__(self, d_model: int, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.outcomes = nn.Linear(d_model, N_OUTCOMES * rank)
        self.none = nn.Linear(d_model, rank)

    def forward(self, fragments: Tensor, molecule: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys (M, F * K, R) of the ions and (M, 1, R) of "no ion of this structure"."""
        m, f, _ = fragments.shape
        keys = self.outcomes(fragments).view(m, f * N_OUTCOMES, self.rank)
        none: Tensor = self.none(molecule).unsqueeze(1)
        return keys, none


class MatchHead(nn.Module):
    """Logistic regression on features of one spectrum held against one structure.

    It is fitted in closed iterations on validation pairs after each epoch, not by gradient steps
    beside the likelihood, so that its probability is calibrated on structures that the fragment
    network has not learned from.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    threshold: Tensor

    def __init__(self) -> None:
        super().__init__()
        n = len(MATCH_FEATURES)
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("scale", torch.ones(n))
        self.register_buffer("weight", torch.zeros(n))
        self.register_buffer("bias", torch.zeros(()))
        self.register_buffer("threshold", torch.tensor(0.5))

    def forward(self, features: Tensor, impossible_weight: Tensor) -> Tensor:
        """Return match logits (B,).

        Parameters
        ----------
        features : tensor of shape (B, len(MATCH_FEATURES))
        impossible_weight : tensor of shape (B,)
            Share of the peaks' weight that lies above the precursor.
        """
        logits = ((features - self.mean) / self.scale) @ self.weight + self.bias
        return logits - IMPOSSIBLE_PENALTY * impossible_weight

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor, *, ridge: float = 1.0) -> None:
        """Fit on pairs, shape (N, n_features) and (N,), by Newton steps with a ridge.

        The ridge pulls towards the weights there were before, so that few pairs change a fitted
        head little.

        Raises
        ------
        ConfigError
            If the pairs are not of both kinds.
        """
        if labels.min() == labels.max():
            raise ConfigError(
                "the validation pairs are all of one kind, so no match probability can be fitted. "
                "Give validation data with same-mass decoys."
            )
        x, y = features.double(), labels.double()
        fitted = bool(self.weight.abs().sum() > 0)
        if not fitted:
            self.mean.copy_(x.mean(dim=0))
            self.scale.copy_(x.std(dim=0).clamp(min=1e-3))
        z = (x - self.mean.double()) / self.scale.double()
        z = torch.cat([z, torch.ones_like(z[:, :1])], dim=1)
        prior = torch.cat([self.weight.double(), self.bias.double().reshape(1)])
        strength = torch.full_like(prior, ridge)
        if not fitted:
            strength[-1] = 1e-3

        def loss(w: Tensor) -> Tensor:
            pull: Tensor = 0.5 * (strength * (w - prior).square()).sum()
            return nn.functional.softplus((1 - 2 * y) * (z @ w)).sum() + pull

        w = prior.clone()
        for _ in range(100):
            p = torch.sigmoid(z @ w)
            gradient = z.T @ (p - y) + strength * (w - prior)
            hessian = (z * (p * (1 - p)).unsqueeze(1)).T @ z + torch.diag(strength)
            step = torch.linalg.solve(hessian, gradient)
            # A whole step overshoots where the prior is sure and the pairs say otherwise.
            while loss(w - step) > loss(w) and step.abs().max() > 1e-8:
                step = step / 2
            w -= step
            if step.abs().max() < 1e-8:
                break
        self.weight.copy_(w[:-1])
        self.bias.copy_(w[-1])
