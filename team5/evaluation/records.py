"""Records of an evaluation: scored queries, and metrics with their intervals and controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

LONG_LIST = 50  # candidates
BIN_WIDTH = 0.01  # m/z, of the cosine
MANY_REFERENCES = 20

MODEL = "model"
SHUFFLED = "exchanged"  # key of the control of shuffled spectra in JSON reports
# Blind controls do not see which peaks belong to which structure.
BLIND_CONTROLS = ("chance", SHUFFLED, "mass_error", "molecule_only", "precursor_alone")
CONTROLS = (*BLIND_CONTROLS, "bond_breaking")

# Titles in a report, keys in its JSON.
ALL = "rank, all candidates"
LONG = f"rank, lists of {LONG_LIST} or more"
SAME_FORMULA = "rank, candidates of the same formula"
EDITED = "rank, edits of the true structure that keep its formula"
MATCH = "match, one decoy of the same mass"
MATCH_WITH_REFERENCES = f"match, with {MANY_REFERENCES} or more other molecules of the mass"
TOGETHER = "rank, two spectra of a compound"
SIMULATE = f"simulate, bins of {BIN_WIDTH}"

COSINE = "cosine"
COSINE_WITHOUT = "cosine, precursor left out"
ENTROPY = "entropy similarity"
ENTROPY_WITHOUT = "entropy similarity, precursor left out"
SIMILARITIES = (COSINE, COSINE_WITHOUT, ENTROPY, ENTROPY_WITHOUT)


@dataclass(frozen=True, eq=False)
class ScoredQuery:
    """A spectrum with candidates, scored by the model and its controls.

    Attributes
    ----------
    identifier : str
    structure : str
        Shared by spectra of one structure; intervals are drawn over it.
    truth : int
        Index of the true structure among the candidates.
    decoy : int or None
        Index of the false candidate of match metrics; None if there is none.
    same_formula : array of shape (C,), bool
        Candidates of the true structure's formula.
    scores : dict of str to array of shape (C,)
        Ranking scores, higher is better; by ``model`` and controls.
    probabilities : dict of str to array of shape (2,)
        Match probabilities of the true structure and of the decoy, each as a lone pair; by
        ``model`` and the controls that have one. Empty without a decoy.
    probabilities_with_references : dict of str to array of shape (2,)
        The same with the other candidates as references; empty if these are fewer than
        `MANY_REFERENCES`.
    similarities : dict of str to dict of str to float or None
        Between the spectrum simulated for the true structure and the measured one: by measure, then
        by ``model`` and controls. None if the measured spectrum has no peaks to compare.
    conditions : dict of str to str
        Strata that metrics are broken down by: ``{"adduct": "[M+H]+"}``.
    candidates : tuple of str
        Their SMILES, by which equal lists of several queries are recognised.
    """

    identifier: str
    structure: str
    truth: int
    decoy: int | None
    same_formula: Array
    scores: Mapping[str, Array]
    probabilities: Mapping[str, Array] = field(default_factory=dict)
    probabilities_with_references: Mapping[str, Array] = field(default_factory=dict)
    similarities: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Metric:
    """A metric with its 95 % interval and its controls, None where one does not apply.

    Attributes
    ----------
    name : str
    value, low, high : float
    chance : float or None
        Candidates in random order; pairs decided by coin toss (F1: all called a match;
        Brier score: always one half).
    exchanged : float or None
        The same model on shuffled spectra: each query with the peaks of another one.
    n_queries, n_structures : int
    mass_error, molecule_only, precursor_alone, bond_breaking : float or None
        See `CONTROL_TEXTS` in ``report.py``.
    lower_is_better : bool
    not_above_blind : bool
        The interval does not lie entirely on the better side of the best blind control.
    """

    name: str
    value: float
    low: float
    high: float
    chance: float | None
    exchanged: float | None
    n_queries: int
    n_structures: int
    mass_error: float | None = None
    molecule_only: float | None = None
    precursor_alone: float | None = None
    bond_breaking: float | None = None
    lower_is_better: bool = False
    not_above_blind: bool = False


def make_metric(
    name: str,
    value: float,
    interval: tuple[float, float],
    controls: Mapping[str, float],
    structures: Sequence[str],
    *,
    lower_is_better: bool = False,
) -> Metric:
    """Return a metric, marked if a blind control reaches its interval."""
    low, high = interval
    blind = [controls[control] for control in BLIND_CONTROLS if control in controls]
    marked = any(high >= b for b in blind) if lower_is_better else any(low <= b for b in blind)
    return Metric(
        name,
        value,
        low,
        high,
        n_queries=len(structures),
        n_structures=len(set(structures)),
        lower_is_better=lower_is_better,
        not_above_blind=marked,
        **{control: controls.get(control) for control in CONTROLS},
    )
