"""References of a structure: other molecules of its mass, or else generated isomers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from team5.chemistry.isomers import make_isomers
from team5.chemistry.molecule import Molecule, parse_smiles
from team5.constants import CANDIDATE_TOLERANCE_PPM
from team5.data.spectrum import Spectrum
from team5.inference.encodings import EncodingCache
from team5.inference.engine import Scored, iter_scores
from team5.models.heads import (
    IMPOSSIBLE_PENALTY,
    MAX_REFERENCES,
    MIN_REFERENCES,
    reference_features,
)
from team5.models.model import Team5Model

# Structures of one question that get isomers; each costs as much as eight candidates.
MAX_WITH_ISOMERS = 32

Kind = Literal["candidates", "isomers"]
Array = NDArray[Any]


@dataclass(frozen=True)
class Comparison:
    """The references of one structure.

    Attributes
    ----------
    kind : {"candidates", "isomers"} or None
        Other molecules of its mass, isomers generated from it, or nothing.
    indices : tuple of int
        Its references among the molecules that are scored.
    n_fitting : int
        Other molecules of its mass among the references given, each structure once.
    """

    kind: Kind | None = None
    indices: tuple[int, ...] = ()
    n_fitting: int = 0


Comparisons = Mapping[int, Comparison]


@dataclass(frozen=True)
class ReferenceScores:
    """Scores of C molecules against S spectra: judged ones and their references.

    Attributes
    ----------
    scores, logits, impossible : tensor of shape (C, S)
        The score, the match logit without references, and the share of impossible peaks.
    """

    scores: Tensor
    logits: Tensor
    impossible: Tensor

    @classmethod
    def of(cls, scored: Scored) -> ReferenceScores:
        """Return the scores of one molecule, shape (1, S)."""
        arrays = scored.scores, scored.logits, scored.impossible
        return cls(*(torch.from_numpy(array)[None] for array in arrays))

    @classmethod
    def join(cls, several: Iterable[ReferenceScores]) -> ReferenceScores:
        """Concatenate the scores of several."""
        columns = zip(
            *((each.scores, each.logits, each.impossible) for each in several), strict=True
        )
        return cls(*(torch.cat(column) for column in columns))

    def __getitem__(self, index: Any) -> ReferenceScores:
        return ReferenceScores(self.scores[index], self.logits[index], self.impossible[index])


def scores_of(
    model: Team5Model,
    molecules: Sequence[Molecule],
    spectra: Sequence[Spectrum],
    encodings: EncodingCache | None = None,
) -> ReferenceScores:
    """Score molecules against spectra, in their order."""
    scored = iter_scores(model, molecules, spectra, encodings)
    in_order = sorted(scored, key=lambda each: each.index)
    without_molecules = ReferenceScores(*torch.empty(3, 0, len(spectra)))
    return ReferenceScores.join([without_molecules, *map(ReferenceScores.of, in_order)])


def isomers_of(smiles: str) -> tuple[Molecule, ...]:
    """Return the isomers that serve as references if there are no others."""
    return tuple(map(parse_smiles, _isomers_of(smiles)))


@lru_cache(maxsize=4_096)
def _isomers_of(smiles: str) -> tuple[str, ...]:
    return tuple(make_isomers(parse_smiles(smiles)))  # as text, which takes far less memory


def add_references(
    model: Team5Model, molecules: Sequence[Molecule]
) -> tuple[list[Molecule], dict[int, Comparison]]:
    """Return all molecules to score, those judged first, and the comparison of each of these."""
    scored, comparisons, wanting = choose_references(model, molecules)
    for index in wanting:
        scored, comparisons = add_isomers(scored, comparisons, index)
    return scored, comparisons


def choose_references(
    model: Team5Model, molecules: Sequence[Molecule], others: Sequence[Molecule] = ()
) -> tuple[list[Molecule], dict[int, Comparison], tuple[int, ...]]:
    """Return the result of `add_references` without isomers, and the indices that need them.

    Parameters
    ----------
    model : Team5Model
    molecules : sequence of Molecule
        Judged molecules; those of one mass are compared with each other.
    others : sequence of Molecule
        Further references; only those that are needed are scored.
    """
    everything = [*molecules, *others]
    comparisons, wanting = compare(
        model,
        [molecule.inchikey14 for molecule in everything],
        np.array([molecule.exact_mass for molecule in everything]),
        len(molecules),
    )
    used, comparisons = renumbered(comparisons, len(molecules))
    return [*molecules, *(everything[i] for i in used)], comparisons, wanting


def compare(
    model: Team5Model,
    keys: Sequence[str],
    masses: Array,
    n: int,
    shown: Sequence[int] | None = None,
) -> tuple[dict[int, Comparison], tuple[int, ...]]:
    """Return the comparisons of structures with others of their mass, and which need isomers.

    Parameters
    ----------
    model : Team5Model
    keys : sequence of str
        InChIKey blocks of the n candidates, then of references.
    masses : array
        Exact masses of all of them, in u.
    n : int
        Number of candidates.
    shown : sequence of int, optional
        Candidates whose comparisons are needed; all by default.
    """
    shown = range(n) if shown is None else shown
    comparisons = dict.fromkeys(shown, Comparison())
    n_without = n
    if model.candidate_head.is_fitted:
        neighbours = Neighbours(keys, masses, reference_keys=set(keys[n:]))
        comparisons = {index: neighbours.of(index) for index in shown}
        n_without = neighbours.n_without(n)
    if not model.isomer_head.is_fitted or n_without > MAX_WITH_ISOMERS:
        return comparisons, ()
    return comparisons, tuple(i for i, each in comparisons.items() if each.kind is None)


def renumbered(comparisons: Comparisons, n: int) -> tuple[list[int], dict[int, Comparison]]:
    """Return the references in use after n candidates, and comparisons renumbered to these."""
    used = sorted({i for each in comparisons.values() for i in each.indices if i >= n})
    new = {old: n + i for i, old in enumerate(used)}
    return used, {
        index: replace(each, indices=tuple(new.get(i, i) for i in each.indices))
        for index, each in comparisons.items()
    }


def add_isomers(
    scored: Sequence[Molecule], comparisons: Comparisons, index: int
) -> tuple[list[Molecule], dict[int, Comparison]]:
    """Return both with isomers of one structure, if it has any; takes about 15 ms."""
    isomers = isomers_of(scored[index].smiles)
    changed = dict(comparisons)
    if isomers:
        indices = range(len(scored), len(scored) + len(isomers))
        changed[index] = replace(changed[index], kind="isomers", indices=tuple(indices))
    return [*scored, *isomers], changed


class Neighbours:
    """Structures by InChIKey block, to select each structure's references of its mass.

    The selection does not depend on their order.

    Parameters
    ----------
    keys : sequence of str
        InChIKey blocks; of structures with the same block the first counts.
    masses : array of shape (C,)
        Exact masses in u.
    reference_keys : set of str
        Those of references; `Comparison.n_fitting` counts them.
    """

    def __init__(
        self, keys: Sequence[str], masses: Array, *, reference_keys: Collection[str] = ()
    ) -> None:
        self._keys = keys
        by_key = {key: i for i, key in reversed(list(enumerate(keys)))}
        each_once = sorted(by_key)
        self._order = np.array([by_key[key] for key in each_once], dtype=np.intp)
        self._start_of = {key: start for start, key in enumerate(each_once)}
        masses_by_key = masses[self._order]
        by_mass = np.argsort(masses_by_key)
        # What is near each structure: from the first to the stop by mass, itself included or not.
        half_widths = CANDIDATE_TOLERANCE_PPM * 1e-6 * masses
        low, high = masses - half_widths, masses + half_widths
        self._first = np.searchsorted(masses_by_key, low, sorter=by_mass)
        self._stop = np.searchsorted(masses_by_key, high, side="right", sorter=by_mass)
        # Of structures with the same block, that of the first, whose mass may be another.
        masses_of_block = masses_by_key[[self._start_of[key] for key in keys]]
        self._is_near_itself = (masses_of_block >= low) & (masses_of_block <= high)
        self._is_given = np.array([key in reference_keys for key in each_once], dtype=bool)
        self._n_given = np.cumsum([0, *self._is_given[by_mass]])

        @lru_cache(maxsize=16)  # isomers share one
        def window(first: int, stop: int) -> Array:
            return np.sort(by_mass[first:stop])

        self._window = window

    def of(self, index: int) -> Comparison:
        """Return the references of one structure: those whose blocks follow its own."""
        first, stop = int(self._first[index]), int(self._stop[index])
        start, is_near = self._start_of[self._keys[index]], bool(self._is_near_itself[index])
        near = self._window(first, stop)
        before = int(np.searchsorted(near, start))
        following = np.concatenate([near[before + is_near :][:MAX_REFERENCES], near[:before]])
        n_given = self._n_given[stop] - self._n_given[first]
        comparison = Comparison(n_fitting=int(n_given - (is_near and self._is_given[start])))
        if len(following) < MIN_REFERENCES:
            return comparison
        chosen = self._order[following[:MAX_REFERENCES]]
        return replace(comparison, kind="candidates", indices=tuple(chosen.tolist()))

    def n_without(self, n: int) -> int:
        """Return how many of the first n have too few others of their mass to compare with."""
        near = self._stop[:n] - self._first[:n] - self._is_near_itself[:n]
        return int((near < MIN_REFERENCES).sum())


def note_unused(comparison: Comparison, n_given: int, *, is_alone: bool) -> str | None:
    """Return a note that none of the given references were used for a structure, and why.

    Parameters
    ----------
    n_given : int
        Number of given references, of any mass.
    is_alone : bool
        Whether the structure is the only candidate.
    """
    n = comparison.n_fitting
    if n_given == 0 or (comparison.kind == "candidates" and n > 0):
        return None
    counted = (
        f"of {n_given:,} reference{'s' if n_given > 1 else ''} given, {n or 'none'} can be "
        "compared with (other molecules of its mass that form the ion)"
    )
    if comparison.kind == "candidates":
        return f"{counted}: the other candidates were used"
    needed = f"{MIN_REFERENCES} are needed" + ("" if is_alone else " with the other candidates")
    instead = "isomers made from it were" if comparison.kind == "isomers" else "nothing was"
    return f"{counted} and {needed}: {instead} used instead"


def compared_logits(model: Team5Model, scores: ReferenceScores, comparisons: Comparisons) -> Tensor:
    """Return match logits, shape (len(comparisons), S), of structures with their references.

    Parameters
    ----------
    scores : ReferenceScores
        Of all molecules scored.
    comparisons : mapping of int to Comparison
        By the index of the structure among these.
    """
    judged = list(comparisons)
    logits = scores.logits[judged]
    for kind, head in (("isomers", model.isomer_head), ("candidates", model.candidate_head)):
        rows = [row for row, i in enumerate(judged) if comparisons[i].kind == kind]
        if not rows:
            continue
        compared_scores = scores[[judged[row] for row in rows]]
        indices = [comparisons[judged[row]].indices for row in rows]
        padded = torch.tensor(
            [[*chosen, *[-1] * (MAX_REFERENCES - len(chosen))] for chosen in indices]
        )
        is_there = (padded >= 0).unsqueeze(-1)
        references = scores.scores[padded].masked_fill(~is_there, torch.nan).transpose(1, 2)
        impossible = compared_scores.impossible.flatten()
        features = reference_features(
            compared_scores.logits.flatten() + IMPOSSIBLE_PENALTY * impossible,
            compared_scores.scores.flatten(),
            references.flatten(0, 1),
        )
        compared = head(features.to(model.device), impossible.to(model.device)).cpu()
        logits[rows] = compared.view(compared_scores.logits.shape)
    return logits
