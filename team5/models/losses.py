"""One function per loss."""

from __future__ import annotations

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
