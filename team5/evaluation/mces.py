"""MCES@1, the distance of the best-ranked candidate from the true structure.

The distance is the weight of the bonds outside the maximum common edge subgraph (a double bond
weighs 2). It is myopic: above the threshold a lower bound replaces it, which is much faster.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from team5.errors import DataError, MissingExtraError

Distance = Callable[[str, str], float]

MCES_THRESHOLD = 15.0  # MassSpecGym's
_SOLVERS = ("COIN_CMD", "PULP_CBC_CMD")  # the same program; the first is looked for on the PATH


def load_mces_distance(threshold: float = MCES_THRESHOLD) -> Distance:
    """Return a function for the myopic MCES distance of two SMILES, 0 or more.

    The stronger of the lower bounds is taken and no time limit set, as in MassSpecGym. Each pair is
    computed once.

    Parameters
    ----------
    threshold : float, default 15
        Distances up to it are exact.

    Raises
    ------
    MissingExtraError
        If ``myopic-mces`` or a solver for it is not installed.

    References
    ----------
    Kretschmer et al., Coverage bias in small molecule machine learning, Nature Communications
    16:554 (2025); MassSpecGym: Bushuiev et al., NeurIPS 2024 (arXiv:2410.23326).
    """
    try:
        import pulp
        from myopic_mces import MCES
    except ImportError as error:
        raise MissingExtraError.of("MCES@1", "mces") from error
    available = pulp.listSolvers(onlyAvailable=True)
    solvers = [name for name in _SOLVERS if name in available] or available
    if not solvers:
        raise MissingExtraError('MCES@1 found no solver of its own: pip install "pulp[cbc]"')
    distances: dict[tuple[str, str], float] = {}

    def distance(smiles: str, other: str) -> float:
        if smiles == other:
            return 0.0
        pair = (smiles, other) if smiles < other else (other, smiles)
        if pair not in distances:
            try:
                with warnings.catch_warnings():
                    # PuLP announces what its next major version brings, once per call.
                    warnings.simplefilter("ignore", DeprecationWarning)
                    result = MCES(
                        *pair,
                        threshold=threshold,
                        solver=solvers[0],
                        solver_options={"msg": 0},
                        always_stronger_bound=True,
                    )
            except pulp.PulpSolverError as error:
                raise DataError(
                    f"MCES of {pair[0]} and {pair[1]}: the solver {solvers[0]} failed ({error}). "
                    'Install another: pip install "pulp[cbc]"'
                ) from error
            distances[pair] = float(result[1])
        return distances[pair]

    return distance


def distances_at_1(
    score_lists: Sequence[ArrayLike],
    candidate_lists: Sequence[Sequence[str]],
    truth_indices: Sequence[int],
    distance: Distance,
    on_progress: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """Return, for each query, the distance from its best-ranked candidate to its true structure.

    Candidates tied for the first rank count with the mean of their distances.

    Parameters
    ----------
    score_lists, candidate_lists, truth_indices : sequence of length Q
        Scores, higher is better, SMILES, and the index of the true structure in each list.
    distance : callable
        From `load_mces_distance`.
    on_progress : callable, optional
        Called with the number of queries done since the last call.

    Raises
    ------
    DataError
        If a score is NaN or missing.
    """
    out = np.empty(len(score_lists))
    for query, (scores, candidates, truth) in enumerate(
        zip(score_lists, candidate_lists, truth_indices, strict=True)
    ):
        values = np.asarray(scores, dtype=np.float64)
        if values.shape != (len(candidates),) or np.isnan(values).any():
            raise DataError(f"query {query}: give each of {len(candidates)} candidates one score.")
        best = np.flatnonzero(values == values.max())
        out[query] = np.mean([distance(candidates[truth], candidates[int(i)]) for i in best])
        if on_progress:
            on_progress(1)
    return out
