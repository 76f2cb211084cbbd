"""Answers withheld where a chosen error rate would not hold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from team5.errors import ConfigError
from team5.evaluation.selective import confidence_needed, match_confidence, ranking_confidence

Calibration = Mapping[str, Mapping[str, Any]]

# The same for all spectra of a file, and slow next to one answer.
_confidence_needed = lru_cache(maxsize=16)(confidence_needed)


def check_max_error(calibration: Calibration | None, max_error: float, version: str) -> None:
    """Refuse an error rate that is no share, or a version that is not calibrated for any.

    Raises
    ------
    ConfigError
    """
    if not isinstance(max_error, int | float) or not 0 < max_error < 1:
        raise ConfigError(
            f"max_error={max_error}: give a share between 0 and 1, as 0.1.", argument="max_error"
        )
    if not calibration or not all(calibration.get(q) for q in ("match", "rank")):
        raise ConfigError(
            f"max_error= needs a version that stores how sure it was on validation spectra; "
            f"{version} does not. Use a later one, or train one.",
            argument="max_error",
        )


def why_withheld(
    probability: float,
    scores: ArrayLike,
    n_wrong: ArrayLike,
    calibration: Calibration,
    max_error: float,
) -> str | None:
    """Return why the answer to one question should not be relied on, None if it may be.

    A single match is withheld by the confidence of its label, a ranking as a whole by that of its
    first place. At most ``max_error`` of the answers given are wrong, for spectra and structures
    drawn like those of the version's validation (for rankings: with the true structure among the
    candidates).

    Parameters
    ----------
    probability : float
        Of the match, where there is but one.
    scores : array of shape (C,)
    n_wrong : array of shape (C,)
        Spectra whose precursor the candidate cannot have. Those with none compete for the first
        place; all do where there are none of these.
    """
    scores, fits = np.asarray(scores, dtype=np.float64), np.asarray(n_wrong) == 0
    if len(scores) == 1:
        question, answer = "match", "the label"
        confidence = match_confidence(probability)
    else:
        question, answer = "rank", "the first place"
        confidence = ranking_confidence(scores[fits] if fits.any() else scores)
    stored = (tuple(calibration[question][name]) for name in ("confidences", "wrong", "groups"))
    needed = _confidence_needed(*stored, max_error)
    if needed is None:
        return f"no answer of this version is sure enough for an error of {max_error:g}"
    if confidence < needed:
        return (
            f"{answer} is {confidence:.2f} sure; an error of at most {max_error:g} needs "
            f"{needed:.2f}"
        )
    return None
