"""Losses."""

from __future__ import annotations

import torch
from torch import Tensor


def peak_likelihood_loss(log_p: Tensor, weights: Tensor) -> Tensor:
    """Return the mean over spectra of ``-sum_p w_p log P(p)``.

    Parameters
    ----------
    log_p : tensor of shape (B, P)
        Log probability of each peak: of all ions within its tolerance together, or of
        "no ion of this structure" where there is none.
    weights : tensor of shape (B, P)
        Add up to 1 in each row; 0 where padded.
    """
    return -(log_p * weights).sum(dim=-1).mean()


def contrastive_loss(
    scores: Tensor, labels: Tensor, spectrum_index: Tensor, scale: float
) -> Tensor:
    """Return the mean over spectra of ``-log softmax(scale * scores)`` at the true structure.

    Parameters
    ----------
    scores : tensor of shape (B,)
        Of a spectrum and a structure, higher is better.
    labels : tensor of shape (B,)
        1 for the true structure of a spectrum; 0 or less for others.
    spectrum_index : long tensor of shape (B,)
        Index of the spectrum, from 0; the softmax is over the rows of one spectrum.
    scale : float
        Inverse temperature of the softmax.
    """
    return -_log_softmax(scale * scores, spectrum_index)[labels > 0].mean()


def shuffled_loss(scores: Tensor, labels: Tensor, spectrum_index: Tensor, scale: float) -> Tensor:
    """Return how unevenly structures score under the peaks of another compound.

    Such peaks carry no information on these structures: any preference comes from structure alone.
    Mean over shuffled spectra of the divergence of ``softmax(scale * scores)`` from equal shares.

    Parameters
    ----------
    scores : tensor of shape (B,)
    labels : tensor of shape (B,)
        -1 for rows of shuffled spectra.
    spectrum_index : long tensor of shape (B,)
        Index of the spectrum, from 0.
    scale : float
        As in `contrastive_loss`.
    """
    shuffled = labels < 0
    n = scores.new_zeros(int(spectrum_index.max()) + 1)
    n = n.index_add(0, spectrum_index, torch.ones_like(scores))[spectrum_index]
    surprise = -_log_softmax(scale * scores, spectrum_index) - n.log()
    per_spectrum = surprise / n
    return per_spectrum[shuffled].sum() / (1 / n)[shuffled].sum()


def _log_softmax(logits: Tensor, spectrum_index: Tensor) -> Tensor:
    """Return log shares of rows among the rows of their spectrum."""
    n = int(spectrum_index.max()) + 1
    highest = logits.new_full((n,), -torch.inf).scatter_reduce(
        0, spectrum_index, logits.detach(), "amax"
    )
    sums = logits.new_zeros(n).index_add(
        0, spectrum_index, (logits - highest[spectrum_index]).exp()
    )
    return logits - (sums.log() + highest)[spectrum_index]
