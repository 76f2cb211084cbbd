"""Heads: the fragment head gives logits of ions, the match heads turn features into logits."""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor, nn

from team5.data.preprocess import N_OUTCOMES
from team5.errors import ConfigError


class MatchFeature(IntEnum):
    """Features of a match between a spectrum and a structure, by index."""

    SCORE = 0
    MATCHED_WEIGHT = 1
    MEAN_LOG_PROBABILITY_OF_MATCHED_PEAKS = 2
    LOG_PROBABILITY_OF_UNEXPLAINED = 3
    EXPLAINED_INTENSITY = 4
    ENTROPY_OF_THE_PREDICTION = 5
    PREDICTED_PROBABILITY_SEEN = 6
    COSINE = 7
    LOG_NUMBER_OF_PEAKS = 8


# Names in the config of versions.
MATCH_FEATURES = tuple(feature.name.lower().replace("_", " ") for feature in MatchFeature)
# Of a structure among other molecules of its mass, its references.
REFERENCE_FEATURES = (
    "match logit",
    "score above the median",
    "score above the best",
    "share beaten",
    "log number of references",
)
# Minimum and maximum number of other molecules of its mass that a structure is compared with.
MIN_REFERENCES, MAX_REFERENCES = 8, 24
# Peaks above the precursor are too rare in training for a fitted weight; a spectrum of nothing else
# is surely of another structure.
IMPOSSIBLE_PENALTY = 12.0  # of the logit, when all peaks are


class FragmentHead(nn.Module):
    """Logits of the ions of each fragment, weighed by the conditions (B, R) of a spectrum.

    A fragment has one vector of length R per outcome. Instead of multiplying that by the
    conditions, the layer's weights are contracted with the conditions first and then multiplied by
    the fragment: the same result at 1/R of the cost for molecules with few spectra.
    """

    def __init__(self, d_model: int, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.outcomes = nn.Linear(d_model, N_OUTCOMES * rank)
        self.none = nn.Linear(d_model, rank)

    def weights(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights (B, K, D) and biases (B, K) that turn fragments into logits."""
        weights, biases = self.by_rank()
        return (context @ weights).view(len(context), N_OUTCOMES, -1), context @ biases

    def by_rank(self) -> tuple[Tensor, Tensor]:
        """Return the layer's weights (R, K * D) and biases (R, K)."""
        weight = self.outcomes.weight.view(N_OUTCOMES, self.rank, -1)
        bias = self.outcomes.bias.view(N_OUTCOMES, self.rank)
        return weight.transpose(0, 1).reshape(self.rank, -1), bias.t()

    def none_logits(self, molecule: Tensor, context: Tensor) -> Tensor:
        """Return logits (B,) of "no ion of this structure" from molecules (B, D)."""
        return (self.none(molecule) * context).sum(dim=-1)


class LogisticHead(nn.Module):
    """Logistic regression on D features and all products of two, including squares.

    It is fitted by Newton steps on validation pairs after each epoch, not by gradient steps
    together with the likelihood, so that its probability is calibrated on structures that the
    fragment network was not trained on.
    """

    first: Tensor
    second: Tensor
    low: Tensor
    high: Tensor
    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    threshold: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        d = n_features
        first, second = torch.triu_indices(d, d)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)
        self.register_buffer("low", torch.full((d,), -torch.inf))
        self.register_buffer("high", torch.full((d,), torch.inf))
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("scale", torch.ones(d))
        self.register_buffer("weight", torch.zeros(d + len(first)))
        self.register_buffer("bias", torch.zeros(()))
        self.register_buffer("threshold", torch.tensor(0.5))

    @property
    def is_fitted(self) -> bool:
        return bool(self.weight.abs().sum() > 0)

    def forward(self, features: Tensor, impossible_weight: Tensor) -> Tensor:
        """Return match logits (B,).

        Parameters
        ----------
        features : tensor of shape (B, D)
        impossible_weight : tensor of shape (B,)
            Share of the peaks' weight that lies above the precursor.
        """
        # Summed row by row, so that rounding of a row does not depend on the others.
        logits = (self._with_products(features) * self.weight).sum(dim=-1) + self.bias
        return logits - IMPOSSIBLE_PENALTY * impossible_weight

    def _with_products(self, features: Tensor) -> Tensor:
        # Products diverge outside the range that the head was fitted on.
        clamped = features.clamp(self.low.to(features.dtype), self.high.to(features.dtype))
        z = (clamped - self.mean) / self.scale
        return torch.cat([z, z[..., self.first] * z[..., self.second]], dim=-1)

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor, *, ridge: float = 1.0) -> None:
        """Fit on pairs, shape (N, D) and (N,), by Newton steps with a ridge.

        The ridge pulls towards the previous weights, so that few pairs change a fitted head
        little.

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
        y = labels.double()
        fitted = self.is_fitted
        if not fitted:
            self.low.copy_(features.amin(dim=0))
            self.high.copy_(features.amax(dim=0))
            self.mean.copy_(features.double().mean(dim=0))
            self.scale.copy_(features.double().std(dim=0).clamp(min=1e-3))
        z = self._with_products(features.double())
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
            # A full step overshoots if the pairs contradict a strong prior.
            while loss(w - step) > loss(w) and step.abs().max() > 1e-8:
                step = step / 2
            w -= step
            if step.abs().max() < 1e-8:
                break
        self.weight.copy_(w[:-1])
        self.bias.copy_(w[-1])


class MatchHead(LogisticHead):
    """Match head of a spectrum and a structure without references.

    The meaning of a low score depends on the number of peaks and the certainty of the prediction.
    """

    def __init__(self) -> None:
        super().__init__(len(MATCH_FEATURES))


class ReferenceHead(LogisticHead):
    """Match head of a spectrum and a structure, with other molecules of the mass as references.

    Some spectra fit any molecule of the mass and some fit none: how much better a structure fits
    than its references is more informative than how well it fits.
    """

    def __init__(self) -> None:
        super().__init__(len(REFERENCE_FEATURES))


def reference_features(logits: Tensor, scores: Tensor, references: Tensor) -> Tensor:
    """Return features of a structure relative to references, shape (B, len(REFERENCE_FEATURES)).

    Parameters
    ----------
    logits, scores : tensor of shape (B,)
        Logit of the lone match, without the penalty of impossible peaks; score of the structure.
    references : tensor of shape (B, R)
        Scores of other molecules on the same spectrum, at least one in a row; NaN where a row has
        fewer than R.
    """
    there = ~references.isnan()
    n = there.sum(dim=1)
    best = references.masked_fill(~there, -torch.inf).amax(dim=1)
    target = scores.unsqueeze(1)
    beaten = ((target > references).to(scores.dtype) + 0.5 * (target == references)).sum(dim=1) / n
    return torch.stack(
        [
            logits,
            scores - references.nanmedian(dim=1).values,
            scores - best,
            beaten,
            n.to(scores.dtype).log(),
        ],
        dim=-1,
    )
