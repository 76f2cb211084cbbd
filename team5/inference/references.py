"""What a structure is compared with: other molecules of its mass, or else isomers made from it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
from team5.inference.engine import Scored
from team5.models.heads import (
    IMPOSSIBLE_PENALTY,
    MAX_REFERENCES,
    MIN_REFERENCES,
    reference_features,
)
from team5.models.model import Team5Model

# Structures of one question that isomers are made for; each costs as much as eight candidates.
MAX_WITH_ISOMERS = 32

Kind = Literal["candidates", "isomers"]
Array = NDArray[Any]


@dataclass(frozen=True)
class Comparison:
    """What one structure is compared with.

    Attributes
    ----------
    kind : {"candidates", "isomers"} or None
        Other molecules of its mass, isomers made from it, or nothing.
    places : tuple of int
        Where its references stand among the molecules that are scored.
    n_fitting : int
        Other molecules of its mass among the references given, each structure once.
    """

    kind: Kind | None = None
    places: tuple[int, ...] = ()
    n_fitting: int = 0


@dataclass(frozen=True)
class Fit:
    """How one structure fits each of S spectra.

    Attributes
    ----------
    scores, logits, impossible : tensor of shape (S,)
        The score, the match logit of the structure by itself, and the share of impossible peaks.
    """

    scores: Tensor
    logits: Tensor
    impossible: Tensor

    @classmethod
    def of(cls, scored: Scored) -> Fit:
        """Return the fit of a structure from its scores."""
        return cls(
            torch.from_numpy(scored.scores),
            torch.from_numpy(scored.logits),
            torch.from_numpy(scored.impossible),
        )


def add_references(
    model: Team5Model, molecules: Sequence[Molecule], others: Sequence[Molecule] = ()
) -> tuple[list[Molecule], list[Comparison]]:
    """Return all molecules to score, those asked about first, and what each of these stands beside.

    Parameters
    ----------
    molecules, others
        As for `choose_references`.
    """
    scored, comparisons, wanting = choose_references(model, molecules, others)
    for place in wanting:
        scored, comparisons = add_isomers(scored, comparisons, place)
    return scored, comparisons


def choose_references(
    model: Team5Model, molecules: Sequence[Molecule], others: Sequence[Molecule] = ()
) -> tuple[list[Molecule], list[Comparison], tuple[int, ...]]:
    """Return what `add_references` does but for isomers, and the places of those that want them.

    Parameters
    ----------
    model : Team5Model
    molecules : sequence of Molecule
        Asked about; of one mass they are compared with each other.
    others : sequence of Molecule
        Further ones to compare with; only those that are needed are scored.
    """
    everything = [*molecules, *others]
    comparisons = compare_with_candidates(model, everything, len(molecules))
    used = {place for comparison in comparisons for place in comparison.places}
    kept = [*range(len(molecules)), *sorted(used - set(range(len(molecules))))]
    new_place = {place: i for i, place in enumerate(kept)}
    scored = [everything[place] for place in kept]
    comparisons = [
        replace(comparison, places=tuple(new_place[place] for place in comparison.places))
        for comparison in comparisons
    ]
    without = tuple(i for i, comparison in enumerate(comparisons) if comparison.kind is None)
    makes_isomers = model.isomer_head.is_fitted and len(without) <= MAX_WITH_ISOMERS
    return scored, comparisons, without if makes_isomers else ()


def add_isomers(
    scored: Sequence[Molecule], comparisons: Sequence[Comparison], place: int
) -> tuple[list[Molecule], list[Comparison]]:
    """Return both with isomers of one structure, if any can be made; takes some 15 ms."""
    isomers = isomers_of(scored[place].smiles)
    changed = list(comparisons)
    if isomers:
        places = range(len(scored), len(scored) + len(isomers))
        changed[place] = replace(changed[place], kind="isomers", places=tuple(places))
    return [*scored, *isomers], changed


@lru_cache(maxsize=4_096)
def isomers_of(smiles: str) -> tuple[Molecule, ...]:
    """Return the isomers that a structure is compared with where there is nothing else."""
    return tuple(parse_smiles(isomer) for isomer in make_isomers(parse_smiles(smiles)))


def compare_with_candidates(
    model: Team5Model, molecules: Sequence[Molecule], n: int
) -> list[Comparison]:
    """Return what each of the first ``n`` stands beside: others of its mass, each structure once.

    Which ones does not depend on their order.
    """
    if not model.candidate_head.is_fitted:
        return [Comparison()] * n
    neighbours = Neighbours(
        [molecule.inchikey14 for molecule in molecules],
        np.array([molecule.exact_mass for molecule in molecules]),
        given={molecule.inchikey14 for molecule in molecules[n:]},
    )
    return [neighbours.of(place) for place in range(n)]


class Neighbours:
    """Structures by InChIKey block, to find which others of its mass each stands beside.

    Parameters
    ----------
    keys : sequence of str
        InChIKey blocks; of several structures with the same one the first counts.
    masses : array of shape (C,)
        Exact masses in u.
    given : set of str
        Those of references; `Comparison.n_fitting` counts them.
    """

    def __init__(self, keys: Sequence[str], masses: Array, *, given: Collection[str] = ()) -> None:
        self._keys, self._masses = keys, masses
        by_key = {key: i for i, key in reversed(list(enumerate(keys)))}
        each_once = sorted(by_key)
        self._order = np.array([by_key[key] for key in each_once], dtype=np.intp)
        self._masses_by_key = masses[self._order]
        self._start_of = {key: place for place, key in enumerate(each_once)}
        self._is_given = np.array([key in given for key in each_once], dtype=bool)

    def of(self, place: int) -> Comparison:
        """Return what one structure stands beside: those whose blocks follow its own."""
        low, high = self._window(self._masses[place])
        near = (self._masses_by_key >= low) & (self._masses_by_key <= high)
        own = self._start_of[self._keys[place]]
        near[own] = False
        places = np.flatnonzero(near)
        following = np.roll(places, -int(np.searchsorted(places, own)))[:MAX_REFERENCES]
        comparison = Comparison(n_fitting=int(self._is_given[places].sum()))
        if len(following) < MIN_REFERENCES:
            return comparison
        return replace(comparison, kind="candidates", places=tuple(self._order[following].tolist()))

    def n_without(self) -> int:
        """Return how many structures have too few others of their mass to be compared with."""
        low, high = self._window(self._masses)
        masses = np.sort(self._masses_by_key)
        near = np.searchsorted(masses, high, side="right") - np.searchsorted(masses, low)
        own = self._masses[self._order[[self._start_of[key] for key in self._keys]]]
        near -= (own >= low) & (own <= high)
        return int((near < MIN_REFERENCES).sum())

    def _window(self, mass: Any) -> tuple[Any, Any]:
        half_width = CANDIDATE_TOLERANCE_PPM * 1e-6 * mass
        return mass - half_width, mass + half_width


def note_unused(comparison: Comparison, n_given: int, *, is_alone: bool) -> str | None:
    """Return in words that none of the references given were used for a structure, and why.

    Parameters
    ----------
    n_given : int
        References that were given, of whatever mass.
    is_alone : bool
        Whether the structure is the only one asked about.
    """
    n = comparison.n_fitting
    if n_given == 0 or (comparison.kind == "candidates" and n > 0):
        return None
    held = (
        f"of {n_given:,} reference{'s' if n_given > 1 else ''} given, {n or 'none'} can be "
        "compared with (other molecules of its mass that form the ion)"
    )
    if comparison.kind == "candidates":
        return f"{held}: the other candidates were used"
    needed = f"{MIN_REFERENCES} are needed" + ("" if is_alone else " with the other candidates")
    instead = "isomers made from it were" if comparison.kind == "isomers" else "nothing was"
    return f"{held} and {needed}: {instead} used instead"


def compared_logits(
    model: Team5Model, fits: Sequence[Fit], comparisons: Sequence[Comparison]
) -> list[Tensor]:
    """Return match logits (S,) of each structure, beside what it is compared with.

    Parameters
    ----------
    fits : sequence of Fit
        Of all molecules scored, in their order.
    """
    logits = [fits[i].logits for i in range(len(comparisons))]
    for kind, head in (("isomers", model.isomer_head), ("candidates", model.candidate_head)):
        members = [i for i, comparison in enumerate(comparisons) if comparison.kind == kind]
        if not members:
            continue
        impossible = torch.cat([fits[i].impossible for i in members])
        by_itself = torch.cat([fits[i].logits for i in members])
        features = reference_features(
            by_itself + IMPOSSIBLE_PENALTY * impossible,
            torch.cat([fits[i].scores for i in members]),
            torch.cat([_references(fits, comparisons[i].places) for i in members]),
        )
        found = head(features.to(model.device), impossible.to(model.device)).cpu()
        sizes = [len(fits[i].scores) for i in members]
        for i, part in zip(members, found.split(sizes), strict=True):
            logits[i] = part
    return logits


def _references(fits: Sequence[Fit], places: Sequence[int]) -> Tensor:
    """Return scores (S, MAX_REFERENCES) of the molecules at these places, NaN where fewer."""
    scores = torch.stack([fits[place].scores for place in places], dim=1)
    missing = MAX_REFERENCES - scores.shape[1]
    return torch.nn.functional.pad(scores, (0, missing), value=torch.nan)
