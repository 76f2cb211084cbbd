"""What an evaluation measures: queries as scored, and figures with interval and controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

LONG_LIST = 50  # candidates
BIN_WIDTH = 0.01  # m/z, of the cosine

MODEL = "model"
# What a figure can stand beside. The blind ones do not see which peaks are of which structure.
BLIND_CONTROLS = ("chance", "exchanged", "mass_error", "molecule_only", "precursor_alone")
CONTROLS = (*BLIND_CONTROLS, "bond_breaking")

ALL = "rank, all candidates"
LONG = f"rank, lists of {LONG_LIST} and more"
SAME_FORMULA = "rank, candidates of the same formula"
MATCH = "match, one decoy of the same mass"
MANY_REFERENCES = 20
MATCH_BESIDE = f"match, beside {MANY_REFERENCES} and more other molecules of the mass"
SIMULATE = f"simulate, bins of {BIN_WIDTH}"

COSINE = "cosine"
COSINE_WITHOUT = "cosine, precursor left out"
ENTROPY = "entropy similarity"
ENTROPY_WITHOUT = "entropy similarity, precursor left out"
SIMILARITIES = (COSINE, COSINE_WITHOUT, ENTROPY, ENTROPY_WITHOUT)


@dataclass(frozen=True, eq=False)
class ScoredQuery:
    """A spectrum with candidates, and what the model and its controls say of them.

    Attributes
    ----------
    identifier : str
    structure : str
        What spectra of one structure have in common; intervals are drawn over it.
    truth : int
        Place of the spectrum's own structure among the candidates.
    decoy : int or None
        Place of the candidate that match figures take as the false one; None if there is none.
    same_formula : array of shape (C,), bool
        Candidates of the structure's own formula.
    scores : dict of str to array of shape (C,)
        What candidates are ranked by, higher is better; by ``model`` and controls.
    probabilities : dict of str to array of shape (2,)
        Of a match, of the true structure and of the decoy, each as if it were given alone; by
        ``model`` and those controls that have any. Empty without a decoy.
    probabilities_beside : dict of str to array of shape (2,)
        The same beside the other candidates; empty where these are fewer than `MANY_REFERENCES`.
    similarities : dict of str to dict of str to float or None
        Of the spectrum simulated for the true structure to the measured one: by measure, then by
        ``model`` and controls. None where the measured spectrum has no peaks to compare.
    conditions : dict of str to str
        What figures are broken down by: ``{"adduct": "[M+H]+"}``.
    """

    identifier: str
    structure: str
    truth: int
    decoy: int | None
    same_formula: Array
    scores: Mapping[str, Array]
    probabilities: Mapping[str, Array]
    probabilities_beside: Mapping[str, Array]
    similarities: Mapping[str, Mapping[str, float | None]]
    conditions: Mapping[str, str]


@dataclass(frozen=True)
class Figure:
    """One figure with its 95 % interval and its controls, None where one does not apply.

    Attributes
    ----------
    name : str
    value, low, high : float
    chance : float or None
        Candidates in random order; pairs called by the toss of a coin (F1: all called a match;
        Brier score: always one half).
    exchanged : float or None
        The same model, each query with the peaks of another one.
    n_queries, n_structures : int
    mass_error, molecule_only, precursor_alone, bond_breaking : float or None
        See `CONTROL_TEXTS` in ``report.py``.
    lower_is_better : bool
    not_above_blind : bool
        The interval does not lie wholly on the better side of the best blind control.
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


def make_figure(
    name: str,
    value: float,
    interval: tuple[float, float],
    controls: Mapping[str, float],
    structures: Sequence[str],
    *,
    lower_is_better: bool = False,
) -> Figure:
    """Return a figure, marked if a blind control is as good as an end of its interval."""
    low, high = interval
    blind = [controls[name] for name in BLIND_CONTROLS if name in controls]
    marked = any(high >= b for b in blind) if lower_is_better else any(low <= b for b in blind)
    by_name = {name: controls.get(name) for name in CONTROLS}
    return Figure(
        name,
        value,
        low,
        high,
        n_queries=len(structures),
        n_structures=len(set(structures)),
        lower_is_better=lower_is_better,
        not_above_blind=marked,
        **by_name,
    )


@dataclass(frozen=True)
class ReliabilityFigure:
    """Of the pairs whose match probability lies in a bin, the share that is true.

    Attributes
    ----------
    value, low, high : float
        The share and its 95 % interval over structures.
    """

    bin_low: float
    bin_high: float
    mean_probability: float
    value: float
    low: float
    high: float
    n_pairs: int
