"""Answers withheld where a chosen error rate would not hold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from team5.errors import ConfigError
from team5.evaluation.selective import confidence_needed

Calibration = Mapping[str, Mapping[str, Any]]
Question = Literal["match", "rank"]

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
    question: Question, confidence: float, calibration: Calibration, max_error: float
) -> str | None:
    """Return why the answer to one question should not be relied on, None if it may be.

    A single match is withheld by the confidence of its label, a ranking as a whole by that of its
    first place. At most ``max_error`` of the answers given are wrong, for spectra and structures
    drawn like those of the version's validation (for rankings: with the true structure among the
    candidates). Rankings are compared by `ranking_confidence`, which orders them; the number that
    people read is `Match.confidence`.
    """
    stored = (tuple(calibration[question][name]) for name in ("confidences", "wrong", "groups"))
    needed = _confidence_needed(*stored, max_error)
    if needed is None:
        return f"no answer of this version is sure enough for an error of {max_error:g}"
    if confidence >= needed:
        return None
    if question == "rank":
        return f"the first place is not sure enough for an error of at most {max_error:.0%}"
    return (
        f"the label is {confidence:.0%} sure; "
        f"an error of at most {max_error:.0%} needs {needed:.0%}"
    )
